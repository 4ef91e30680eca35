/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_DEVICE_H
#define VHOST_DEVICE_H 1

/* A guest's device while it is running.
 *
 *
 * Concept
 * =======
 *
 * When librte_vhost says that a guest's device is ready, the guest's session
 * creates a 'struct vhost_device' and publishes it, protected by RCU.  All
 * that a burst needs is reached from it: the data path that moves the packets
 * (see vhost-datapath.h), the guest's memory, and the queues.
 *
 * The structure stays for as long as a thread may have found it.  What it
 * leads to, the guest's rings and memory, and librte_vhost's connection, does
 * not: only the data path's functions use it, and mark that in the queue (see
 * vhost-use.h).  For questions, the structure has what the library last said.
 *
 * Virtqueues are numbered as in virtio 1.2, 5.1.2: 2N receives in the guest
 * (the switch's transmit queue N), 2N + 1 transmits in the guest (the switch's
 * receive queue N).  Functions for several virtqueues take the first one and
 * the number of them.
 *
 *
 * Thread-safety
 * =============
 *
 * A thread that has read the pointer to a device may use the structure and its
 * queues until it quiesces, and takes no lock for that but a transmit queue's
 * 'lock'.  It does not ask librte_vhost about 'vid', except as the device's
 * data path.
 *
 * The functions below are for librte_vhost's event thread and for the thread
 * that closes the session.  While the device is published, those that give
 * virtqueues to the data path or back are called with the session's mutex
 * held.  vhost_device_suspend() may be called without it, by both threads at
 * the same time, and must be if it is to wait.  Only the event thread asks
 * librte_vhost about rings. */

#include <stdbool.h>
#include <stdint.h>

#include <rte_spinlock.h>

#include "guest-memory.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "util.h"
#include "vhost-datapath.h"
#include "vhost-stats.h"
#include "vhost-use.h"
#include "virtq.h"

/* The limit of librte_vhost. */
#define VHOST_MAX_QUEUE_PAIRS 128
#define VHOST_MAX_VRINGS (2 * VHOST_MAX_QUEUE_PAIRS)

struct vhost_hold;
struct vhost_mapping;
struct vhost_zerocopy;

/* State of a virtqueue that vhost_datapath_native uses. */
struct vhost_native_queue {
    ATOMIC(struct virtq *) virtq;       /* &'storage' while it runs. */
    int vid;                    /* The device's. */
    atomic_int callfd;          /* Our eventfd to notify the guest, or -1. */
    struct virtq storage;
    struct vhost_zerocopy *zerocopy;    /* Or NULL: packets are copied. */
    struct virtq_log log;
    atomic_uint64_t counters[VHOST_N_VRING_STATS];
};

/* State of a virtqueue that vhost_datapath_library uses. */
struct vhost_library_queue {
    atomic_bool usable;         /* May bursts begin? */
    atomic_bool quiet;          /* Was the guest told not to notify us? */
};

/* One virtqueue of a running device. */
struct vhost_queue {
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE) rte_spinlock_t lock;
    struct vhost_use use;       /* In a cache line that its user writes. */
    uint16_t vring;             /* Number of the virtqueue. */

    /* For receive queues: does the guest have it enabled? */
    atomic_bool enabled;

    /* For receive queues: the CPU of the thread that polls it, or -1. */
    atomic_int cpu;

    /* What is wrong with the ring, which is therefore stopped, or NULL. */
    ATOMIC(const char *) fault;
    const char *reported_fault; /* Used by the queue's user alone. */

    /* For transmit queues: packets that wait, or NULL.  See vhost-hold.h. */
    OVSRCU_TYPE(struct vhost_hold *) hold;

    /* For receive queues, used by the PMD thread alone: see vhost-rxtx.c. */
    uint32_t n_polls;
    uint32_t n_empty_polls;
    uint64_t pending_since;     /* TSC, or 0. */
    uint16_t pending_position;  /* In the ring, at that time. */

    /* What librte_vhost last said of the ring, to be shown: the number of its
     * entries, and the address of its descriptors, not to be accessed. */
    atomic_uint16_t ring_size;
    ATOMIC(const void *) ring;

    union {                     /* For the device's data path. */
        struct vhost_native_queue native;
        struct vhost_library_queue library;
    };
};

/* A running device.  Constant while it is published, except for atomic
 * members, the queues' state, and what is said otherwise. */
struct vhost_device {
    const struct vhost_datapath *datapath;
    int vid;                    /* librte_vhost's identifier. */
    uint64_t features;          /* Negotiated, VIRTIO_NET_F_*. */
    int node;                   /* NUMA node of the guest's rings, or -1. */
    int library_node;           /* Of librte_vhost's structures, or -1. */

    /* What librte_vhost last said, for questions. */
    atomic_uint n_vrings;
    atomic_uint16_t mtu;        /* Or 0. */
    atomic_uint64_t protocol_features;

    /* Of 'features', those on which the switch relies when it sends packets
     * with offload requests (VIRTIO_NET_F_GUEST_*): the port's options may
     * exclude some. */
    atomic_uint64_t tx_features;

    bool large_packets;         /* May they be longer than an mbuf's buffer? */
    bool is_vduse;              /* See vhost-vduse.h. */

    /* The guest's memory.  Changes only while no queue is in use. */
    struct guest_memory memory;
    struct vhost_mapping *mapping;      /* Our own mapping of it, for
                                         * zero-copy, or NULL. */

    atomic_bool withdrawn;      /* Has it been taken from the data path? */
    atomic_int n_started;       /* Virtqueues, up to the last one started. */
    atomic_int n_holding;       /* Transmit queues for which packets wait. */

    /* Address for which a RARP is to be received once, if not 0: see
     * VHOST_USER_SEND_RARP. */
    atomic_uint64_t rarp_address;

    /* Which transmit queue serves the switch's transmit queue N: itself, or
     * another if the guest has not enabled it, or -1 if none is enabled. */
    ATOMIC(int) txq_map[VHOST_MAX_QUEUE_PAIRS];

    struct vhost_queue rxqs[VHOST_MAX_QUEUE_PAIRS];
    struct vhost_queue txqs[VHOST_MAX_QUEUE_PAIRS];
};

/* Returns the queue for virtqueue number 'vring' of 'device'. */
static inline struct vhost_queue *
vhost_device_queue(struct vhost_device *device, uint16_t vring)
{
    return vring & 1 ? &device->rxqs[vring / 2] : &device->txqs[vring / 2];
}

/* Has the guest of 'device' negotiated 'feature', the number of a bit? */
static inline bool
vhost_device_has(const struct vhost_device *device, unsigned int feature)
{
    return (device->features & UINT64_C(1) << feature) != 0;
}

struct vhost_device *vhost_device_create(int vid, bool is_vduse,
                                         bool library_only, bool large_packets,
                                         const struct guest_memory *,
                                         const struct vhost_mapping *);
void vhost_device_free(struct vhost_device *);
void vhost_device_destroy(struct vhost_device *, struct vhost_counters *);
void vhost_device_slow_down(void);

void vhost_device_start(struct vhost_device *, unsigned int vring,
                        const char *objection);
void vhost_device_suspend(struct vhost_device *, unsigned int first,
                          unsigned int n, enum vhost_await);
void vhost_device_stop(struct vhost_device *, unsigned int first,
                       unsigned int n);
void vhost_device_hand_back(struct vhost_device *, unsigned int first,
                            unsigned int n);
void vhost_device_note(struct vhost_device *, unsigned int first,
                       unsigned int n);
unsigned int vhost_device_n_vrings(struct vhost_device *);
int vhost_device_find_node(struct vhost_device *);
void vhost_device_map_txqs(struct vhost_device *, const bool enabled[]);

const char *vhost_device_jumbo_obstacle(const struct vhost_device *, int mtu);
char *vhost_device_ring_faults(struct vhost_device *);
const char *vhost_device_zero_copy_obstacle(const struct vhost_device *);

#endif /* vhost-device.h */
