/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-policer.h"

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_meter.h>

#include "ovs-rcu.h"
#include "util.h"
#include "vhost-meter.h"

struct vhost_policer {
    struct vhost_meter meter;
    struct rte_meter_srtcm_profile profile;
    struct rte_meter_srtcm bucket;
};

/* Creates a policer that lets 'rate' bytes per second pass, with bursts of
 * 'burst' bytes, without Ethernet headers.  Returns NULL and stores a positive
 * errno value in '*errorp' if there is no such meter. */
struct vhost_policer *
vhost_policer_create(uint64_t rate, uint64_t burst, int *errorp)
{
    struct rte_meter_srtcm_params params = { .cir = rate, .cbs = burst };
    struct vhost_policer *policer = xzalloc(sizeof *policer);
    int error;

    vhost_meter_init(&policer->meter);
    error = rte_meter_srtcm_profile_config(&policer->profile, &params);
    if (!error) {
        error = rte_meter_srtcm_config(&policer->bucket, &policer->profile);
    }
    *errorp = -error;
    if (error) {
        free(policer);
        return NULL;
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

static bool
decide(void *policer_, const struct rte_mbuf *mbuf, uint64_t now)
{
    struct vhost_policer *policer = policer_;
    uint32_t len = rte_pktmbuf_pkt_len(mbuf) - RTE_ETHER_HDR_LEN;

    return rte_meter_srtcm_color_blind_check(&policer->bucket,
                                             &policer->profile, now, len)
           == RTE_COLOR_GREEN;
}

/* Frees those of the 'n' packets in 'mbufs' that exceed the rate, moves the
 * others to the front, and returns their number. */
uint16_t
vhost_policer_run(struct vhost_policer *policer, struct rte_mbuf **mbufs,
                  uint16_t n)
{
    return vhost_meter_run(&policer->meter, decide, policer, mbufs, n);
}
