/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-placement.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dp-packet.h"
#include "openvswitch/dynamic-string.h"
#include "ovs-numa.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-mempool.h"
#include "vhost-session.h"

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

/* Makes '*p' a snapshot of the placement of a port, for which the caller must
 * call vhost_placement_destroy().  Returns false if no guest is connected;
 * then there is nothing to destroy. */
bool
vhost_placement_init(struct vhost_placement *p,
                     const struct vhost_placement_input *input)
{
    struct vhost_device *device = vhost_session_device(input->session);
    const struct vhost_mempool *pool = input->pool;

    if (!device) {
        return false;
    }
    memset(p, 0, sizeof *p);
    p->port = input->port;
    p->device = device;
    p->node = vhost_device_find_node(device);
    p->port_node = input->node;
    p->library_node = device->library_node;

    vhost_session_get_memory(input->session, &p->memory);
    count_memory(p);

    p->n_queues = vhost_device_n_vrings(device);
    p->queues = xcalloc(p->n_queues, sizeof *p->queues);
    for (size_t i = 0; i < p->n_queues; i++) {
        look_at_queue(device, i, &p->queues[i]);
    }

    p->pool_missing = input->pool_missing;
    p->pool_node = pool ? pool->node : VHOST_NODE_UNKNOWN;
    p->pool_bytes = (pool ? ((size_t) pool->wanted_mbufs
                             * (pool->mp->header_size + pool->mp->elt_size
                                + pool->mp->trailer_size))
                     : ((size_t) vhost_mempool_size(p->n_queues)
                        * (vhost_mempool_rounded_mtu(input->mtu)
                           + sizeof(struct dp_packet)
                           + RTE_PKTMBUF_HEADROOM)));
    vhost_placement_find_remotes(p);
    return true;
}

void
vhost_placement_destroy(struct vhost_placement *p)
{
    for (size_t i = 0; i < p->n_remotes; i++) {
        free(p->remotes[i].text);
        free(p->remotes[i].command);
        free(p->remotes[i].hint);
    }
    free(p->queues);
}

/* Finds what is remote by the rest of '*p'. */
void
vhost_placement_find_remotes(struct vhost_placement *p)
{
    static void (*const finders[VHOST_N_REMOTES])
        (const struct vhost_placement *, struct vhost_remote *) = {
        [VHOST_REMOTE_PMD] = find_remote_pmds,
        [VHOST_REMOTE_MBUFS] = find_remote_mbufs,
        [VHOST_REMOTE_MEMORY] = find_remote_memory,
        [VHOST_REMOTE_RINGS] = find_remote_rings,
        [VHOST_REMOTE_LIBRARY] = find_remote_library,
    };

    p->n_remotes = 0;
    for (int i = 0; i < VHOST_N_REMOTES && p->node != VHOST_NODE_UNKNOWN;
         i++) {
        struct vhost_remote *r = &p->remotes[p->n_remotes];

        memset(r, 0, sizeof *r);
        r->kind = i;
        finders[i](p, r);
        p->n_remotes += r->text != NULL;
    }
}

/* Is 'node' another one than the guest's? */
bool
vhost_placement_is_remote(const struct vhost_placement *p, int node)
{
    return node != VHOST_NODE_UNKNOWN && node != p->node;
}

/* Returns the short name of 'kind', for programs. */
const char *
vhost_remote_name(enum vhost_remote_kind kind)
{
    static const char *const names[VHOST_N_REMOTES] = {
        [VHOST_REMOTE_PMD] = "pmd",
        [VHOST_REMOTE_MBUFS] = "mbufs",
        [VHOST_REMOTE_MEMORY] = "memory",
        [VHOST_REMOTE_RINGS] = "rings",
        [VHOST_REMOTE_LIBRARY] = "library",
    };

    return names[kind];
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

static void
find_remote_pmds(const struct vhost_placement *p, struct vhost_remote *r)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < p->n_queues; i++) {
        const struct vhost_queue_placement *qp = &p->queues[i];

        if (vhost_placement_is_remote(p, qp->cpu_node)) {
            ds_put_format(&s, "%sthe PMD of rx queue %d (CPU %d, node %d)",
                          s.length ? ", " : "", qp->vring / 2, qp->cpu,
                          qp->cpu_node);
        }
    }
    if (s.length) {
        r->text = ds_steal_cstr(&s);
    }
}

static void
find_remote_mbufs(const struct vhost_placement *p, struct vhost_remote *r)
{
    if (p->pool_missing) {
        r->text = xstrdup("mbufs (there is no memory for any)");
    } else if (vhost_placement_is_remote(p, p->pool_node)) {
        r->text = xasprintf("mbufs (node %d)", p->pool_node);
    } else {
        return;
    }
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
        r->text = ds_steal_cstr(&s);
    }
}

static void
find_remote_rings(const struct vhost_placement *p, struct vhost_remote *r)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < p->n_queues; i++) {
        const struct vhost_queue_placement *qp = &p->queues[i];

        if (qp->enabled && vhost_placement_is_remote(p, qp->node)) {
            ds_put_format(&s, "%sthe ring of %s queue %d (node %d)",
                          s.length ? ", " : "", qp->vring & 1 ? "rx" : "tx",
                          qp->vring / 2, qp->node);
        }
    }
    if (s.length) {
        r->text = ds_steal_cstr(&s);
    }
}

static void
find_remote_library(const struct vhost_placement *p, struct vhost_remote *r)
{
    if (vhost_placement_is_remote(p, p->library_node)) {
        r->text = xasprintf("librte_vhost's structures (node %d)",
                            p->library_node);
    }
}
