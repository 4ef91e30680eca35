/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <limits.h>
#include <string.h>
#include <pthread.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dp-packet.h"
#include "meter-fixture.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "smap.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-meter.h"
#include "vhost-policer.h"
#include "vhost-qos.h"

/* Lets packets pass whose first byte is odd, and notes the time. */
static bool
is_odd(void *nowp, const struct rte_mbuf *mbuf, uint64_t now)
{
    uint64_t *last = nowp;

    CHECK(now >= *last);
    *last = now;
    return *rte_pktmbuf_mtod(mbuf, const uint8_t *) & 1;
}

/* Are the 'n' mbufs all among the 'm' others? */
static bool
are_among(struct rte_mbuf **mbufs, int n, struct rte_mbuf **others, int m)
{
    for (int i = 0; i < n; i++) {
        int j = 0;

        while (j < m && others[j] != mbufs[i]) {
            j++;
        }
        if (j == m) {
            return false;
        }
    }
    return true;
}

/* What passes keeps its order, the rest is freed, and time does not go
 * back. */
static void
test_run(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST], *all[9], *even[5], *again[5];
    struct vhost_meter meter;
    uint64_t now = 0;

    init_packets();
    memset(&meter, 0xff, sizeof meter);
    vhost_meter_init(&meter);
    CHECK_INT(vhost_meter_run(&meter, is_odd, &now, mbufs, 0), 0);
    CHECK(!now && meter.now);

    make_burst(mbufs, 9, 0, 0);
    memcpy(all, mbufs, sizeof all);
    for (int i = 0; i < 5; i++) {
        even[i] = all[2 * i];
    }
    CHECK_INT(vhost_meter_run(&meter, is_odd, &now, mbufs, 9), 4);
    for (int i = 0; i < 4; i++) {
        CHECK(mbufs[i] == all[2 * i + 1]);
    }
    CHECK_INT(rte_mempool_in_use_count(mbufs[0]->pool), 4);

    /* This thread's cache gives it those that were freed last. */
    make_burst(again, 5, 0, 0);
    CHECK(are_among(even, 5, again, 5));
    rte_pktmbuf_free_bulk(again, 5);
    rte_pktmbuf_free_bulk(mbufs, 4);
    CHECK_INT(now, meter.now);

    /* The clock of another socket was ahead. */
    meter.now += rte_get_tsc_hz() * 3600;
    for (int i = 0; i < 3; i++) {
        make_burst(mbufs, 1, 0, i);
        rte_pktmbuf_free_bulk(mbufs, vhost_meter_run(&meter, is_odd, &now,
                                                     mbufs, 1));
        CHECK_INT(now, meter.now);
    }
    CHECK(now > rte_rdtsc());
    check_packets();
}
VHOST_TEST(test_run, "meter-run", "QoS: meter", TEST_DPDK);

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

    init_packets();
    for (int n = 1; n <= 4; n *= 2) {
        int error;
        struct vhost_policer *policer = vhost_policer_create(RATE, RATE,
                                                             &error);
        struct vhost_qos *egress = create_qos("egress-policer", RATE_STRING,
                                          RATE_STRING, NULL, NULL);
        /* Half of it committed, half in excess. */
        struct vhost_qos *trtcm = create_qos("trtcm-policer", "6250000",
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
    check_packets();
}
VHOST_TEST(test_threads, "qos-threads",
           "QoS: several threads", TEST_DPDK | TEST_PARALLEL);
