/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "ovs-thread.h"
#include "smap.h"
#include "stub-memory.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-mempool.h"
#include "vhost-policer.h"
#include "vhost-qos.h"

#define LEN 1000                /* Of a packet, without Ethernet header. */

static struct vhost_mempool *pool;

static void
init_pool(void)
{
    const struct vhost_mempool_request request = {
        .port = "port0", .mtu = 1500, .n_queues = 2
    };

    pool = vhost_mempool_get(&request);
    CHECK(pool);
}

/* Checks that all mbufs are home. */
static void
check_pool(void)
{
    vhost_mempool_put(pool, 2);
    check_mempools(0);
}

/* Fills 'mbufs' with 'n' packets of LEN bytes and 'priority', whose first
 * bytes count from 'first'. */
static void
make_burst(struct rte_mbuf **mbufs, int n, uint32_t priority, int first)
{
    CHECK(!rte_pktmbuf_alloc_bulk(pool->mp, mbufs, n));
    for (int i = 0; i < n; i++) {
        struct dp_packet *packet = CONTAINER_OF(mbufs[i], struct dp_packet,
                                                mbuf);

        memset(rte_pktmbuf_append(mbufs[i], LEN + 14), first + i, LEN + 14);
        pkt_metadata_init(&packet->md, 0);
        packet->md.skb_priority = priority;
    }
}

/* Offers a burst to 'policer' or 'qos' and returns how many packets passed. */
static unsigned int
offer(struct vhost_policer *policer, struct vhost_qos *qos)
{
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
    uint16_t n;

    make_burst(mbufs, NETDEV_MAX_BURST, 0, 0);
    n = (policer ? vhost_policer_run(policer, mbufs, NETDEV_MAX_BURST)
         : vhost_qos_run(qos, mbufs, NETDEV_MAX_BURST));
    rte_pktmbuf_free_bulk(mbufs, n);
    return n;
}

/* Checks that 2 MB a second pass 'policer' or 'qos'.  This thread may have to
 * wait for a CPU at any time, so the burst size must be worth a second, and
 * the time that passed is known from two sides only. */
static void
check_rate(struct vhost_policer *policer, struct vhost_qos *qos)
{
    long long int start[2], end[2];
    double n_bytes = 0;
    unsigned int n;

    /* Use up what is allowed at first. */
    do {
        start[0] = time_usec();
    } while (offer(policer, qos) == NETDEV_MAX_BURST);
    start[1] = time_usec();

    /* End when all that was allowed is used up. */
    do {
        end[0] = time_usec();
        n = offer(policer, qos);
        n_bytes += n * LEN;
        end[1] = time_usec();
    } while (end[1] < start[1] + 200 * 1000 || n == NETDEV_MAX_BURST);
    CHECK(n_bytes / (end[0] - start[1]) > 1.8);
    CHECK(n_bytes / (end[1] - start[0]) < 2.2);
}

static void
test_policer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
    struct vhost_policer *policer;
    int error = 0;

    init_pool();
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
    check_pool();
}
VHOST_TEST(test_policer, "qos-policer", "QoS: policer", TEST_DPDK);

static struct vhost_qos *
create(const char *type, const char *cir, const char *cbs, const char *eir,
       const char *ebs)
{
    struct smap details = SMAP_INITIALIZER(&details);
    struct vhost_qos *qos;

    smap_add(&details, "cir", cir);
    smap_add(&details, "cbs", cbs);
    if (eir) {
        smap_add(&details, "eir", eir);
        smap_add(&details, "ebs", ebs);
    }
    CHECK_INT(vhost_qos_create(type, &details, &qos), 0);
    CHECK_STR(vhost_qos_type(qos), type);
    CHECK(vhost_qos_is_equal(qos, type, &details));
    smap_destroy(&details);
    return qos;
}

static void
test_egress_policer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_qos *qos = create("egress-policer", "2000000", "2000000",
                                   NULL, NULL);
    struct smap details = SMAP_INITIALIZER(&details);
    struct netdev_queue_stats stats;
    uint32_t *ids;
    size_t n;

    init_pool();
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
    check_pool();
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
    struct vhost_qos *qos = create("trtcm-policer", "1", "10000", "1",
                                   "10000");
    struct smap details = SMAP_INITIALIZER(&details);
    struct netdev_queue_stats stats;
    uint32_t *ids;
    size_t n;

    init_pool();
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
    qos = create("trtcm-policer", "1000000", "1000000", "1000000",
                 "1000000");
    smap_clear(&details);
    CHECK_INT(vhost_qos_set_queue(qos, 0, &details), 0);
    check_rate(NULL, qos);
    vhost_qos_destroy_postponed(qos);

    smap_add(&details, "cir", "1");
    CHECK_INT(vhost_qos_create("trtcm-policer", &details, &qos), EINVAL);
    CHECK(!qos);
    smap_destroy(&details);
    check_pool();
}
VHOST_TEST(test_trtcm_policer, "qos-trtcm-policer",
           "QoS: trtcm-policer", TEST_DPDK);

/* Several threads. */

#define RATE 12500000           /* Bytes per second, and in a burst. */
#define RATE_STRING "12500000"

struct sender {
    struct vhost_policer *policer;
    struct vhost_qos *qos;
    struct dp_packet *packet;   /* This thread's own. */
    uint64_t n_passed;
    long long int first;        /* When the bucket was first found empty... */
    long long int drained;      /* ...and when last. */
    long long int longest_gap;  /* Between two such times. */
};

static atomic_bool senders_stop;

static void *
send_all_the_time(void *sender_)
{
    struct sender *sender = sender_;
    struct rte_mbuf *mbuf = &sender->packet->mbuf;
    bool stop;

    do {
        struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
        long long int now = time_usec();
        unsigned int n;


        rte_mbuf_refcnt_set(mbuf, 2 * NETDEV_MAX_BURST);
        for (int i = 0; i < NETDEV_MAX_BURST; i++) {
            mbufs[i] = mbuf;
        }
        n = (sender->policer
             ? vhost_policer_run(sender->policer, mbufs, NETDEV_MAX_BURST)
             : vhost_qos_run(sender->qos, mbufs, NETDEV_MAX_BURST));
        sender->n_passed += n;
        if (n < NETDEV_MAX_BURST) {
            if (!sender->first) {
                sender->first = time_usec();
            } else {
                sender->longest_gap = MAX(sender->longest_gap,
                                          now - sender->drained);
            }
            sender->drained = now;
        }
        atomic_read_relaxed(&senders_stop, &stop);
    } while (!stop);
    return NULL;
}

/* Checks that 'n' threads, each of which offers as much as it can, get RATE
 * through 'policer' or 'qos', and the burst, which is worth a second.  The
 * machine may be busy: what counts is when they did offer something. */
static void
check_threads(struct vhost_policer *policer, struct vhost_qos *qos, int n)
{
    long long int start = time_usec(), first = LLONG_MAX, drained = 0;
    long long int gap = LLONG_MAX;
    struct sender senders[4];
    pthread_t threads[4];
    uint64_t n_passed = 0;

    atomic_store_relaxed(&senders_stop, false);
    for (int i = 0; i < n; i++) {
        struct rte_mbuf *mbuf;

        make_burst(&mbuf, 1, 0, 0);
        senders[i] = (struct sender) {
            .policer = policer, .qos = qos,
            .packet = CONTAINER_OF(mbuf, struct dp_packet, mbuf),
        };
        threads[i] = ovs_thread_create("sender", send_all_the_time,
                                       &senders[i]);
    }
    xnanosleep(300 * 1000000);
    atomic_store_relaxed(&senders_stop, true);
    for (int i = 0; i < n; i++) {
        xpthread_join(threads[i], NULL);
        rte_mbuf_refcnt_set(&senders[i].packet->mbuf, 1);
        rte_pktmbuf_free(&senders[i].packet->mbuf);
        n_passed += senders[i].n_passed;
        if (senders[i].first) {
            first = MIN(first, senders[i].first);
            drained = MAX(drained, senders[i].drained);
            gap = MIN(gap, senders[i].longest_gap);
        }
    }
    CHECK(n_passed * LEN <= 1.02 * RATE * (1 + (time_usec() - start) / 1e6));
    if (gap < 900000) {         /* The bucket has never run over. */
        CHECK(n_passed * LEN >= 0.98 * RATE * (1 + (drained - first) / 1e6));
    }
}

static void
test_threads(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct smap none = SMAP_INITIALIZER(&none);

    init_pool();
    for (int n = 1; n <= 4; n *= 2) {
        int error;
        struct vhost_policer *policer = vhost_policer_create(RATE, RATE,
                                                             &error);
        struct vhost_qos *egress = create("egress-policer", RATE_STRING,
                                          RATE_STRING, NULL, NULL);
        /* Half of it committed, half in excess. */
        struct vhost_qos *trtcm = create("trtcm-policer", "6250000",
                                         "6250000", "6250000", "6250000");

        CHECK(policer);
        CHECK_INT(vhost_qos_set_queue(trtcm, 0, &none), 0);
        check_threads(policer, NULL, n);
        check_threads(NULL, egress, n);
        check_threads(NULL, trtcm, n);
        vhost_policer_destroy(policer);
        vhost_qos_destroy(egress);
        vhost_qos_destroy(trtcm);
    }
    smap_destroy(&none);
    check_pool();
}
VHOST_TEST(test_threads, "qos-threads",
           "QoS: several threads", TEST_DPDK | TEST_PARALLEL);
