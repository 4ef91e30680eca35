/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "ovs-thread.h"
#include "random.h"
#include "smap.h"
#include "stub-memory.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-bucket.h"
#include "vhost-mempool.h"
#include "vhost-policer.h"
#include "vhost-port.h"
#include "vhost-qos.h"

/* Rates that limits let pass, on a clock that the test moves. */

#define MTU 1500
#define ETHER 14                /* Of a frame; does not count. */
#define MAX_FRAME 65535

/* What has a limit. */
struct limiter {
    struct vhost_policer *policer;
    struct vhost_qos *qos;
};

static struct vhost_mempool *pool;

static void
start(void)
{
    const struct vhost_mempool_request request = {
        .port = "port0", .mtu = MTU, .n_queues = 2
    };

    pool = vhost_mempool_get(&request);
    CHECK(pool);
    atomic_store_relaxed(&stub_memory.bucket_time, rte_rdtsc());
}

static void
finish(void)
{
    vhost_mempool_put(pool, 2);
    check_mempools(0);
}

/* Moves the clock on by 'seconds'. */
static void
pass_seconds(double seconds)
{
    uint64_t time;

    atomic_add(&stub_memory.bucket_time, seconds * rte_get_tsc_hz(), &time);
}

/* Returns a frame of 'size' bytes, as far as a limit looks at it: offer() adds
 * and removes references to it, and it keeps one. */
static struct rte_mbuf *
make_frame(uint32_t size)
{
    struct dp_packet *packet;
    struct rte_mbuf *mbuf;

    CHECK(!rte_pktmbuf_alloc_bulk(pool->mp, &mbuf, 1));
    packet = CONTAINER_OF(mbuf, struct dp_packet, mbuf);
    pkt_metadata_init(&packet->md, 0);
    mbuf->pkt_len = size;
    return mbuf;
}

static void
free_frame(struct rte_mbuf *mbuf)
{
    rte_mbuf_refcnt_set(mbuf, 1);
    rte_pktmbuf_free(mbuf);
}

static void
set_priority(struct rte_mbuf *mbuf, uint32_t priority)
{
    CONTAINER_OF(mbuf, struct dp_packet, mbuf)->md.skb_priority = priority;
}

/* Offers a burst to 'limiter': 'n' times 'frame', or by turns 'frame' and
 * 'other' if that is not null.  Returns how many of each passed. */
static unsigned int
offer_both(const struct limiter *limiter, struct rte_mbuf *frame,
           struct rte_mbuf *other, unsigned int n, unsigned int *n_others)
{
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
    uint16_t n_passed;

    CHECK(n <= NETDEV_MAX_BURST);
    rte_mbuf_refcnt_set(frame, 2 * NETDEV_MAX_BURST);
    if (other) {
        rte_mbuf_refcnt_set(other, 2 * NETDEV_MAX_BURST);
    }
    for (unsigned int i = 0; i < n; i++) {
        mbufs[i] = other && i & 1 ? other : frame;
    }
    n_passed = (limiter->policer
                ? vhost_policer_run(limiter->policer, mbufs, n)
                : vhost_qos_run(limiter->qos, mbufs, n));
    *n_others = 0;
    for (unsigned int i = 0; i < n_passed; i++) {
        *n_others += mbufs[i] == other;
    }
    return n_passed - *n_others;
}

static unsigned int
offer(const struct limiter *limiter, struct rte_mbuf *frame, unsigned int n)
{
    unsigned int n_others;

    return offer_both(limiter, frame, NULL, n, &n_others);
}

static struct vhost_qos *
make_qos(const char *type, uint64_t cir, uint64_t cbs, uint64_t eir,
         uint64_t ebs)
{
    struct smap details = SMAP_INITIALIZER(&details);
    struct vhost_qos *qos;

    smap_add_format(&details, "cir", "%"PRIu64, cir);
    smap_add_format(&details, "cbs", "%"PRIu64, cbs);
    smap_add_format(&details, "eir", "%"PRIu64, eir);
    smap_add_format(&details, "ebs", "%"PRIu64, ebs);
    CHECK_INT(vhost_qos_create(type, &details, &qos), 0);
    smap_destroy(&details);
    return qos;
}

static void
set_queue(struct vhost_qos *qos, uint32_t id, uint64_t cir, uint64_t cbs,
          uint64_t eir, uint64_t ebs)
{
    struct smap details = SMAP_INITIALIZER(&details);

    smap_add_format(&details, "cir", "%"PRIu64, cir);
    smap_add_format(&details, "cbs", "%"PRIu64, cbs);
    smap_add_format(&details, "eir", "%"PRIu64, eir);
    smap_add_format(&details, "ebs", "%"PRIu64, ebs);
    CHECK_INT(vhost_qos_set_queue(qos, id, &details), 0);
    smap_destroy(&details);
}

enum limiter_type {
    POLICER,
    EGRESS_POLICER,
    TRTCM_POLICER,              /* Half of it committed, half in excess. */
    N_LIMITER_TYPES
};

static const char *const limiter_names[] = {
    "policer", "egress-policer", "trtcm-policer"
};

static struct limiter
make_limiter(enum limiter_type type, uint64_t rate, uint64_t burst)
{
    struct smap none = SMAP_INITIALIZER(&none);
    struct limiter limiter = { NULL, NULL };
    int error = 0;

    switch (type) {
    case POLICER:
        limiter.policer = vhost_policer_create(rate, burst, &error);
        CHECK(limiter.policer && !error);
        break;
    case EGRESS_POLICER:
        limiter.qos = make_qos("egress-policer", rate, burst, 0, 0);
        break;
    case TRTCM_POLICER:
        limiter.qos = make_qos("trtcm-policer", rate / 2, burst, rate / 2,
                               burst);
        CHECK_INT(vhost_qos_set_queue(limiter.qos, 0, &none), 0);
        break;
    case N_LIMITER_TYPES:
    default:
        OVS_NOT_REACHED();
    }
    smap_destroy(&none);
    return limiter;
}

static void
destroy_limiter(struct limiter *limiter)
{
    if (limiter->policer) {
        vhost_policer_destroy(limiter->policer);
    } else {
        vhost_qos_destroy(limiter->qos);
    }
}

/* How frames come. */
struct load {
    double rate;                /* Tokens that may pass in a second. */
    double most;                /* Tokens that may pass at one time. */
    double tokens;              /* Of a frame. */
    unsigned int n;             /* Frames in a burst. */
    unsigned int n_bursts;      /* That come with 1 us between them. */
    bool at_random;             /* Or at regular times? */
};

/* Offers 'load', twice what may pass, to 'limiter'.  Checks that in no time t
 * there passes more than rate * t + most.  Returns the part of the rate that
 * is reached once there are no more tokens than that brings. */
static double
measure(const struct limiter *limiter, const struct load *load,
        struct rte_mbuf *frame)
{
    double at_once = load->n * load->n_bursts * load->tokens;
    double interval = at_once / (2 * load->rate);
    double duration = 2 * load->most / load->rate + 100 * interval;
    double time = 0, passed = 0, start_time = -1, start_passed = 0;
    double ahead = 0, least_ahead = 0, most_ahead = 0;
    uint64_t base;

    atomic_read_relaxed(&stub_memory.bucket_time, &base);
    while (start_time < 0 || time < start_time + duration) {
        bool dropped = false;

        /* What passed, less what the rate had brought: a difference between
         * two times is what passed beyond the rate between them. */
        ahead = passed - load->rate * time;
        least_ahead = MIN(least_ahead, ahead);
        for (unsigned int i = 0; i < load->n_bursts; i++) {
            unsigned int n_passed;

            atomic_store_relaxed(&stub_memory.bucket_time, base
                                 + ((time + i / 1e6) * rte_get_tsc_hz()));
            n_passed = offer(limiter, frame, load->n);
            passed += n_passed * load->tokens;
            dropped |= n_passed < load->n;
        }
        ahead = passed - load->rate * (time + load->n_bursts / 1e6);
        most_ahead = MAX(most_ahead, ahead - least_ahead);

        if (dropped && start_time < 0) {
            start_time = time;
            start_passed = passed;
        }
        time += interval * (!load->at_random ? 1
                            : -log((1 + random_range(1 << 24))
                                   / (double) (1 << 24)));
    }
    if (most_ahead > load->most) {
        printf("%g of %g tokens at one time\n", most_ahead, load->most);
    }
    CHECK(most_ahead <= load->most);
    return (passed - start_passed) / (load->rate * (time - start_time));
}

/* What a bucket has room for, when bursts of 'n' packets come, and one packet
 * more. */
static double
most_of(double rate, double burst, double tokens, unsigned int n)
{
    return MAX(MAX(burst, rate / 1000), 2 * n * tokens) + tokens;
}

/* Checks that 'limiter' lets frames of 'size' pass at 'load', and says what it
 * found. */
static void
check_load(const char *name, const struct limiter *limiter,
           const struct load *load, uint32_t size, double burst)
{
    struct rte_mbuf *frame = make_frame(size);
    double part = measure(limiter, load, frame);

    printf("%s: rate %.0f, burst %.0f, frames of %"PRIu32" bytes in bursts "
           "of %u: %.1f %%\n", name, load->rate, burst, size, load->n,
           100 * part);
    CHECK(part >= 0.9);
    CHECK(part <= 1.1);
    free_frame(frame);
}

static const double rates[] = { 1.25e6, 125e6, 5e9 };
static const double bursts[] = { MTU + 1, 12500, 1e6 };
static const uint32_t sizes[] = { 64, 1500, MAX_FRAME };

/* Offers each size to a limiter of each rate and burst, in bursts of 'n'. */
static void
check_all_loads(enum limiter_type type, unsigned int n)
{
    start();
    for (int r = 0; r < ARRAY_SIZE(rates); r++) {
        for (int b = 0; b < ARRAY_SIZE(bursts); b++) {
            for (int s = 0; s < ARRAY_SIZE(sizes); s++) {
                struct limiter limiter = make_limiter(type, rates[r],
                                                      bursts[b]);
                struct load load = {
                    .rate = rates[r], .tokens = sizes[s] - ETHER,
                    .n = n, .n_bursts = 1,
                };

                load.most = (type == TRTCM_POLICER
                             ? 2 * most_of(rates[r] / 2, bursts[b],
                                           load.tokens, n)
                             : most_of(rates[r], bursts[b], load.tokens, n));
                check_load(limiter_names[type], &limiter, &load, sizes[s],
                           bursts[b]);
                destroy_limiter(&limiter);
            }
        }
    }
    finish();
}

static void
test_policer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_all_loads(POLICER, NETDEV_MAX_BURST);
}
VHOST_TEST(test_policer, "rates-policer",
           "rates: policer", TEST_DPDK);

static void
test_egress_policer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_all_loads(EGRESS_POLICER, NETDEV_MAX_BURST);
}
VHOST_TEST(test_egress_policer, "rates-egress-policer",
           "rates: egress-policer", TEST_DPDK);

static void
test_trtcm_policer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_all_loads(TRTCM_POLICER, NETDEV_MAX_BURST);
}
VHOST_TEST(test_trtcm_policer, "rates-trtcm-policer",
           "rates: trtcm-policer", TEST_DPDK);

/* Packets that come one by one leave a burst as short as it is configured. */
static void
test_single_packets(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int type = 0; type < N_LIMITER_TYPES; type++) {
        check_all_loads(type, 1);
    }
}
VHOST_TEST(test_single_packets, "rates-single-packets",
           "rates: packets one by one", TEST_DPDK);

/* Bursts that come at random times, from two queues at a time, and after
 * a pause of the thread. */
static void
test_irregular(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const double tokens = 1500 - ETHER;

    start();
    random_set_seed(1);
    for (int type = 0; type < N_LIMITER_TYPES; type++) {
        for (int r = 0; r < ARRAY_SIZE(rates); r++) {
            struct limiter limiter;
            struct load load = {
                .rate = rates[r], .tokens = tokens, .n = NETDEV_MAX_BURST,
                .most = 2 * most_of(rates[r], MTU + 1, tokens,
                                    NETDEV_MAX_BURST),
                .n_bursts = 1, .at_random = true,
            };

            limiter = make_limiter(type, rates[r], MTU + 1);
            check_load("at random", &limiter, &load, 1500, MTU + 1);
            destroy_limiter(&limiter);

            limiter = make_limiter(type, rates[r], MTU + 1);
            load.at_random = false;
            load.n_bursts = 2;
            check_load("two queues", &limiter, &load, 1500, MTU + 1);
            destroy_limiter(&limiter);

            /* What comes at twice the rate in 0.9 ms, if that is more. */
            load.n_bursts = 0.9e-3 * 2 * rates[r] / (load.n * tokens);
            if (load.n_bursts > 2) {
                limiter = make_limiter(type, rates[r], MTU + 1);
                check_load("after a pause", &limiter, &load, 1500, MTU + 1);
                destroy_limiter(&limiter);
            }
        }
    }
    finish();
}
VHOST_TEST(test_irregular, "rates-irregular",
           "rates: irregular bursts", TEST_DPDK);

/* Long packets get their share beside short ones. */
static void
test_mixed_sizes(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const double rate = 125e6;

    start();
    for (int type = 0; type < N_LIMITER_TYPES; type++) {
        struct rte_mbuf *frames[2] = {
            make_frame(64), make_frame(MAX_FRAME)
        };
        double tokens[2] = { 64 - ETHER, MAX_FRAME - ETHER };
        double interval = (NETDEV_MAX_BURST * (tokens[0] + tokens[1]) / 2
                           / (2 * rate));
        struct limiter limiter = make_limiter(type, rate, 12500);
        unsigned int n[2], n_passed[2] = { 0, 0 };
        double part;

        /* The first burst uses up what there is at first. */
        offer_both(&limiter, frames[0], frames[1], NETDEV_MAX_BURST, &n[1]);
        for (int i = 0; i < 1000; i++) {
            pass_seconds(interval);
            n[0] = offer_both(&limiter, frames[0], frames[1],
                              NETDEV_MAX_BURST, &n[1]);
            n_passed[0] += n[0];
            n_passed[1] += n[1];
        }
        part = ((n_passed[0] * tokens[0] + n_passed[1] * tokens[1])
                / (1000 * interval * rate));
        printf("%s: mixed sizes: %u short and %u long frames, %.1f %%\n",
               limiter_names[type], n_passed[0], n_passed[1], 100 * part);
        CHECK(part >= 0.9 && part <= 1.1);
        CHECK(n_passed[0] >= 1000 && n_passed[1] >= 1000);
        free_frame(frames[0]);
        free_frame(frames[1]);
        destroy_limiter(&limiter);
    }
    finish();
}
VHOST_TEST(test_mixed_sizes, "rates-mixed-sizes",
           "rates: long and short packets", TEST_DPDK);

/* Several threads. */

#define CALLS_PER_THREAD 30000

struct sender {
    struct limiter *limiter;
    struct rte_mbuf *frame;
    uint64_t n_passed;
};

static void *
send_all(void *sender_)
{
    struct sender *sender = sender_;

    for (int i = 0; i < CALLS_PER_THREAD; i++) {
        sender->n_passed += offer(sender->limiter, sender->frame,
                                  NETDEV_MAX_BURST);
    }
    return NULL;
}

/* The clock moves on whenever it is read, so that the threads together offer
 * twice the rate, whenever each has the CPU. */
static void
check_threads(enum limiter_type type, double burst, uint32_t size, int n)
{
    const double rate = 125e6, tokens = size - ETHER;
    const double at_once = NETDEV_MAX_BURST * tokens;
    const double time = n * CALLS_PER_THREAD * at_once / (2 * rate);
    struct limiter limiter = make_limiter(type, rate, burst);
    struct sender senders[4];
    pthread_t threads[4];
    double passed = 0;

    stub_memory.bucket_step = at_once / (2 * rate) * rte_get_tsc_hz();
    for (int i = 0; i < n; i++) {
        senders[i] = (struct sender) {
            .limiter = &limiter, .frame = make_frame(size),
        };
        threads[i] = ovs_thread_create("sender", send_all, &senders[i]);
    }
    for (int i = 0; i < n; i++) {
        xpthread_join(threads[i], NULL);
        passed += senders[i].n_passed * tokens;
        free_frame(senders[i].frame);
    }
    stub_memory.bucket_step = 0;
    printf("%s: %d threads, burst %.0f, frames of %"PRIu32" bytes: %.1f %%\n",
           limiter_names[type], n, burst, size, 100 * passed / (rate * time));
    CHECK(passed >= 0.9 * rate * time);
    CHECK(passed <= rate * time + 2 * most_of(rate, burst, tokens,
                                              NETDEV_MAX_BURST));
    destroy_limiter(&limiter);
}

static void
test_threads(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start();
    for (int type = 0; type < N_LIMITER_TYPES; type++) {
        for (int n = 1; n <= 4; n *= 2) {
            check_threads(type, MTU + 1, 1500, n);
            check_threads(type, 12500, MAX_FRAME, n);
        }
    }
    finish();
}
VHOST_TEST(test_threads, "rates-threads",
           "rates: several threads", TEST_DPDK | TEST_PARALLEL);

/* Packets a second. */

static void
test_packets(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct vhost_limit bytes = { .rate = 1250000, .burst = 12500 };
    const struct vhost_limit few = { .rate = 1000, .burst = 1000 };
    struct load load = {
        .tokens = 1, .n = NETDEV_MAX_BURST, .n_bursts = 1,
    };
    struct limiter limiter = { NULL, NULL };

    start();
    for (uint64_t rate = 1000; rate <= 100000000; rate *= 100) {
        for (uint64_t burst = 1000; burst <= 16000; burst += 15000) {
            const struct vhost_limit packets = {
                .rate = rate, .burst = burst
            };

            /* A packet is one, however long it is. */
            for (int s = 0; s < ARRAY_SIZE(sizes); s++) {
                limiter.policer = vhost_policer_create_for(NULL, &packets);
                load.rate = rate;
                load.most = most_of(rate, burst, 1, load.n);
                check_load("packets", &limiter, &load, sizes[s], burst);
                destroy_limiter(&limiter);
            }
        }
    }

    /* With both limits, the one that allows less is reached. */
    limiter.policer = vhost_policer_create_for(&bytes, &few);
    load.rate = few.rate;
    load.most = most_of(few.rate, few.burst, 1, load.n);
    check_load("both", &limiter, &load, 64, few.burst);
    destroy_limiter(&limiter);

    limiter.policer = vhost_policer_create_for(&bytes, &few);
    load.rate = bytes.rate;
    load.tokens = 1500 - ETHER;
    load.most = most_of(bytes.rate, bytes.burst, load.tokens, load.n);
    check_load("both", &limiter, &load, 1500, bytes.burst);
    destroy_limiter(&limiter);
    finish();
}
VHOST_TEST(test_packets, "rates-packets", "rates: packets a second",
           TEST_DPDK);

/* A packet that one limit drops takes nothing from the other. */
static void
test_two_limits(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_limit bytes = { .rate = 1, .burst = 10000 };
    struct vhost_limit packets = { .rate = 1, .burst = 5 };
    struct limiter limiter = { NULL, NULL };
    struct rte_mbuf *frame, *empty;

    start();
    frame = make_frame(1000 + ETHER);
    empty = make_frame(ETHER);

    limiter.policer = vhost_policer_create_for(&bytes, &packets);
    CHECK_INT(offer(&limiter, frame, 32), 5);
    CHECK_INT(offer(&limiter, frame, 32), 0);
    pass_seconds(5.5);
    CHECK_INT(offer(&limiter, frame, 32), 5);
    pass_seconds(5);
    CHECK_INT(offer(&limiter, frame, 32), 0);
    destroy_limiter(&limiter);

    bytes.burst = 2000;
    packets.burst = 10;
    limiter.policer = vhost_policer_create_for(&bytes, &packets);
    CHECK_INT(offer(&limiter, frame, 32), 2);
    CHECK_INT(offer(&limiter, empty, 32), 8);
    destroy_limiter(&limiter);

    free_frame(frame);
    free_frame(empty);
    finish();
}
VHOST_TEST(test_two_limits, "rates-two-limits",
           "rates: bytes and packets", TEST_DPDK);

/* What OVS asks of a port. */
static void
test_port(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev;
    struct vhost_port *port;
    struct limiter limiter = { NULL, NULL };
    struct rte_mbuf *frame;
    unsigned int n = 0;

    start();
    frame = make_frame(MAX_FRAME);
    netdev = open_client("vhu0", path_of("s0"));
    port = vhost_port_cast(netdev);

    /* Thousands of packets; 16 of them by default. */
    CHECK_INT(netdev_set_policing(netdev, 0, 0, 2, 0), 0);
    limiter.policer = ovsrcu_get(struct vhost_policer *, &port->policer);
    CHECK(limiter.policer);
    for (int i = 0; i < 1000; i++) {
        n += offer(&limiter, frame, 32);
    }
    CHECK_INT(n, 16000);
    pass_seconds(0.0055);
    CHECK_INT(offer(&limiter, frame, 32), 11);

    /* The same again keeps what is there, the rest does not. */
    CHECK_INT(netdev_set_policing(netdev, 0, 0, 2, 16), 0);
    CHECK_INT(netdev_set_policing(netdev, 0, 1, 2, 16), 0);
    CHECK(ovsrcu_get(struct vhost_policer *, &port->policer)
          == limiter.policer);
    CHECK_INT(netdev_set_policing(netdev, 0, 0, 2, 1), 0);
    CHECK(ovsrcu_get(struct vhost_policer *, &port->policer)
          != limiter.policer);
    limiter.policer = ovsrcu_get(struct vhost_policer *, &port->policer);
    n = 0;
    for (int i = 0; i < 100; i++) {
        n += offer(&limiter, frame, 32);
    }
    CHECK_INT(n, 1000);

    /* Both: 8 kbit are one packet of 1000 bytes. */
    CHECK_INT(netdev_set_policing(netdev, 1, 8, 2, 1), 0);
    limiter.policer = ovsrcu_get(struct vhost_policer *, &port->policer);
    frame->pkt_len = 1000 + ETHER;
    CHECK_INT(offer(&limiter, frame, 32), 1);
    CHECK_INT(netdev_set_policing(netdev, 0, 8, 0, 1), 0);
    CHECK(!ovsrcu_get(struct vhost_policer *, &port->policer));

    free_frame(frame);
    netdev_close(netdev);
    check_sessions_closed();
    finish();
}
VHOST_TEST(test_port, "rates-port", "rates: a port's policer", TEST_DPDK);

/* A packet without a whole Ethernet header counts nothing. */
static void
test_runts(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start();
    for (int type = 0; type < N_LIMITER_TYPES; type++) {
        struct limiter limiter = make_limiter(type, 2, 1000);
        struct rte_mbuf *runt = make_frame(ETHER - 1);
        struct rte_mbuf *frame = make_frame(1000 + ETHER);

        CHECK_INT(offer(&limiter, runt, 32), 32);
        CHECK_INT(offer(&limiter, frame, 32), type == TRTCM_POLICER ? 2 : 1);
        free_frame(runt);
        free_frame(frame);
        destroy_limiter(&limiter);
    }
    finish();
}
VHOST_TEST(test_runts, "rates-runts", "rates: runts", TEST_DPDK);

/* Colors. */

static uint64_t
queue_packets(struct vhost_qos *qos, uint32_t id)
{
    struct netdev_queue_stats stats;

    CHECK_INT(vhost_qos_get_queue_stats(qos, id, &stats), 0);
    return stats.tx_packets;
}

/* What a queue lets pass is counted; a port that has only committed bursts
 * lets the green ones of these pass. */
static void
check_colors(uint32_t size, uint64_t cbs, uint64_t ebs)
{
    const double cir = 1e6, eir = 3e6, tokens = size - ETHER;
    const double interval = 32 * tokens / (2 * (cir + eir));
    const double huge = 1e12;
    struct limiter limiter = {
        NULL, make_qos("trtcm-policer", huge, huge, 0, 0)
    };
    struct rte_mbuf *frame = make_frame(size);
    double n_green = 0, n_all, time;

    set_queue(limiter.qos, 0, cir, cbs, eir, ebs);
    /* Use up what there is at first. */
    do {
        n_all = queue_packets(limiter.qos, 0);
        pass_seconds(interval);
        offer(&limiter, frame, 32);
    } while (queue_packets(limiter.qos, 0) == n_all + 32);

    n_all = queue_packets(limiter.qos, 0);
    time = MAX(1000 * interval, 10 * (cbs / cir + ebs / eir));
    for (int i = 0; i * interval < time; i++) {
        pass_seconds(interval);
        n_green += offer(&limiter, frame, 32);
    }
    n_all = queue_packets(limiter.qos, 0) - n_all;
    printf("trtcm-policer: frames of %"PRIu32" bytes, cbs %"PRIu64", "
           "ebs %"PRIu64": green %.1f %%, yellow %.1f %%\n", size, cbs, ebs,
           100 * n_green * tokens / (cir * time),
           100 * (n_all - n_green) * tokens / (eir * time));
    CHECK(n_green * tokens >= 0.9 * cir * time);
    CHECK(n_green * tokens <= 1.1 * cir * time);
    CHECK((n_all - n_green) * tokens >= 0.9 * eir * time);
    CHECK((n_all - n_green) * tokens <= 1.1 * eir * time);
    free_frame(frame);
    destroy_limiter(&limiter);
}

static void
test_colors(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct limiter limiter = { NULL, NULL };
    struct rte_mbuf *frame;

    start();
    for (int s = 0; s < ARRAY_SIZE(sizes); s++) {
        for (int b = 0; b < ARRAY_SIZE(bursts); b++) {
            check_colors(sizes[s], bursts[b], MTU + 1);
            check_colors(sizes[s], MTU + 1, bursts[b]);
        }
    }

    /* At one time: three green, two yellow, the rest red.  A port with
     * committed bursts only takes the green ones... */
    frame = make_frame(1000 + ETHER);
    limiter.qos = make_qos("trtcm-policer", 1, 100000, 0, 0);
    set_queue(limiter.qos, 0, 1, 3000, 1, 2000);
    CHECK_INT(offer(&limiter, frame, 8), 3);
    CHECK_INT(queue_packets(limiter.qos, 0), 5);
    vhost_qos_destroy(limiter.qos);

    /* ...one with excess bursts only takes green and yellow ones... */
    limiter.qos = make_qos("trtcm-policer", 0, 0, 1, 100000);
    set_queue(limiter.qos, 0, 1, 3000, 1, 2000);
    CHECK_INT(offer(&limiter, frame, 8), 5);
    vhost_qos_destroy(limiter.qos);

    /* ...and one with both takes a yellow one for an excess burst, even if
     * committed bursts are left. */
    limiter.qos = make_qos("trtcm-policer", 1, 100000, 1, 1000);
    set_queue(limiter.qos, 0, 1, 3000, 1, 2000);
    CHECK_INT(offer(&limiter, frame, 8), 4);
    free_frame(frame);

    /* A long packet in debt: the first is green, the second yellow. */
    vhost_qos_destroy(limiter.qos);
    frame = make_frame(MAX_FRAME);
    limiter.qos = make_qos("trtcm-policer", 1, 1000000, 0, 0);
    set_queue(limiter.qos, 0, 1, 3000, 1, 2000);
    set_priority(frame, 7);
    CHECK_INT(offer(&limiter, frame, 8), 1);
    CHECK_INT(queue_packets(limiter.qos, 0), 2);
    free_frame(frame);
    vhost_qos_destroy(limiter.qos);
    finish();
}
VHOST_TEST(test_colors, "rates-colors", "rates: colors", TEST_DPDK);
