/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_DATAPATH_H
#define VHOST_DATAPATH_H 1

/* The seam between a port and whatever moves packets through its virtqueues.
 *
 * While a guest's device is running, its session publishes a 'struct
 * vhost_device', protected by RCU: a PMD thread that got hold of it may use it
 * until it quiesces.  Everything that a burst needs hangs off it; no lock of
 * the control plane is taken.
 *
 * A 'struct vhost_datapath' is one way to move packets, chosen for each
 * connection.  Virtqueues are numbered as virtio does (virtio 1.2, 5.1.2):
 * 2N receives in the guest (the switch's transmit queue N), 2N + 1 transmits
 * in the guest (the switch's receive queue N).
 *
 * Calling threads: a receive queue is used by one PMD thread at a time.  A
 * transmit queue may be shared; whoever uses it holds 'lock'. */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_spinlock.h>

#include "guest-memory.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "util.h"
#include "vhost-stats.h"
#include "virtq.h"

/* The limit of librte_vhost. */
#define VHOST_MAX_QUEUE_PAIRS 128
#define VHOST_MAX_VRINGS (2 * VHOST_MAX_QUEUE_PAIRS)

struct vhost_device;
struct vhost_hold;
struct vhost_mapping;
struct vhost_zerocopy;

/* What vhost_datapath_native has for a virtqueue. */
struct vhost_native_queue {
    OVSRCU_TYPE(struct virtq *) virtq;  /* &'storage' while it runs. */
    int vid;                    /* The device's. */
    atomic_int callfd;          /* Our eventfd to notify the guest, or -1. */
    struct virtq storage;
    struct vhost_zerocopy *zerocopy;    /* Or NULL: packets are copied. */
    struct virtq_log log;
    atomic_uint64_t counters[VHOST_N_VRING_STATS];
};

/* What vhost_datapath_rte has. */
struct vhost_rte_queue {
    atomic_bool usable;         /* May bursts begin? */
    atomic_bool busy;           /* Is one under way? */
    atomic_bool quiet;          /* Was the guest told not to notify us? */
};

/* One virtqueue of a running device. */
struct vhost_queue {
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE) rte_spinlock_t lock;
    uint16_t vring;             /* Number of the virtqueue. */

    /* For receive queues: does the guest have it enabled? */
    atomic_bool enabled;

    /* For receive queues: the CPU of the thread that polls it, or -1. */
    atomic_int cpu;

    /* What is wrong with the ring, so that it stands still, or NULL. */
    ATOMIC(const char *) fault;
    const char *reported_fault; /* Used by the queue's user alone. */

    /* For receive queues, used by the PMD thread alone: see vhost-rxtx.c. */
    uint32_t n_polls;
    uint32_t n_empty_polls;
    uint64_t pending_since;     /* TSC, or 0. */

    /* For transmit queues: packets that wait, or NULL.  See vhost-hold.h. */
    OVSRCU_TYPE(struct vhost_hold *) hold;

    /* The ring as librte_vhost knew it at last, for those who show it: the number
     * of its entries, and where its descriptors are, not to be accessed. */
    atomic_uint16_t ring_size;
    ATOMIC(const void *) ring;

    union {                     /* For the device's data path. */
        struct vhost_native_queue native;
        struct vhost_rte_queue rte;
    };
};

struct vhost_datapath {
    const char *name;           /* Shown to users. */

    /* Can packets stay in the guest's memory?  Then the device has a
     * 'mapping', if the port wants that. */
    bool can_zero_copy;

    /* Does it receive the RARP that 'rarp_address' of the device asks for?  If
     * not, it knows by itself. */
    bool receives_rarp;

    /* Moves up to 'n' (at most NETDEV_MAX_BURST) packets from receive queue
     * 'q' into newly allocated mbufs of 'mp', which the caller then owns, and
     * returns their number.  Returns 0 if there is none, or no mbuf.  Counts
     * what it drops. */
    uint16_t (*dequeue)(struct vhost_device *, struct vhost_queue *q,
                        struct rte_mempool *mp, struct rte_mbuf **,
                        uint16_t n, struct vhost_counters *);

    /* Copies the first of 'n' (at most NETDEV_MAX_BURST) mbufs into transmit
     * queue 'q' and returns how many.  These include any that can never be
     * sent, which it counts as dropped.  The caller goes on owning all of
     * them. */
    uint16_t (*enqueue)(struct vhost_device *, struct vhost_queue *q,
                        struct rte_mbuf **, uint16_t n,
                        struct vhost_counters *);

    /* Returns the number of buffers that the guest offers in 'q', or -ENOTSUP.
     * May be called from any thread that the RCU knows. */
    int (*n_pending)(struct vhost_device *, struct vhost_queue *q);

    /* Does transmit queue 'q' refuse packets now for another reason than that
     * the guest offers no buffers? */
    bool (*is_stalled)(struct vhost_device *, struct vhost_queue *q);

    /* Returns how many packets of 'q' are out in the guest's memory.  Any
     * thread. */
    unsigned int (*n_out)(const struct vhost_queue *q);

    /* The rest is called outside of the data path.
     *
     * The guest has set up and enabled 'q'.  Checks what librte_vhost says of
     * it; from then on it can be used, or 'fault' says why not.  Does nothing
     * for a queue that can be used already. */
    void (*start)(struct vhost_device *, struct vhost_queue *q);

    /* From now on, nobody begins to use 'q'.  Returns true if those who do may
     * go on until they have quiesced: wait for that. */
    bool (*suspend)(struct vhost_device *, struct vhost_queue *q);

    /* Waits for the burst that may be under way on 'q', which was suspended.  Not
     * called with librte_vhost's locks held. */
    void (*await)(struct vhost_device *, struct vhost_queue *q);

    /* Nobody uses 'q' now.  If the guest may give the virtqueue up, it gets
     * all of its buffers back; this also ends what was left of a virtqueue that
     * could not be started again.  Waits until 'deadline', a value of the TSC,
     * at most.  Does not call librte_vhost. */
    void (*stop)(struct vhost_device *, struct vhost_queue *q,
                 uint64_t deadline);

    /* Now librte_vhost may have it. */
    void (*hand_back)(struct vhost_device *, struct vhost_queue *q);

    /* There is a new way to notify the guest of 'q'. */
    void (*renew_call)(struct vhost_device *, struct vhost_queue *q);

    /* Frees what is left of 'q', without a word to librte_vhost. */
    void (*release)(struct vhost_queue *q);

    /* Reads what was counted on 'q' since the device started.  Returns false
     * if that cannot be done now.  'reset_stats' says that the same will not
     * be told again. */
    bool (*get_stats)(struct vhost_device *, struct vhost_queue *q,
                      struct vhost_vring_stats *);
    bool (*reset_stats)(struct vhost_device *, struct vhost_queue *q);
};

/* A running device, as published to the data path.  Constant, but for the
 * queues' state and what is said otherwise. */
struct vhost_device {
    const struct vhost_datapath *datapath;
    int vid;                    /* librte_vhost's identifier. */
    uint64_t features;          /* Negotiated, VIRTIO_NET_F_*. */
    int node;                   /* NUMA node of the guest's rings, or -1. */
    bool large_packets;         /* May they be longer than an mbuf's buffer? */

    /* The guest's memory.  Changes only while no queue is in use. */
    struct guest_memory memory;
    struct vhost_mapping *mapping;      /* Ours of it, for zero-copy; or NULL. */

    atomic_bool withdrawn;      /* Has it been taken away from the data path? */
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

static inline struct vhost_queue *
vhost_device_queue(struct vhost_device *device, uint16_t vring)
{
    return vring & 1 ? &device->rxqs[vring / 2] : &device->txqs[vring / 2];
}

static inline bool
vhost_device_has(const struct vhost_device *device, unsigned int feature)
{
    return (device->features & UINT64_C(1) << feature) != 0;
}

/* Our own rings.  librte_vhost does not touch them while they are in use. */
extern const struct vhost_datapath vhost_datapath_native;

/* librte_vhost's own burst calls.  They can do what the others cannot:
 * translate addresses for VIRTIO_F_ACCESS_PLATFORM. */
extern const struct vhost_datapath vhost_datapath_rte;

#endif /* vhost-datapath.h */
