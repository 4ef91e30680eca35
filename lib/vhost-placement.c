/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_memory.h>
#include <rte_mempool.h>
#include <rte_vhost.h>

#include "bitmap.h"
#include "dp-packet.h"
#include "openvswitch/dynamic-string.h"
#include "ovs-numa.h"
#include "util.h"
#include "vhost-config.h"
#include "vhost-device.h"
#include "vhost-mempool.h"
#include "vhost-port.h"

#define MIB (UINT64_C(1) << 20)

/* What librte_vhost takes for a guest, at most. */
#define LIBRARY_BYTES (16 * MIB)

/* Less of a guest's memory than this may be anywhere, in percent. */
#define STRAY_PERCENT 5

static void count_memory(struct vhost_placement *);
static void look_at_queue(struct vhost_device *, uint16_t vring,
                          struct vhost_queue_placement *);
static void find_remote_pmds(const struct vhost_placement *,
                             struct vhost_remote *);
static void find_remote_mbufs(const struct vhost_placement *,
                              struct vhost_remote *);
static void find_remote_memory(const struct vhost_placement *,
                               struct vhost_remote *);
static void find_remote_rings(const struct vhost_placement *,
                              struct vhost_remote *);
static void find_remote_library(const struct vhost_placement *,
                                struct vhost_remote *);
static void advise_pmd(const struct vhost_placement *, struct vhost_remote *);
static void advise_guest(const struct vhost_placement *,
                         struct vhost_remote *);
static void advise_dpdk(const struct vhost_placement *,
                        struct vhost_remote *);

/* Makes '*p' a snapshot of the placement of 'port', for which the caller must
 * call vhost_placement_destroy().  Returns false if no guest is connected;
 * then there is nothing to destroy. */
bool
vhost_placement_init(struct vhost_placement *p, struct vhost_port *port)
    OVS_REQUIRES(port->mutex)
{
    struct vhost_device *device = vhost_session_device(port->session);
    const struct vhost_mempool *pool = port->pool;

    if (!device) {
        return false;
    }
    memset(p, 0, sizeof *p);
    p->port = netdev_get_name(&port->up);
    p->device = device;
    p->node = vhost_device_find_node(device);
    p->port_node = port->node;
    p->library_node = rte_vhost_get_numa_node(device->vid);

    vhost_session_get_memory(port->session, &p->memory);
    count_memory(p);

    p->n_queues = rte_vhost_get_vring_num(device->vid);
    p->n_queues = MIN(p->n_queues, VHOST_MAX_VRINGS);
    p->queues = xcalloc(p->n_queues, sizeof *p->queues);
    for (size_t i = 0; i < p->n_queues; i++) {
        look_at_queue(device, i, &p->queues[i]);
    }

    p->pool_missing = port->pool_missing;
    p->pool_node = pool ? pool->node : VHOST_NODE_UNKNOWN;
    p->pool_bytes = (pool ? ((size_t) pool->wanted_mbufs
                             * (pool->mp->header_size + pool->mp->elt_size
                                + pool->mp->trailer_size))
                     : ((size_t) vhost_mempool_size(p->n_queues)
                        * (vhost_mempool_rounded_mtu(port->mtu)
                           + sizeof(struct dp_packet)
                           + RTE_PKTMBUF_HEADROOM)));
    return true;
}

void
vhost_placement_destroy(struct vhost_placement *p)
{
    free(p->queues);
}

/* Stores what is remote of 'p' in 'remotes' and returns how many there are.
 * The caller must call vhost_remotes_destroy(). */
size_t
vhost_placement_find_remotes(const struct vhost_placement *p,
                             struct vhost_remote remotes[VHOST_MAX_REMOTES])
{
    static void (*const finders[])(const struct vhost_placement *,
                                   struct vhost_remote *) = {
        find_remote_pmds, find_remote_mbufs, find_remote_memory,
        find_remote_rings, find_remote_library
    };
    BUILD_ASSERT_DECL(ARRAY_SIZE(finders) == VHOST_MAX_REMOTES);
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(finders)
                       && p->node != VHOST_NODE_UNKNOWN; i++) {
        memset(&remotes[n], 0, sizeof remotes[n]);
        finders[i](p, &remotes[n]);
        n += remotes[n].text != NULL;
    }
    return n;
}

void
vhost_remotes_destroy(struct vhost_remote remotes[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(remotes[i].text);
        free(remotes[i].command);
        free(remotes[i].hint);
    }
}

/* Is the remedy of 'remotes[i]' that of one before it? */
bool
vhost_remote_is_repeated(const struct vhost_remote remotes[], size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (nullable_string_is_equal(remotes[j].command, remotes[i].command)
            && nullable_string_is_equal(remotes[j].hint, remotes[i].hint)) {
            return true;
        }
    }
    return false;
}

/* Returns "local", or in one line what of 'p' is remote and how to mend that.
 * The caller must free the string. */
char *
vhost_placement_verdict(const struct vhost_placement *p)
{
    struct vhost_remote remotes[VHOST_MAX_REMOTES];
    size_t n = vhost_placement_find_remotes(p, remotes);
    const char *separator = "; to fix: ";
    struct ds s = DS_EMPTY_INITIALIZER;

    if (!n) {
        return xstrdup("local");
    }
    ds_put_format(&s, "the guest is on NUMA node %d, remote: ", p->node);
    for (size_t i = 0; i < n; i++) {
        ds_put_format(&s, "%s%s", i ? ", " : "", remotes[i].text);
    }
    for (size_t i = 0; i < n; i++) {
        const struct vhost_remote *r = &remotes[i];

        if (vhost_remote_is_repeated(remotes, i)) {
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
    vhost_remotes_destroy(remotes, n);
    return ds_steal_cstr(&s);
}

/* What there is. */

static void
count_memory(struct vhost_placement *p)
{
    for (unsigned int i = 0; i < p->memory.n_regions; i++) {
        const struct vhost_guest_region *region = &p->memory.regions[i];
        struct stat s;

        /* Meanwhile librte_vhost may have closed the file. */
        if (!fstat(region->fd, &s) && s.st_dev == region->device
            && s.st_ino == region->inode) {
            vhost_numa_count_pages(region->mapping, region->size, region->fd,
                                   &p->censuses[i]);
        }
    }
}

static void
look_at_queue(struct vhost_device *device, uint16_t vring,
              struct vhost_queue_placement *qp)
{
    struct vhost_queue *q = vhost_device_queue(device, vring);
    bool is_rx = vring & 1;
    const void *ring;
    uint16_t size;

    qp->vring = vring;
    qp->node = qp->cpu = qp->cpu_node = VHOST_NODE_UNKNOWN;
    qp->fill = -1;
    if (is_rx) {
        atomic_read_relaxed(&q->enabled, &qp->enabled);
    } else {
        int target;

        atomic_read_relaxed(&device->txq_map[vring / 2], &target);
        qp->enabled = target == vring / 2;
    }
    atomic_read_relaxed(&q->ring_size, &size);
    atomic_read_relaxed(&q->ring, &ring);
    qp->size = size;
    qp->node = vhost_numa_node_of(ring);
    if (qp->enabled) {
        int fill = device->datapath->n_pending(device, q);

        qp->fill = MAX(fill, -1);
        if (is_rx) {
            atomic_read_relaxed(&q->cpu, &qp->cpu);
        }
    }
    if (qp->cpu >= 0 && ovs_numa_core_id_is_valid(qp->cpu)) {
        qp->cpu_node = ovs_numa_get_numa_id(qp->cpu);
    }
}

/* What is remote.  Each of these leaves '*r' alone if nothing is. */

static bool
is_remote(const struct vhost_placement *p, int node)
{
    return node != VHOST_NODE_UNKNOWN && node != p->node;
}

static void
find_remote_pmds(const struct vhost_placement *p, struct vhost_remote *r)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < p->n_queues; i++) {
        const struct vhost_queue_placement *qp = &p->queues[i];

        if (is_remote(p, qp->cpu_node)) {
            ds_put_format(&s, "%sthe PMD of rx queue %d (CPU %d, node %d)",
                          s.length ? ", " : "", qp->vring / 2, qp->cpu,
                          qp->cpu_node);
        }
    }
    if (s.length) {
        r->what = "pmd";
        r->text = ds_steal_cstr(&s);
        advise_pmd(p, r);
    }
}

static void
find_remote_mbufs(const struct vhost_placement *p, struct vhost_remote *r)
{
    if (p->pool_missing) {
        r->text = xstrdup("mbufs (there is no memory for any)");
    } else if (is_remote(p, p->pool_node)) {
        r->text = xasprintf("mbufs (node %d)", p->pool_node);
    } else {
        return;
    }
    r->what = "mbufs";
    advise_dpdk(p, r);
}

static void
find_remote_memory(const struct vhost_placement *p, struct vhost_remote *r)
{
    double all = 0, remote[VHOST_MAX_NODES] = { 0 };
    struct ds s = DS_EMPTY_INITIALIZER;

    for (unsigned int i = 0; i < p->memory.n_regions; i++) {
        const struct vhost_numa_census *census = &p->censuses[i];

        for (int node = 0; node < VHOST_MAX_NODES; node++) {
            if (census->n_pages[node]) {
                double bytes = ((double) p->memory.regions[i].size
                                * census->n_pages[node] / census->n_known);

                all += bytes;
                remote[node] += node != p->node ? bytes : 0;
            }
        }
    }
    for (int node = 0; node < VHOST_MAX_NODES; node++) {
        if (remote[node] * 100 > all * STRAY_PERCENT) {
            ds_put_format(&s, "%s%.0f%% of its memory (node %d)",
                          s.length ? ", " : "", remote[node] * 100 / all,
                          node);
        }
    }
    if (s.length) {
        r->what = "memory";
        r->text = ds_steal_cstr(&s);
        advise_guest(p, r);
    }
}

static void
find_remote_rings(const struct vhost_placement *p, struct vhost_remote *r)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < p->n_queues; i++) {
        const struct vhost_queue_placement *qp = &p->queues[i];

        if (qp->enabled && is_remote(p, qp->node)) {
            ds_put_format(&s, "%sthe ring of %s queue %d (node %d)",
                          s.length ? ", " : "", qp->vring & 1 ? "rx" : "tx",
                          qp->vring / 2, qp->node);
        }
    }
    if (s.length) {
        r->what = "rings";
        r->text = ds_steal_cstr(&s);
        advise_guest(p, r);
    }
}

static void
find_remote_library(const struct vhost_placement *p, struct vhost_remote *r)
{
    if (is_remote(p, p->library_node)) {
        r->what = "library";
        r->text = xasprintf("librte_vhost's structures (node %d)",
                            p->library_node);
        advise_dpdk(p, r);
    }
}

/* What would mend it. */

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
 * it has all of them.  Stores in '*has_pmd' whether it has one. */
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

            /* The lowest, but the one of the main thread only if need be. */
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

    if (is_remote(p, p->port_node)) {
        r->hint = xstrdup("reconnect the guest: its memory has moved");
        return;
    }

    mask = extend_cpu_mask(p->node, &has_pmd);
    if (!has_pmd && mask) {
        r->command = xasprintf("ovs-vsctl set Open_vSwitch . "
                               "other_config:pmd-cpu-mask=%s", mask);
    } else if (has_pmd) {
        r->command = xasprintf("ovs-vsctl remove Interface %s other_config "
                               "pmd-rxq-affinity", p->port);
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

/* Returns 'list', numbers of MiB for each node, with 'mib' for 'node', or NULL
 * if it has as much as that, or if it has none for 'node' and 'may_lack'. */
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
 * kernel knows.  Those in which there is none are of sizes that it can't get. */
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

/* Returns the size of the hugepages that DPDK uses, the smallest one, in MiB. */
static uint64_t
hugepage_mib(void)
{
    uint64_t size = 0;

    rte_memseg_list_walk(note_page_size, &size);
    return size >= MIB ? size / MIB : 2;
}

/* Returns the file with attribute 'name' of the hugepages of 'node'. */
static char *
hugepages_file(int node, const char *name)
{
    return xasprintf("/sys/devices/system/node/node%d/hugepages/"
                     "hugepages-%"PRIu64"kB/%s", node, hugepage_mib() * 1024,
                     name);
}

static uint64_t
read_hugepages(int node, const char *name)
{
    char *path = hugepages_file(node, name);
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
 * Finds out what is in its way: the node's hugepages, or its configuration. */
static void
advise_dpdk(const struct vhost_placement *p, struct vhost_remote *r)
{
    bool need_mbufs = p->pool_missing || is_remote(p, p->pool_node);
    uint64_t need = LIBRARY_BYTES + (need_mbufs ? p->pool_bytes : 0);
    uint64_t need_mib = ROUND_UP(need, 64 * MIB) / MIB;
    const struct vhost_config *config = vhost_config();
    struct ds command = DS_EMPTY_INITIALIZER;
    struct rte_malloc_socket_stats heap;
    uint64_t free_pages;
    char *limit = NULL, *mem = NULL;

    memset(&heap, 0, sizeof heap);
    rte_malloc_get_socket_stats(p->node, &heap);
    if (heap.greatest_free_size >= need) {
        r->hint = xstrdup("reconnect the guest: there is memory now");
        return;
    }

    free_pages = read_hugepages(p->node, "free_hugepages");
    if (free_pages * hugepage_mib() < need_mib) {
        char *path = hugepages_file(p->node, "nr_hugepages");

        ds_put_format(&command, "echo %"PRIu64" > %s",
                      read_hugepages(p->node, "nr_hugepages")
                      + DIV_ROUND_UP(need_mib, hugepage_mib()) - free_pages,
                      path);
        free(path);
    }
    if (config->dpdk_socket_limit) {
        /* No limit is no limit. */
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
