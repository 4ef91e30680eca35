/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_HOLD_H
#define VHOST_HOLD_H 1

/* Packets that wait for a transmit queue.
 *
 * A queue may be unable to take packets for a moment although the guest has
 * buffers in it: librte_vhost waits for an address to be translated (it drops
 * packets that are to be sent meanwhile), or handles a message that concerns
 * the ring.  The packets then wait here, in their order, for the next poll of
 * the port or the next burst.  They are few, and do not wait for long.
 *
 * These functions are called with the queue's lock held, except for those that
 * say otherwise. */

#include <stdint.h>

#include <rte_mbuf.h>

#include "ovs-atomic.h"

struct vhost_counters;
struct vhost_device;
struct vhost_queue;

/* At most this many packets.  A power of 2. */
#define VHOST_HOLD_SIZE 256

/* If none could be sent for this long, in ms, all are dropped. */
#define VHOST_HOLD_TIME 1000

struct vhost_hold {
    atomic_uint n;              /* Written under the lock. */
    unsigned int first;
    uint64_t last_success;      /* TSC. */
    uint64_t last_attempt;      /* TSC. */
    struct rte_mbuf *mbufs[VHOST_HOLD_SIZE];
};

/* Called while no thread uses the queue. */
void vhost_hold_create(struct vhost_queue *);
void vhost_hold_destroy(struct vhost_queue *);

void vhost_hold_drop(struct vhost_device *, struct vhost_queue *,
                     struct vhost_counters *);

uint16_t vhost_hold_add(struct vhost_device *, struct vhost_queue *,
                        struct rte_mbuf **, uint16_t n,
                        struct vhost_counters *);
bool vhost_hold_flush(struct vhost_device *, struct vhost_queue *,
                      struct vhost_counters *);

/* Tries to send what waits for any queue of the device.  Takes the locks. */
void vhost_hold_flush_all(struct vhost_device *, struct vhost_counters *);

#endif /* vhost-hold.h */
