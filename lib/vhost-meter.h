/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_METER_H
#define VHOST_METER_H 1

/* Packets are let pass or dropped, by threads that share what decides.
 *
 * A meter from DPDK's rte_meter goes by the time of the last packet.  It takes
 * an older time for one far in the future and fills its buckets, so threads must
 * not bring times of their own: a thread may wait between reading the clock and
 * its turn, and the clocks of two sockets may differ.  Here the clock is read
 * when it is a thread's turn, and does not go back.
 *
 * What a decision uses is written with the lock held: by the threads in
 * vhost_meter_run(), and by whoever configures it. */

#include <stdbool.h>
#include <stdint.h>

#include <rte_spinlock.h>

struct rte_mbuf;

struct vhost_meter {
    rte_spinlock_t lock;
    uint64_t now;               /* TSC: the latest time that was seen. */
};

/* Does the packet pass, at TSC 'now'?  Called with the lock held. */
typedef bool vhost_meter_decide(void *aux, const struct rte_mbuf *,
                                uint64_t now);

void vhost_meter_init(struct vhost_meter *);
uint16_t vhost_meter_run(struct vhost_meter *, vhost_meter_decide *decide,
                         void *aux, struct rte_mbuf **mbufs, uint16_t n);

#endif /* vhost-meter.h */
