/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

/* rte_vhost_get_negotiated_protocol_features() is stable since DPDK 24.11. */
#define ALLOW_EXPERIMENTAL_API

#include "vhost-device.h"

#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <numa.h>
#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>

#include "openvswitch/dynamic-string.h"
#include "ovs-rcu.h"
#include "util.h"
#include "vhost-dma.h"
#include "vhost-hold.h"
#include "vhost-mapping.h"
#include "vhost-numa.h"
#include "vhost-zerocopy.h"

/* As long as more devices than this have ended and cannot be freed, each one
 * that ends costs its guest so many microseconds. */
#define MAX_ENDED 64
#define ENDED_DELAY (10 * 1000)

/* Devices that have ended and are not freed. */
static atomic_count n_ended = ATOMIC_COUNT_INIT(0);

/* Returns the NUMA node on which most rings of connection 'vid' are, or
 * VHOST_NODE_UNKNOWN.
 *
 * rte_vhost_get_numa_node() is not used: it returns the node of a structure of
 * the library, which stays where it was allocated if DPDK has no memory on the
 * guest's node. */
static int
find_node(int vid)
{
    unsigned int n = MIN(rte_vhost_get_vring_num(vid), VHOST_MAX_VRINGS);
    const void *rings[VHOST_MAX_VRINGS];

    for (unsigned int i = 0; i < n; i++) {
        struct rte_vhost_vring vring;

        rings[i] = (rte_vhost_get_vhost_vring(vid, i, &vring)
                    ? NULL : vring.desc);
    }
    return vhost_numa_node_of_most(rings, n);
}

/* Creates a device for connection 'vid', in memory of its node if possible,
 * with a reference of its own to 'mapping', which may be NULL.  'is_vduse'
 * says that it is a VDUSE device, 'library_only' that librte_vhost's data path
 * is to be used, 'large_packets' that packets may be longer than an mbuf's
 * buffer. */
struct vhost_device *
vhost_device_create(int vid, bool is_vduse, bool library_only,
                    bool large_packets, const struct guest_memory *memory,
                    const struct vhost_mapping *mapping)
{
    struct vhost_device *device = numa_alloc(sizeof *device);
    int node = find_node(vid);

    if (!device) {
        out_of_memory();
    }
    if (node != VHOST_NODE_UNKNOWN) {
        numa_tonode_memory(device, sizeof *device, node);
    }
    memset(device, 0, sizeof *device);

    device->vid = vid;
    device->is_vduse = is_vduse;
    device->node = node;
    /* It keeps them where they are while the device runs. */
    device->library_node = rte_vhost_get_numa_node(vid);
    device->large_packets = large_packets;
    device->memory = *memory;
    rte_vhost_get_negotiated_features(vid, &device->features);
    atomic_init(&device->tx_features, device->features);
    device->datapath = (library_only
                        || vhost_device_has(device, VIRTIO_F_ACCESS_PLATFORM)
                        ? &vhost_datapath_library : &vhost_datapath_native);
    if (device->datapath->can_zero_copy) {
        device->mapping = vhost_mapping_ref(mapping);
    }
    for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        device->txqs[i].vring = 2 * i;
        device->rxqs[i].vring = 2 * i + 1;
        rte_spinlock_init(&device->txqs[i].lock);
        atomic_init(&device->rxqs[i].cpu, -1);
    }
    vhost_device_note(device, 0, VHOST_MAX_VRINGS);
    return device;
}

/* Frees 'device', which no thread can reach. */
void
vhost_device_free(struct vhost_device *device)
{
    for (unsigned int i = 0; i < VHOST_MAX_VRINGS; i++) {
        struct vhost_queue *q = vhost_device_queue(device, i);

        device->datapath->release(q);
        vhost_hold_destroy(q);
    }
    vhost_mapping_unref(device->mapping);
    numa_free(device, sizeof *device);
}

static void
free_ended(struct vhost_device *device)
{
    atomic_count_dec(&n_ended);
    vhost_device_free(device);
}

/* Frees 'device', which has been withdrawn and no longer moves packets, after
 * a grace period: threads may still find out that it does not.  Packets that
 * still wait to be sent to it are dropped and counted in 'counters'. */
void
vhost_device_destroy(struct vhost_device *device,
                     struct vhost_counters *counters)
{
    bool was_quiescent = ovsrcu_is_quiescent();

    for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        struct vhost_queue *q = &device->txqs[i];

        rte_spinlock_lock(&q->lock);
        vhost_hold_drop(device, q, counters);
        rte_spinlock_unlock(&q->lock);
    }
    atomic_count_inc(&n_ended);
    ovsrcu_postpone(free_ended, device);
    if (was_quiescent) {
        ovsrcu_quiesce_start();
    }
}

/* Called after a guest has stopped.  Keeps one that restarts all the time from
 * using up the memory, while a thread that does not quiesce keeps its former
 * devices from being freed. */
void
vhost_device_slow_down(void)
{
    if (atomic_count_get(&n_ended) > MAX_ENDED) {
        rte_delay_us_sleep(ENDED_DELAY);
    }
}

/* Gives virtqueue 'vring' to the data path, unless 'objection' says why it
 * cannot be used. */
void
vhost_device_start(struct vhost_device *device, unsigned int vring,
                   const char *objection)
{
    struct vhost_queue *q = vhost_device_queue(device, vring);
    int n_started;

    atomic_read_relaxed(&device->n_started, &n_started);
    atomic_store_relaxed(&device->n_started, MAX(n_started, vring + 1));
    if (!(vring & 1)) {
        vhost_hold_create(q);
    }
    if (objection) {
        atomic_store_relaxed(&q->fault, objection);
    } else {
        device->datapath->start(device, q);
    }
}

/* Takes virtqueues away from the data path and waits for bursts on them that
 * are under way: see vhost_datapath's 'await'. */
void
vhost_device_suspend(struct vhost_device *device, unsigned int first,
                     unsigned int n, enum vhost_await await)
{
    const struct vhost_datapath *datapath = device->datapath;
    bool wait = false;

    for (unsigned int i = first; i < first + n; i++) {
        wait |= datapath->suspend(device, vhost_device_queue(device, i));
    }
    if (wait) {
        datapath->await(device, first, n, await);
    }
}

/* Gives all buffers of the virtqueues, which are no longer used, back to the
 * guest. */
void
vhost_device_stop(struct vhost_device *device, unsigned int first,
                  unsigned int n)
{
    uint64_t deadline = vhost_zerocopy_deadline();

    for (unsigned int i = first; i < first + n; i++) {
        device->datapath->stop(device, vhost_device_queue(device, i),
                               deadline);
    }
}

/* Gives the virtqueues back to librte_vhost. */
void
vhost_device_hand_back(struct vhost_device *device, unsigned int first,
                       unsigned int n)
{
    for (unsigned int i = first; i < first + n; i++) {
        device->datapath->hand_back(device, vhost_device_queue(device, i));
    }
}

/* Notes what librte_vhost knows of the device and of the virtqueues' rings.
 * For librte_vhost's event thread: in others, the library could move or free
 * its structures in the middle of the answer. */
void
vhost_device_note(struct vhost_device *device, unsigned int first,
                  unsigned int n)
{
    unsigned int n_vrings = rte_vhost_get_vring_num(device->vid);
    uint64_t protocol_features = 0;
    uint16_t mtu = 0;

    if (device->is_vduse) {
        n_vrings &= ~1U;        /* Without the control queue. */
    }
    rte_vhost_get_mtu(device->vid, &mtu);
    rte_vhost_get_negotiated_protocol_features(device->vid,
                                               &protocol_features);
    atomic_store_relaxed(&device->n_vrings, MIN(n_vrings, VHOST_MAX_VRINGS));
    atomic_store_relaxed(&device->mtu, mtu);
    atomic_store_relaxed(&device->protocol_features, protocol_features);
    for (unsigned int i = first; i < first + n && i < n_vrings; i++) {
        struct vhost_queue *q = vhost_device_queue(device, i);
        struct rte_vhost_vring vring;

        if (!rte_vhost_get_vhost_vring(device->vid, i, &vring)) {
            atomic_store_relaxed(&q->ring_size, vring.size);
            atomic_store_relaxed(&q->ring, (const void *) vring.desc);
        }
    }
}

/* Returns how many virtqueues the front end has told of, at most
 * VHOST_MAX_VRINGS.  Any thread. */
unsigned int
vhost_device_n_vrings(struct vhost_device *device)
{
    unsigned int n_vrings;

    atomic_read_relaxed(&device->n_vrings, &n_vrings);
    return n_vrings;
}

/* Returns the NUMA node on which most rings of 'device' are now, or
 * VHOST_NODE_UNKNOWN.  Any thread. */
int
vhost_device_find_node(struct vhost_device *device)
{
    const void *rings[VHOST_MAX_VRINGS];

    for (unsigned int i = 0; i < VHOST_MAX_VRINGS; i++) {
        atomic_read_relaxed(&vhost_device_queue(device, i)->ring, &rings[i]);
    }
    return vhost_numa_node_of_most(rings, ARRAY_SIZE(rings));
}

/* Maps each transmit queue that the guest has enabled to itself and spreads
 * the others over these.  'enabled' has an element for each virtqueue. */
void
vhost_device_map_txqs(struct vhost_device *device, const bool enabled[])
{
    int targets[VHOST_MAX_QUEUE_PAIRS];
    unsigned int n_targets = 0, next = 0;

    for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        if (enabled[2 * i]) {
            targets[n_targets++] = i;
        }
    }
    for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        int target = (enabled[2 * i] ? i
                      : n_targets ? targets[next++ % n_targets] : -1);

        atomic_store_relaxed(&device->txq_map[i], target);
    }
}

/* Returns why 'device', which may be NULL, may have no room for frames of
 * 'mtu', or NULL.  A driver that takes TSO has buffers of 64 KiB. */
const char *
vhost_device_jumbo_obstacle(const struct vhost_device *device, int mtu)
{
    const uint64_t roomy = (1ULL << VIRTIO_NET_F_MRG_RXBUF
                            | 1ULL << VIRTIO_NET_F_GUEST_TSO4
                            | 1ULL << VIRTIO_NET_F_GUEST_TSO6
                            | 1ULL << VIRTIO_NET_F_GUEST_UFO);

    return (device && mtu > RTE_ETHER_MTU && !(device->features & roomy)
            ? "the guest has no mergeable receive buffers: larger frames than "
              "its buffers are dropped"
            : NULL);
}

/* Returns what is wrong with the rings of 'device', which may be NULL, or
 * NULL.  The caller must free the string. */
char *
vhost_device_ring_faults(struct vhost_device *device)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    int n = 0;

    if (device) {
        atomic_read_relaxed(&device->n_started, &n);
    }
    for (int i = 0; i < n; i++) {
        const char *fault;

        atomic_read_relaxed(&vhost_device_queue(device, i)->fault, &fault);
        if (fault) {
            ds_put_format(&s, "%svirtqueue %d: %s", s.length ? "; " : "", i,
                          fault);
        }
    }
    return s.length ? ds_steal_cstr(&s) : NULL;
}

/* Returns why packets of 'device' are copied even if zero-copy is asked for,
 * or NULL.  Called with the session's mutex held, which guards 'mapping'. */
const char *
vhost_device_zero_copy_obstacle(const struct vhost_device *device)
{
    return (!device->datapath->can_zero_copy
            ? "librte_vhost's data path is in use"
            : !device->mapping
            ? "the guest's memory cannot be kept"
            : vhost_dma_obstacle(&device->mapping->dma));
}
