/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */


#include <config.h>

#include "vhost-policer.h"

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_meter.h>
#include <rte_spinlock.h>

#include "dp-packet.h"
#include "ovs-rcu.h"
#include "util.h"

struct vhost_policer {
    rte_spinlock_t lock;
    struct rte_meter_srtcm_profile profile;
    struct rte_meter_srtcm meter;
};

/* Creates a policer that lets 'rate' bytes per second pass, with bursts of
 * 'burst' bytes, the Ethernet header not counted.  Returns NULL and stores a
 * positive errno value in '*errorp' if such a meter cannot be. */
struct vhost_policer *
vhost_policer_create(uint64_t rate, uint64_t burst, int *errorp)
{
    struct rte_meter_srtcm_params params = { .cir = rate, .cbs = burst };
    struct vhost_policer *policer = xzalloc(sizeof *policer);
    int error;

    rte_spinlock_init(&policer->lock);
    error = rte_meter_srtcm_profile_config(&policer->profile, &params);
    if (!error) {
        error = rte_meter_srtcm_config(&policer->meter, &policer->profile);
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

/* Destroys 'policer', which may be NULL, when no thread uses it any more. */
void
vhost_policer_destroy_postponed(struct vhost_policer *policer)
{
    if (policer) {
        ovsrcu_postpone(vhost_policer_destroy, policer);
    }
}

/* Frees those of the 'n' (at most NETDEV_MAX_BURST) packets in 'mbufs' that
 * exceed the rate, moves the
 * others to the front, and returns their number. */
uint16_t
vhost_policer_run(struct vhost_policer *policer, struct rte_mbuf **mbufs,
                  uint16_t n)
{
    struct rte_mbuf *dropped[NETDEV_MAX_BURST];
    uint64_t now = rte_rdtsc();
    uint16_t n_passed = 0, n_dropped = 0;

    rte_spinlock_lock(&policer->lock);
    for (uint16_t i = 0; i < n; i++) {
        uint32_t len = rte_pktmbuf_pkt_len(mbufs[i]) - RTE_ETHER_HDR_LEN;
        enum rte_color color = rte_meter_srtcm_color_blind_check(
            &policer->meter, &policer->profile, now, len);

        if (color == RTE_COLOR_GREEN) {
            mbufs[n_passed++] = mbufs[i];
        } else {
            dropped[n_dropped++] = mbufs[i];
        }
    }
    rte_spinlock_unlock(&policer->lock);

    rte_pktmbuf_free_bulk(dropped, n_dropped);
    return n_passed;
}
