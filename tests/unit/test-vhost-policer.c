/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>

#include <rte_mbuf.h>

#include "dp-packet.h"
#include "meter-fixture.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-policer.h"

static void
test_policer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
    struct vhost_policer *policer;
    int error = 0;

    init_packets();
    CHECK(!vhost_policer_create(0, 0, &error));
    CHECK_INT(error, EINVAL);
    CHECK(!vhost_policer_create(1000, 0, &error));
    CHECK_INT(error, EINVAL);
    vhost_policer_destroy_postponed(NULL);

    /* A burst of ten packets, then no more for a long time.  The ones that
     * pass keep their order. */
    policer = vhost_policer_create(1, 10 * LEN, &error);
    CHECK(policer && !error);
    make_burst(mbufs, 4, 0, 0);
    CHECK_INT(vhost_policer_run(policer, mbufs, 4), 4);
    rte_pktmbuf_free_bulk(mbufs, 4);
    make_burst(mbufs, 8, 0, 10);
    /* A runt in the middle. */
    CHECK(!rte_pktmbuf_trim(mbufs[7], LEN));
    CHECK_INT(vhost_policer_run(policer, mbufs, 8), 7);
    for (int i = 0; i < 7; i++) {
        CHECK_INT(*rte_pktmbuf_mtod(mbufs[i], uint8_t *),
                  i < 6 ? 10 + i : 17);
    }
    rte_pktmbuf_free_bulk(mbufs, 7);
    make_burst(mbufs, 1, 0, 0);
    CHECK_INT(vhost_policer_run(policer, mbufs, 1), 0);
    vhost_policer_destroy(policer);

    /* Bytes per second. */
    policer = vhost_policer_create(2000000, 2000 * LEN, &error);
    check_rate(policer, NULL);
    vhost_policer_destroy_postponed(policer);
    check_packets();
}
VHOST_TEST(test_policer, "qos-policer", "QoS: policer", TEST_DPDK);
