/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-policer.h"

#include <errno.h>

#include <rte_mbuf.h>

#include "ovs-rcu.h"
#include "util.h"
#include "vhost-bucket.h"
#include "vhost-meter.h"

struct vhost_policer {
    struct vhost_meter meter;
    bool limits_bytes, limits_packets;
    struct vhost_bucket bytes;          /* If 'limits_bytes'. */
    struct vhost_bucket packets;        /* If 'limits_packets'. */
};

/* Creates a policer that lets 'rate' bytes per second pass, with bursts of
 * 'burst' bytes, without Ethernet headers.  Returns NULL and stores a positive
 * errno value in '*errorp' if one of them is zero. */
struct vhost_policer *
vhost_policer_create(uint64_t rate, uint64_t burst, int *errorp)
{
    const struct vhost_limit bytes = { .rate = rate, .burst = burst };

    *errorp = rate && burst ? 0 : EINVAL;
    return *errorp ? NULL : vhost_policer_create_for(&bytes, NULL);
}

/* Creates a policer with a limit of bytes, one of packets, or both.  A limit
 * that is null is none; others have a burst. */
struct vhost_policer *
vhost_policer_create_for(const struct vhost_limit *bytes,
                         const struct vhost_limit *packets)
{
    struct vhost_policer *policer = xzalloc(sizeof *policer);

    vhost_meter_init(&policer->meter);
    if (bytes) {
        policer->limits_bytes = true;
        vhost_bucket_init(&policer->bytes, bytes->rate, bytes->burst);
    }
    if (packets) {
        policer->limits_packets = true;
        vhost_bucket_init(&policer->packets, packets->rate, packets->burst);
    }
    return policer;
}

void
vhost_policer_destroy(struct vhost_policer *policer)
{
    free(policer);
}

/* Destroys 'policer', which may be NULL, after a grace period. */
void
vhost_policer_destroy_postponed(struct vhost_policer *policer)
{
    if (policer) {
        ovsrcu_postpone(vhost_policer_destroy, policer);
    }
}

/* A packet that one limit drops takes no tokens of the other.  As in the
 * kernel's policer, a packet that is yet to be segmented is one. */
static bool
decide(void *policer_, const struct rte_mbuf *mbuf, uint64_t now)
{
    struct vhost_policer *policer = policer_;
    uint32_t len = vhost_meter_len(mbuf);

    if ((policer->limits_bytes
         && !vhost_bucket_offer(&policer->bytes, now, len))
        || (policer->limits_packets
            && !vhost_bucket_offer(&policer->packets, now, 1))) {
        return false;
    }
    if (policer->limits_bytes) {
        vhost_bucket_take(&policer->bytes, len);
    }
    if (policer->limits_packets) {
        vhost_bucket_take(&policer->packets, 1);
    }
    return true;
}

/* Frees those of the 'n' packets in 'mbufs' that exceed a limit, moves the
 * others to the front, and returns their number. */
uint16_t
vhost_policer_run(struct vhost_policer *policer, struct rte_mbuf **mbufs,
                  uint16_t n)
{
    return vhost_meter_run(&policer->meter, decide, policer, mbufs, n);
}
