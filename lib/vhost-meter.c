/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-meter.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "util.h"

void
vhost_meter_init(struct vhost_meter *meter)
{
    rte_spinlock_init(&meter->lock);
    meter->now = 0;
}

/* Calls 'decide' with 'aux' for each of the 'n' packets in 'mbufs'.  Frees the
 * packets that do not pass, moves the others to the front, in their order, and
 * returns their number.  Any thread. */
uint16_t
vhost_meter_run(struct vhost_meter *meter, vhost_meter_decide *decide,
                void *aux, struct rte_mbuf **mbufs, uint16_t n)
{
    uint16_t n_passed = 0;

    rte_spinlock_lock(&meter->lock);
    meter->now = MAX(meter->now, rte_rdtsc());
    for (uint16_t i = 0; i < n; i++) {
        struct rte_mbuf *mbuf = mbufs[i];

        if (decide(aux, mbuf, meter->now)) {
            mbufs[i] = mbufs[n_passed];
            mbufs[n_passed++] = mbuf;
        }
    }
    rte_spinlock_unlock(&meter->lock);

    rte_pktmbuf_free_bulk(mbufs + n_passed, n - n_passed);
    return n_passed;
}
