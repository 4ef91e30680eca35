/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-meter.h"

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "util.h"
#include "vhost-bucket.h"

void
vhost_meter_init(struct vhost_meter *meter)
{
    rte_spinlock_init(&meter->lock);
    meter->now = 0;
}

/* Returns what 'mbuf' counts, in bytes: all but the Ethernet header, as for
 * other ports of DPDK.  A packet that is yet to be segmented counts as it is,
 * without the headers that this will add. */
uint32_t
vhost_meter_len(const struct rte_mbuf *mbuf)
{
    uint32_t len = rte_pktmbuf_pkt_len(mbuf);

    return len > RTE_ETHER_HDR_LEN ? len - RTE_ETHER_HDR_LEN : 0;
}

/* Calls 'decide' with 'aux' for each of the 'n' packets in 'mbufs'.  Frees the
 * packets that do not pass, moves the others to the front, in their order, and
 * returns their number.  Any thread. */
uint16_t
vhost_meter_run(struct vhost_meter *meter, vhost_meter_decide *decide,
                void *aux, struct rte_mbuf **mbufs, uint16_t n)
{
    uint16_t n_passed = 0;
    uint64_t now;

    rte_spinlock_lock(&meter->lock);
    now = vhost_bucket_now();
    meter->now = MAX(meter->now, now);
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
