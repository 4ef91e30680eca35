/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <stdlib.h>

#include <rte_mbuf.h>

#include "dp-packet.h"
#include "meter-fixture.h"
#include "netdev-provider.h"
#include "smap.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-qos.h"

static void
test_egress_policer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_qos *qos = create_qos("egress-policer", "2000000", "2000000",
                                   NULL, NULL);
    struct smap details = SMAP_INITIALIZER(&details);
    struct netdev_queue_stats stats;
    uint32_t *ids;
    size_t n;

    init_packets();
    vhost_qos_get(qos, &details);
    CHECK_INT(smap_count(&details), 2);
    CHECK_STR(smap_get(&details, "cir"), "2000000");
    CHECK_STR(smap_get(&details, "cbs"), "2000000");
    CHECK(!vhost_qos_is_equal(qos, "trtcm-policer", &details));
    smap_replace(&details, "cbs", "2001");
    CHECK(!vhost_qos_is_equal(qos, "egress-policer", &details));

    check_rate(NULL, qos);

    CHECK_INT(vhost_qos_set_queue(qos, 0, &details), EOPNOTSUPP);
    CHECK_INT(vhost_qos_get_queue(qos, 0, &details), EOPNOTSUPP);
    CHECK_INT(vhost_qos_delete_queue(qos, 0), EOPNOTSUPP);
    CHECK_INT(vhost_qos_get_queue_stats(qos, 0, &stats), EOPNOTSUPP);
    CHECK_INT(vhost_qos_get_queues(qos, &ids, &n), EOPNOTSUPP);
    vhost_qos_destroy(qos);

    /* Bad ones. */
    smap_clear(&details);
    CHECK_INT(vhost_qos_create("egress-policer", &details, &qos), EINVAL);
    CHECK(!qos);
    CHECK_INT(vhost_qos_create("linux-htb", &details, &qos), EOPNOTSUPP);
    CHECK(!qos);
    CHECK_INT(vhost_qos_create("", &details, &qos), 0);
    CHECK(!qos);
    vhost_qos_destroy_postponed(NULL);
    smap_destroy(&details);
    check_packets();
}
VHOST_TEST(test_egress_policer, "qos-egress-policer",
           "QoS: egress-policer", TEST_DPDK);

static void
set_queue(struct vhost_qos *qos, uint32_t id, const char *cir,
          const char *cbs, const char *eir, const char *ebs)
{
    struct smap details = SMAP_INITIALIZER(&details);

    smap_add(&details, "cir", cir);
    smap_add(&details, "cbs", cbs);
    smap_add(&details, "eir", eir);
    smap_add(&details, "ebs", ebs);
    CHECK_INT(vhost_qos_set_queue(qos, id, &details), 0);
    smap_destroy(&details);
}

/* Sends 'n' packets of 'priority' through 'qos' and checks how many pass. */
static void
check_passes(struct vhost_qos *qos, uint32_t priority, int n, int expected)
{
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST];

    make_burst(mbufs, n, priority, 0);
    CHECK_INT(vhost_qos_run(qos, mbufs, n), expected);
    for (int i = 0; i < expected; i++) {
        CHECK_INT(*rte_pktmbuf_mtod(mbufs[i], uint8_t *), i);
    }
    rte_pktmbuf_free_bulk(mbufs, expected);
}

static void
check_queue(struct vhost_qos *qos, uint32_t id, int n_packets, int n_errors)
{
    struct netdev_queue_stats stats;

    CHECK_INT(vhost_qos_get_queue_stats(qos, id, &stats), 0);
    CHECK_INT(stats.tx_packets, n_packets);
    CHECK_INT(stats.tx_bytes, n_packets * LEN);
    CHECK_INT(stats.tx_errors, n_errors);
    CHECK(time_msec() - stats.created < 60000);
}

static void
test_trtcm_policer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    /* The port: ten packets committed, ten in excess. */
    struct vhost_qos *qos = create_qos("trtcm-policer", "1", "10000", "1",
                                   "10000");
    struct smap details = SMAP_INITIALIZER(&details);
    struct netdev_queue_stats stats;
    uint32_t *ids;
    size_t n;

    init_packets();
    vhost_qos_get(qos, &details);
    CHECK_INT(smap_count(&details), 4);
    CHECK_STR(smap_get(&details, "eir"), "1");
    CHECK_STR(smap_get(&details, "ebs"), "10000");
    smap_replace(&details, "ebs", "10001");
    CHECK(!vhost_qos_is_equal(qos, "trtcm-policer", &details));
    smap_clear(&details);

    /* Without queues, nothing passes. */
    CHECK_INT(vhost_qos_get_queues(qos, &ids, &n), 0);
    CHECK_INT(n, 0);
    free(ids);
    check_passes(qos, 0, 1, 0);

    /* Queue 1 has three packets committed, two in excess. */
    set_queue(qos, 1, "1", "3000", "1", "2000");
    check_passes(qos, 0, 1, 0);
    check_passes(qos, 1, 8, 5);
    check_queue(qos, 1, 5, 3);

    /* Queue 0 takes the rest, with the port's parameters if it has none. */
    CHECK_INT(vhost_qos_set_queue(qos, 0, &details), 0);
    CHECK_INT(vhost_qos_get_queue(qos, 0, &details), 0);
    CHECK_STR(smap_get(&details, "cbs"), "10000");
    check_passes(qos, 99, 6, 6);
    check_queue(qos, 0, 6, 0);

    /* The port has three green and two yellow ones of queue 1, six green ones
     * of queue 0 behind it: one committed and eight in excess are left, of
     * which queue 0 has four and ten left. */
    check_passes(qos, 0, 12, 9);
    check_queue(qos, 0, 18, 0);
    CHECK_INT(vhost_qos_get_queues(qos, &ids, &n), 0);
    CHECK_INT(n, 2);
    CHECK_INT(ids[0] + ids[1], 1);
    free(ids);

    /* A queue that is changed keeps what it counted and starts afresh. */
    set_queue(qos, 1, "1", "1000", "1", "1000");
    check_queue(qos, 1, 5, 3);
    smap_clear(&details);
    CHECK_INT(vhost_qos_get_queue(qos, 1, &details), 0);
    CHECK_STR(smap_get(&details, "cbs"), "1000");

    /* Impossible parameters leave it as it is. */
    smap_clear(&details);
    smap_add(&details, "cir", "1");
    CHECK_INT(vhost_qos_set_queue(qos, 1, &details), EINVAL);
    smap_clear(&details);
    CHECK_INT(vhost_qos_get_queue(qos, 1, &details), 0);
    CHECK_STR(smap_get(&details, "cbs"), "1000");
    smap_clear(&details);
    smap_add(&details, "eir", "1");
    CHECK_INT(vhost_qos_set_queue(qos, 2, &details), EINVAL);
    CHECK_INT(vhost_qos_get_queue(qos, 2, &details), EINVAL);
    CHECK_INT(vhost_qos_get_queue_stats(qos, 2, &stats), EINVAL);

    CHECK_INT(vhost_qos_delete_queue(qos, 1), 0);
    CHECK_INT(vhost_qos_get_queue(qos, 1, &details), EINVAL);
    CHECK_INT(vhost_qos_delete_queue(qos, 1), 0);
    vhost_qos_destroy(qos);

    /* Bytes per second, committed and in excess. */
    qos = create_qos("trtcm-policer", "1000000", "1000000", "1000000",
                 "1000000");
    smap_clear(&details);
    CHECK_INT(vhost_qos_set_queue(qos, 0, &details), 0);
    check_rate(NULL, qos);
    vhost_qos_destroy_postponed(qos);

    smap_add(&details, "cir", "1");
    CHECK_INT(vhost_qos_create("trtcm-policer", &details, &qos), EINVAL);
    CHECK(!qos);
    smap_destroy(&details);
    check_packets();
}
VHOST_TEST(test_trtcm_policer, "qos-trtcm-policer",
           "QoS: trtcm-policer", TEST_DPDK);
