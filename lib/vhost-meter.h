/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_METER_H
#define VHOST_METER_H 1

/* Lets packets pass or drops them, in threads that share the meter.
 *
 * The clock is read once a burst, with the lock held, and does not go back: a
 * thread may wait for the lock, and the clocks of two sockets may differ.
 *
 * What a decision uses is written with the lock held: by threads in
 * vhost_meter_run(), and by the main thread when it configures the meter.  The
 * data path spins on this lock, so that nothing is allocated under it. */

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
uint32_t vhost_meter_len(const struct rte_mbuf *);
uint16_t vhost_meter_run(struct vhost_meter *, vhost_meter_decide *decide,
                         void *aux, struct rte_mbuf **mbufs, uint16_t n);

#endif /* vhost-meter.h */
