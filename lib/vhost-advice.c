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

#include "openvswitch/dynamic-string.h"
#include "ovs-numa.h"
#include "sset.h"
#include "util.h"
#include "vhost-config.h"
#include "vhost-numa.h"
#include "vhost-placement.h"

#define MIB (UINT64_C(1) << 20)

/* The most memory that librte_vhost needs for a guest. */
#define LIBRARY_BYTES (16 * MIB)

static void advise_pmd(const struct vhost_placement *, struct vhost_remote *);
static void advise_dpdk(const struct vhost_placement *,
                        struct vhost_remote *);

/* Adds to all that is remote in 'p' what would fix it. */
void
vhost_advice_add(struct vhost_placement *p)
{
    for (size_t i = 0; i < p->n_remotes; i++) {
        struct vhost_remote *r = &p->remotes[i];

        if (r->kind == VHOST_REMOTE_PMD) {
            advise_pmd(p, r);
        } else if (r->kind == VHOST_REMOTE_MEMORY
                   || r->kind == VHOST_REMOTE_RINGS) {
            r->hint = xasprintf(
                "start the guest with its memory bound to node %d (numactl "
                "--membind=%d; QEMU's host-nodes=%d,policy=bind; libvirt's "
                "<numatune>)", p->node, p->node, p->node);
        } else {
            advise_dpdk(p, r);
        }
    }
}

/* Returns "local", or in one line what of 'p' is remote and how to fix it.
 * The caller must free the string. */
char *
vhost_advice_verdict(const struct vhost_placement *p)
{
    struct sset given = SSET_INITIALIZER(&given);
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
        char *advice = xasprintf(r->command && r->hint ? "%s (%s)" : "%s%s",
                                 r->command ? r->command : "",
                                 r->hint ? r->hint : "");

        if (sset_add(&given, advice)) {         /* Each once. */
            ds_put_format(&s, "%s%s", separator, advice);
            separator = "; ";
        }
        free(advice);
    }
    sset_destroy(&given);
    return ds_steal_cstr(&s);
}

/* Appends 'word' to 's' so that a shell takes it for one word, quoted only if
 * needed. */
static void
put_shell_word(struct ds *s, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        "abcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_";
    const char *quote = word[0] && !word[strspn(word, plain)] ? "" : "'";

    ds_put_cstr(s, quote);
    for (; *word; word++) {
        ds_put_format(s, *word == '\'' ? "'\\'%c" : "%c", *word);
    }
    ds_put_cstr(s, quote);
}

/* Returns other_config:pmd-cpu-mask with a further CPU of 'node', or NULL if
 * it has all of them.  Stores in '*has_pmd' whether it has any. */
static char *
extend_cpu_mask(int node, bool *has_pmd)
{
    int main_cpu = rte_lcore_to_cpu_id(rte_get_main_lcore());
    const char *mask = vhost_config()->pmd_cpu_mask;
    unsigned int n_cpus = ovs_numa_get_largest_core_id() + 1;
    size_t n_bytes = DIV_ROUND_UP(n_cpus, 8);
    struct ds extended = DS_EMPTY_INITIALIZER;
    struct ovs_numa_dump *pmds;
    int best = -1;
    void *cpus;

    *has_pmd = !mask || !mask[0];       /* Without a mask, each node has. */
    if (*has_pmd) {
        return NULL;
    }
    cpus = xzalloc(n_bytes);
    pmds = ovs_numa_dump_cores_with_cmask(mask);
    for (unsigned int cpu = 0; cpu < n_cpus; cpu++) {
        int cpu_node = ovs_numa_get_numa_id(cpu);

        if (ovs_numa_dump_contains_core(pmds, cpu_node, cpu)) {
            bitwise_put1(cpus, n_bytes, cpu);
            *has_pmd |= cpu_node == node;
        } else if (cpu_node == node && (best < 0 || best == main_cpu)) {
            best = cpu;         /* That of the main thread as a last resort. */
        }
    }
    if (best >= 0) {
        bitwise_put1(cpus, n_bytes, best);
        ds_put_hex(&extended, cpus, n_bytes);
    }
    ovs_numa_dump_destroy(pmds);
    free(cpus);
    return best >= 0 ? ds_steal_cstr(&extended) : NULL;
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
        struct ds command = DS_EMPTY_INITIALIZER;

        ds_put_cstr(&command, "ovs-vsctl remove Interface ");
        put_shell_word(&command, p->port);
        ds_put_cstr(&command, " other_config pmd-rxq-affinity");
        r->command = ds_steal_cstr(&command);
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

/* Appends "other_config:KEY=LIST" to 's': 'list', the MiB of each node, with
 * 'mib' for 'node'.  Appends nothing if 'list' is NULL or has as much already,
 * or if it has 0 and that means 'unlimited'. */
static void
put_raised(struct ds *s, const char *key, const char *list, int node,
           uint64_t mib, bool unlimited)
{
    size_t length = s->length;
    bool raised = false;

    ds_put_format(s, " other_config:%s=", key);
    for (int i = 0; list && (i <= node || *list); i++) {
        uint64_t value = strtoull(list, NULL, 10);

        if (i == node && value < mib && (value || !unlimited)) {
            value = mib;
            raised = true;
        }
        ds_put_format(s, "%s%"PRIu64, i ? "," : "", value);
        list += strcspn(list, ",");
        list += *list == ',';
    }
    if (!raised) {
        ds_truncate(s, length);
    }
}

/* DPDK has a list of memory segments for each node and size of pages that the
 * kernel knows.  Empty lists are of sizes that it cannot get.  Stores the
 * smallest size of the others. */
static int
note_page_size(const struct rte_memseg_list *list, void *size_)
{
    uint64_t *size = size_;

    if (!list->external && list->memseg_arr.count) {
        *size = MIN(*size, list->page_sz);
    }
    return 0;
}

/* Returns the number in file 'name' of 'directory', or 0. */
static uint64_t
read_number(const char *directory, const char *name)
{
    char *path = xasprintf("%s/%s", directory, name);
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

/* Appends to 's' the command that lets the kernel have 'mib' MiB in free
 * hugepages on 'node', of the size that DPDK uses, unless it has. */
static void
put_hugepages(struct ds *s, int node, uint64_t mib)
{
    uint64_t size = UINT64_MAX, n_free, n_needed;
    char *directory;

    rte_memseg_list_walk(note_page_size, &size);
    size = size >= MIB && size != UINT64_MAX ? size : 2 * MIB;
    directory = xasprintf("/sys/devices/system/node/node%d/hugepages/"
                          "hugepages-%"PRIu64"kB", node, size / 1024);
    n_free = read_number(directory, "free_hugepages");
    n_needed = DIV_ROUND_UP(mib, size / MIB);
    if (n_free < n_needed) {
        ds_put_format(s, "echo %"PRIu64" > %s/nr_hugepages",
                      read_number(directory, "nr_hugepages") + n_needed
                      - n_free, directory);
    }
    free(directory);
}

/* DPDK had no memory on the guest's node, for the mbufs or for librte_vhost.
 * Finds out what it lacks: hugepages of the node, or configuration. */
static void
advise_dpdk(const struct vhost_placement *p, struct vhost_remote *r)
{
    uint64_t need = LIBRARY_BYTES
                    + (p->pool_missing
                       || vhost_placement_is_remote(p, p->pool_node)
                       ? p->pool_bytes : 0);
    uint64_t need_mib = ROUND_UP(need, 64 * MIB) / MIB;
    const struct vhost_config *config = vhost_config();
    struct rte_malloc_socket_stats heap = { .greatest_free_size = 0 };
    struct ds command = DS_EMPTY_INITIALIZER;
    struct ds settings = DS_EMPTY_INITIALIZER;

    rte_malloc_get_socket_stats(p->node, &heap);
    if (heap.greatest_free_size >= need) {
        r->hint = xstrdup("reconnect the guest: there is memory now");
        return;
    }

    put_hugepages(&command, p->node, need_mib);
    put_raised(&settings, "dpdk-socket-mem", config->dpdk_socket_mem,
               p->node, need_mib, false);
    put_raised(&settings, "dpdk-socket-limit", config->dpdk_socket_limit,
               p->node, heap.heap_totalsz_bytes / MIB + need_mib, true);
    if (settings.length) {
        ds_put_format(&command, "%sovs-vsctl set Open_vSwitch .%s",
                      command.length ? " && " : "", ds_cstr(&settings));
    }
    r->hint = xasprintf("%s%s", settings.length ? "restart ovs-vswitchd"
                                                : "reconnect the guest",
                        command.length ? " afterwards" : "");
    r->command = command.length ? ds_steal_cstr(&command) : NULL;
    ds_destroy(&settings);
}
