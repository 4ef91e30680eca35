/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-advice.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "bitmap.h"
#include "openvswitch/dynamic-string.h"
#include "ovs-numa.h"
#include "util.h"
#include "vhost-config.h"
#include "vhost-numa.h"
#include "vhost-placement.h"

#define MIB (UINT64_C(1) << 20)

/* The most memory that librte_vhost needs for a guest. */
#define LIBRARY_BYTES (16 * MIB)

static void advise_pmd(const struct vhost_placement *, struct vhost_remote *);
static void advise_guest(const struct vhost_placement *,
                         struct vhost_remote *);
static void advise_dpdk(const struct vhost_placement *,
                        struct vhost_remote *);

/* Adds to all that is remote in 'p' what would fix it. */
void
vhost_advice_add(struct vhost_placement *p)
{
    static void (*const advisers[VHOST_N_REMOTES])
        (const struct vhost_placement *, struct vhost_remote *) = {
        [VHOST_REMOTE_PMD] = advise_pmd,
        [VHOST_REMOTE_MBUFS] = advise_dpdk,
        [VHOST_REMOTE_MEMORY] = advise_guest,
        [VHOST_REMOTE_RINGS] = advise_guest,
        [VHOST_REMOTE_LIBRARY] = advise_dpdk,
    };

    for (size_t i = 0; i < p->n_remotes; i++) {
        advisers[p->remotes[i].kind](p, &p->remotes[i]);
    }
}

/* Is the advice on the 'i'th thing that is remote the same as on one before
 * it? */
static bool
is_repeated(const struct vhost_placement *p, size_t i)
{
    const struct vhost_remote *r = p->remotes;

    for (size_t j = 0; j < i; j++) {
        if (nullable_string_is_equal(r[j].command, r[i].command)
            && nullable_string_is_equal(r[j].hint, r[i].hint)) {
            return true;
        }
    }
    return false;
}

/* Returns "local", or in one line what of 'p' is remote and how to fix it.
 * The caller must free the string. */
char *
vhost_advice_verdict(const struct vhost_placement *p)
{
    const char *separator = "; to fix: ";
    struct ds s = DS_EMPTY_INITIALIZER;

    if (!p->n_remotes) {
        return xstrdup("local");
    }
    ds_put_format(&s, "the guest is on NUMA node %d, remote: ", p->node);
    for (size_t i = 0; i < p->n_remotes; i++) {
        ds_put_format(&s, "%s%s", i ? ", " : "", p->remotes[i].text);
    }
    for (size_t i = 0; i < p->n_remotes; i++) {
        const struct vhost_remote *r = &p->remotes[i];

        if (is_repeated(p, i)) {
            continue;
        }
        ds_put_cstr(&s, separator);
        if (r->command) {
            ds_put_cstr(&s, r->command);
        }
        if (r->hint) {
            ds_put_format(&s, r->command ? " (%s)" : "%s", r->hint);
        }
        separator = "; ";
    }
    return ds_steal_cstr(&s);
}

/* Returns 'word' so that a shell takes it for one word, quoted only if needed.
 * The caller must free the string. */
static char *
quote_for_shell(const char *word)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    if (word[0] && !word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "abcdefghijklmnopqrstuvwxyz"
                                      "0123456789%+,-./:=@_")]) {
        return xstrdup(word);
    }
    ds_put_char(&s, '\'');
    for (const char *p = word; *p; p++) {
        if (*p == '\'') {
            ds_put_cstr(&s, "'\\''");
        } else {
            ds_put_char(&s, *p);
        }
    }
    ds_put_char(&s, '\'');
    return ds_steal_cstr(&s);
}

static void
advise_guest(const struct vhost_placement *p, struct vhost_remote *r)
{
    r->hint = xasprintf("start the guest with its memory bound to node %d "
                        "(numactl --membind=%d; QEMU's "
                        "host-nodes=%d,policy=bind; libvirt's <numatune>)",
                        p->node, p->node, p->node);
}

/* Adds the set bits of 'mask', a hexadecimal number, to 'cpus', a bitmap. */
static void
add_cpus_in_mask(unsigned long *cpus, const char *mask)
{
    struct ovs_numa_dump *dump = ovs_numa_dump_cores_with_cmask(mask);
    const struct ovs_numa_info_core *core;

    FOR_EACH_CORE_ON_DUMP (core, dump) {
        bitmap_set1(cpus, core->core_id);
    }
    ovs_numa_dump_destroy(dump);
}

/* Returns the bitmap 'cpus' of 'n' bits as a hexadecimal number. */
static char *
format_cpu_mask(const unsigned long *cpus, int n)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&s, "0x");
    for (int digit = (n - 1) / 4; digit >= 0; digit--) {
        unsigned int value = 0;

        for (int bit = 3; bit >= 0; bit--) {
            int cpu = digit * 4 + bit;

            value = value << 1 | (cpu < n && bitmap_is_set(cpus, cpu));
        }
        if (value || s.length > 2) {
            ds_put_format(&s, "%x", value);
        }
    }
    return ds_steal_cstr(&s);
}

/* Returns other_config:pmd-cpu-mask with a further CPU of 'node', or NULL if
 * it has all of them.  Stores in '*has_pmd' whether it has any. */
static char *
extend_cpu_mask(int node, bool *has_pmd)
{
    int main_cpu = rte_lcore_to_cpu_id(rte_get_main_lcore());
    const char *mask = vhost_config()->pmd_cpu_mask;
    int n_cpus = ovs_numa_get_largest_core_id() + 1;
    unsigned long *cpus = bitmap_allocate(n_cpus);
    const struct ovs_numa_info_core *core;
    struct ovs_numa_dump *dump;
    char *extended = NULL;
    int best = -1;

    if (mask && !mask[0]) {
        mask = NULL;
    }
    if (mask) {
        add_cpus_in_mask(cpus, mask);
    }
    /* Without a mask, each node has a PMD. */
    *has_pmd = !mask;
    dump = ovs_numa_dump_cores_on_numa(node);
    if (dump) {
        FOR_EACH_CORE_ON_DUMP (core, dump) {
            int cpu = core->core_id;

            /* The lowest; that of the main thread only as a last resort. */
            if (bitmap_is_set(cpus, cpu)) {
                *has_pmd = true;
            } else if (best < 0 || best == main_cpu
                       || (cpu < best && cpu != main_cpu)) {
                best = cpu;
            }
        }
        ovs_numa_dump_destroy(dump);
    }
    if (best >= 0 && mask) {
        bitmap_set1(cpus, best);
        extended = format_cpu_mask(cpus, n_cpus);
    }
    bitmap_free(cpus);
    return extended;
}

static void
advise_pmd(const struct vhost_placement *p, struct vhost_remote *r)
{
    bool has_pmd;
    char *mask;

    if (vhost_placement_is_remote(p, p->port_node)) {
        r->hint = xstrdup("reconnect the guest: its memory has moved");
        return;
    }

    mask = extend_cpu_mask(p->node, &has_pmd);
    if (!has_pmd && mask) {
        r->command = xasprintf("ovs-vsctl set Open_vSwitch . "
                               "other_config:pmd-cpu-mask=%s", mask);
    } else if (has_pmd) {
        char *port = quote_for_shell(p->port);

        r->command = xasprintf("ovs-vsctl remove Interface %s other_config "
                               "pmd-rxq-affinity", port);
        free(port);
        r->hint = xasprintf("if that is not set, the PMDs of node %d are "
                            "isolated: give it another one with "
                            "pmd-cpu-mask%s%s", p->node, mask ? "=" : "",
                            mask ? mask : "");
    } else {
        r->hint = xasprintf("add CPUs to node %d, which has none for a PMD",
                            p->node);
    }
    free(mask);
}

/* Returns 'list', numbers of MiB for each node, with 'mib' for 'node'; or NULL
 * if it has as much already, or if 'may_lack' and it has none for 'node'. */
static char *
raise_in_list(const char *list, int node, uint64_t mib, bool may_lack)
{
    char *copy = xstrdup(list), *rest = copy;
    struct ds s = DS_EMPTY_INITIALIZER;
    bool raised = false;

    for (int i = 0; i <= node || rest; i++) {
        const char *entry = strsep(&rest, ",");
        uint64_t value = entry ? strtoull(entry, NULL, 10) : 0;

        if (i == node && value < mib && (value || !may_lack)) {
            value = mib;
            raised = true;
        }
        ds_put_format(&s, "%s%"PRIu64, i ? "," : "", value);
    }
    free(copy);
    if (!raised) {
        ds_destroy(&s);
        return NULL;
    }
    return ds_steal_cstr(&s);
}

/* DPDK has a list of memory segments for each node and size of pages that the
 * kernel knows.  Empty lists are of sizes that it cannot get. */
static int
note_page_size(const struct rte_memseg_list *list, void *size_)
{
    uint64_t *size = size_;

    if (!list->external && list->memseg_arr.count
        && (!*size || list->page_sz < *size)) {
        *size = list->page_sz;
    }
    return 0;
}

/* Returns the smallest size of the hugepages that DPDK uses, in MiB. */
static uint64_t
hugepage_mib(void)
{
    uint64_t size = 0;

    rte_memseg_list_walk(note_page_size, &size);
    return size >= MIB ? size / MIB : 2;
}

/* Returns the file with attribute 'name' of the hugepages of 'node' that have
 * 'page_mib' MiB. */
static char *
hugepages_file(int node, uint64_t page_mib, const char *name)
{
    return xasprintf("/sys/devices/system/node/node%d/hugepages/"
                     "hugepages-%"PRIu64"kB/%s", node, page_mib * 1024, name);
}

static uint64_t
read_hugepages(int node, uint64_t page_mib, const char *name)
{
    char *path = hugepages_file(node, page_mib, name);
    FILE *stream = fopen(path, "r");
    uint64_t value = 0;

    if (stream) {
        if (fscanf(stream, "%"SCNu64, &value) != 1) {
            value = 0;
        }
        fclose(stream);
    }
    free(path);
    return value;
}

/* DPDK had no memory on the guest's node, for the mbufs or for librte_vhost.
 * Finds out what it lacks: hugepages of the node, or configuration. */
static void
advise_dpdk(const struct vhost_placement *p, struct vhost_remote *r)
{
    bool need_mbufs = (p->pool_missing
                       || vhost_placement_is_remote(p, p->pool_node));
    uint64_t need = LIBRARY_BYTES + (need_mbufs ? p->pool_bytes : 0);
    uint64_t need_mib = ROUND_UP(need, 64 * MIB) / MIB;
    const struct vhost_config *config = vhost_config();
    struct ds command = DS_EMPTY_INITIALIZER;
    struct rte_malloc_socket_stats heap;
    uint64_t page_mib, free_pages;
    char *limit = NULL, *mem = NULL;

    memset(&heap, 0, sizeof heap);
    rte_malloc_get_socket_stats(p->node, &heap);
    if (heap.greatest_free_size >= need) {
        r->hint = xstrdup("reconnect the guest: there is memory now");
        return;
    }

    page_mib = hugepage_mib();
    free_pages = read_hugepages(p->node, page_mib, "free_hugepages");
    if (free_pages * page_mib < need_mib) {
        char *path = hugepages_file(p->node, page_mib, "nr_hugepages");

        ds_put_format(&command, "echo %"PRIu64" > %s",
                      read_hugepages(p->node, page_mib, "nr_hugepages")
                      + DIV_ROUND_UP(need_mib, page_mib) - free_pages, path);
        free(path);
    }
    if (config->dpdk_socket_limit) {
        /* An entry of 0, or none, is no limit. */
        limit = raise_in_list(config->dpdk_socket_limit, p->node,
                              heap.heap_totalsz_bytes / MIB + need_mib, true);
    }
    if (config->dpdk_socket_mem) {
        mem = raise_in_list(config->dpdk_socket_mem, p->node, need_mib, false);
    }
    if (limit || mem) {
        ds_put_format(&command, "%sovs-vsctl set Open_vSwitch .",
                      command.length ? " && " : "");
        if (mem) {
            ds_put_format(&command, " other_config:dpdk-socket-mem=%s", mem);
        }
        if (limit) {
            ds_put_format(&command, " other_config:dpdk-socket-limit=%s",
                          limit);
        }
    }
    r->hint = xasprintf("%s%s", limit || mem ? "restart ovs-vswitchd"
                                             : "reconnect the guest",
                        command.length ? " afterwards" : "");
    r->command = command.length ? ds_steal_cstr(&command) : NULL;
    free(limit);
    free(mem);
}
