/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Packets that stay in the guest's memory. */

#include <config.h>
#undef NDEBUG

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "native-fixture.h"
#include "ovs-thread.h"
#include "stub-memory.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-mapping.h"
#include "vhost-zerocopy.h"

static struct vhost_mapping mappings[32];

static void
start_zerocopy(uint64_t features, unsigned int size)
{
    for (size_t i = 0; i < ARRAY_SIZE(mappings); i++) {
        mappings[i].owner = CONST_CAST(char *, "vhu0");
        mappings[i].size = 1 << 20;
        ovs_refcount_init(&mappings[i].refcount);
    }
    zero_copy_mapping = &mappings[0];
    start(1, features, size);
    zero_copy_mapping = NULL;
}

/* Nobody but us refers to the mappings. */
static void
stop_zerocopy(void)
{
    stop();
    for (size_t i = 0; i < ARRAY_SIZE(mappings); i++) {
        CHECK_INT(ovs_refcount_read(&mappings[i].refcount), 1);
    }
}

static bool
is_in_guest(const struct rte_mbuf *mbuf)
{
    const void *data = rte_pktmbuf_mtod(mbuf, void *);
    bool in_guest = guest_memory_contains(&guest.memory, data, mbuf->pkt_len);

    /* Devices use the address of the process, or none. */
    CHECK(!in_guest
          || (rte_eal_iova_mode() == RTE_IOVA_VA
              ? rte_mbuf_data_iova(mbuf) == (uintptr_t) data
              : mbuf->buf_iova == RTE_BAD_IOVA));
    return in_guest;
}

static void
check_packet(const struct rte_mbuf *mbuf, unsigned int number, uint32_t len)
{
    CHECK_INT(mbuf->pkt_len, len);
    CHECK_INT(mbuf->data_len, len);
    for (unsigned int i = 0; i < len; i++) {
        CHECK_INT(*rte_pktmbuf_mtod_offset(mbuf, uint8_t *, i),
                  byte_of(number, i));
    }
}

/* Has the switch look, without anything new, and returns how many buffers the
 * guest then has back. */
static unsigned int
n_returned(void)
{
    struct rte_mbuf *mbuf;
    unsigned int n = 0;
    uint32_t written;

    CHECK_INT(receive(&mbuf, 1), 0);
    while (driver_get(&driver, &written) >= 0) {
        CHECK_INT(written, 0);
        n++;
    }
    return n;
}

/* Time goes by. */
static void
lose_patience(void)
{
    CHECK_INT(n_returned(), 0);
    usleep(2 * VHOST_ZEROCOPY_PATIENCE);
}

/* There must be nothing that is not the packet's but room for a VLAN tag. */
static void
check_room(const struct rte_mbuf *mbuf, unsigned int headroom)
{
    CHECK_INT(rte_pktmbuf_headroom(mbuf), headroom);
    CHECK_INT(rte_pktmbuf_tailroom(mbuf), 0);
}

static void
test_receive(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct {
        uint32_t len, piece;
        bool zero_copy;
    } cases[] = {
        { 1500, 1 << 20, true },
        { VHOST_ZEROCOPY_MIN_LEN, 1 << 20, true },
        { VHOST_ZEROCOPY_MIN_LEN - 1, 1 << 20, false },
        { 60, 1 << 20, false },
        { 1500, 1000, false },
        { 1500, 100, false },
    };

    for (int i = 0; i < N_FEATURES; i++) {
        struct rte_mbuf *mbuf;
        unsigned int n = 0;

        start_zerocopy(all_features[i], 256);
        for (int j = 0; j < ARRAY_SIZE(cases); j++) {
            guest_sends(j, cases[j].len, cases[j].piece);
            CHECK_INT(receive(&mbuf, 1), 1);
            CHECK_INT(is_in_guest(mbuf), cases[j].zero_copy);
            check_packet(mbuf, j, cases[j].len);
            CHECK_INT(n_returned(), !cases[j].zero_copy);
            n += cases[j].zero_copy;
            CHECK_INT(COUNTER(inflight_submitted), n);
            CHECK_INT(vhost_zerocopy_n_out(q->native.zerocopy),
                      cases[j].zero_copy);
            if (cases[j].zero_copy) {
                check_room(mbuf, 4);
            }
            rte_pktmbuf_free(mbuf);
            CHECK_INT(n_returned(), cases[j].zero_copy);
            CHECK_INT(COUNTER(inflight_completed), n);
            CHECK_INT(vhost_zerocopy_n_out(q->native.zerocopy), 0);
        }
        CHECK_INT(COUNTER(good_packets), ARRAY_SIZE(cases));

        /* The header in a piece of its own. */
        for (int with_hole = 0; with_hole < 2; with_hole++) {
            const struct driver_piece pieces[] = {
                { PAGE, hdr_len }, { PAGE + 4096, 1500 - with_hole },
                { PAGE + 8192, 1 }
            };

            CHECK(driver_add(&driver, pieces, 2 + with_hole, false) >= 0);
            CHECK_INT(receive(&mbuf, 1), 1);
            CHECK_INT(mbuf->pkt_len, 1500);
            CHECK_INT(is_in_guest(mbuf), !with_hole);
            if (!with_hole) {
                check_room(mbuf, 0);
            }
            rte_pktmbuf_free(mbuf);
            CHECK_INT(n_returned(), 1);
        }

        /* An odd address. */
        CHECK(driver_add_simple(&driver, PAGE + 1, hdr_len + 1500) >= 0);
        CHECK_INT(receive(&mbuf, 1), 1);
        CHECK_INT(mbuf->pkt_len, 1500);
        CHECK(!is_in_guest(mbuf));
        rte_pktmbuf_free(mbuf);
        CHECK_INT(n_returned(), 1);
        stop_zerocopy();
    }
    finish();
}
VHOST_TEST(test_receive, "zerocopy-receive", "zero-copy: received", TEST_DPDK);

/* Buffers go back in order if they can, and out of order if they must. */
static void
test_order(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < N_FEATURES; i++) {
        struct rte_mbuf *mbufs[5];
        int ids[5];
        uint32_t written;

        for (int late = 0; late < 2; late++) {
            /* Not to be too late on a busy machine. */
            stub_memory.tsc_multiplier = late ? 1 : 1000;
            start_zerocopy(all_features[i], 256);
            for (int j = 0; j < 5; j++) {
                guest_sends(j, j == 3 ? 60 : 1500, 1 << 20);
            }
            CHECK_INT(receive(mbufs, 5), 5);
            rte_pktmbuf_free(mbufs[2]);
            rte_pktmbuf_free(mbufs[1]);
            rte_pktmbuf_free(mbufs[3]);
            CHECK_INT(n_returned(), 0);
            if (late) {
                lose_patience();
                CHECK_INT(n_returned(), 3);
                CHECK_INT(vhost_zerocopy_n_out(q->native.zerocopy), 2);
                rte_pktmbuf_free(mbufs[4]);
                CHECK_INT(n_returned(), 1);
                rte_pktmbuf_free(mbufs[0]);
                CHECK_INT(n_returned(), 1);
            } else {
                CHECK_INT(receive(&mbufs[1], 1), 0);
                rte_pktmbuf_free(mbufs[0]);
                CHECK_INT(receive(&mbufs[1], 1), 0);
                for (int j = 0; j < 4; j++) {
                    ids[j] = driver_get(&driver, &written);
                    CHECK(ids[j] >= 0 && (!j || ids[j] == ids[j - 1] - 1));
                }
                CHECK(driver_get(&driver, &written) < 0);
                rte_pktmbuf_free(mbufs[4]);
                CHECK_INT(n_returned(), 1);
            }
            CHECK_INT(COUNTER(inflight_completed), 4);
            stop_zerocopy();
        }
    }
    finish();
}
VHOST_TEST(test_order, "zerocopy-order",
           "zero-copy: order of buffers", TEST_DPDK);

/* However much is held, the guest can go on. */
static void
test_starvation(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < N_FEATURES; i++) {
        struct rte_mbuf *held[32], *mbuf;
        unsigned int n_sent = 0, n_back = 0;
        uint32_t written;

        start_zerocopy(all_features[i], 64);
        while (n_sent < 32) {
            guest_sends(n_sent, 1500, 1 << 20);
            CHECK_INT(receive(&held[n_sent++], 1), 1);
        }
        for (long long int end = time_msec() + 10000;
             n_sent < 1000 && time_msec() < end;) {
            if (n_sent - n_back < 64) {
                guest_sends(n_sent, 1500, 1 << 20);
            }
            if (receive(&mbuf, 1)) {
                CHECK(!is_in_guest(mbuf));
                check_packet(mbuf, n_sent++, 1500);
                rte_pktmbuf_free(mbuf);
            }
            while (driver_get(&driver, &written) >= 0) {
                n_back++;
            }
        }
        CHECK_INT(n_sent, 1000);
        CHECK(n_back >= 1000 - 64);

        /* What is held has not changed. */
        for (int j = 0; j < 32; j++) {
            CHECK(is_in_guest(held[j]));
            rte_pktmbuf_free(held[j]);
        }
        n_back += n_returned();
        CHECK_INT(n_back, 1000);
        guest_sends(0, 1500, 1 << 20);
        CHECK_INT(receive(&mbuf, 1), 1);
        CHECK(is_in_guest(mbuf));
        rte_pktmbuf_free(mbuf);
        CHECK_INT(n_returned(), 1);
        stop_zerocopy();
    }
    finish();
}
VHOST_TEST(test_starvation, "zerocopy-starvation",
           "zero-copy: packets that are held", TEST_DPDK);

/* A guest that makes a buffer available again that it has not got back. */
static void
test_overcommitted(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_mbuf *mbufs[128];
    unsigned int n = 0;

    start_zerocopy(0, 16);
    guest_sends(0, 1500, 1 << 20);
    for (int i = 0; i < 16; i++) {
        driver.avail->ring[i] = driver.avail->ring[driver.options.base % 16];
    }
    for (int i = 0; i < 100; i++) {
        __atomic_store_n(&driver.avail->idx, driver.avail->idx + 1,
                         __ATOMIC_RELEASE);
        n += receive(&mbufs[n], 1);
        CHECK(vhost_zerocopy_room(q->native.zerocopy) <= 8 || n < 8);
        CHECK_INT(vhost_zerocopy_n_out(q->native.zerocopy), MIN(n, 8));
    }
    CHECK(n > 90);
    rte_pktmbuf_free_bulk(mbufs, n);
    stop_zerocopy();
    finish();
}
VHOST_TEST(test_overcommitted, "zerocopy-overcommitted",
           "zero-copy: overcommitted ring", TEST_DPDK);

/* The guest gets everything back when its ring stops, and packets are still
 * there when it does not. */
static void
test_stop(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < N_FEATURES; i++) {
        struct vhost_vring_stats stats;
        struct rte_mbuf *mbufs[16];
        unsigned int n_packets;
        uint64_t size;

        start_zerocopy(all_features[i], 64);
        for (int j = 0; j < 16; j++) {
            guest_sends(j, j & 1 ? 60 : 1500, 1 << 20);
        }
        CHECK_INT(receive(mbufs, 16), 16);
        for (int j = 0; j < 16; j += 4) {
            rte_pktmbuf_free(mbufs[j]);
        }

        CHECK(native->suspend(&device, q));
        native->stop(&device, q, vhost_zerocopy_deadline());
        CHECK(native->get_stats(&device, q, &stats));
        CHECK_INT(stats.inflight_submitted, 8);
        CHECK_INT(stats.inflight_completed, 8);
        native->hand_back(&device, q);
        for (uint32_t j = 0; j < 16; j++) {
            uint32_t written;

            CHECK(driver_get(&driver, &written) >= 0);
        }
        CHECK(!q->native.zerocopy);
        vhost_zerocopy_sweep();
        CHECK(vhost_zerocopy_has_retired());
        vhost_zerocopy_get_pinned("vhu0", &n_packets, &size);
        CHECK_INT(n_packets, 4);
        CHECK_INT(size, 1 << 20);
        vhost_zerocopy_get_pinned("vhu1", &n_packets, &size);
        CHECK_INT(n_packets, 0);
        CHECK_INT(size, 0);
        CHECK_INT(ovs_refcount_read(&mappings[0].refcount), 2);
        for (int j = 0; j < 16; j++) {
            if (j % 4) {
                check_packet(mbufs[j], j, j & 1 ? 60 : 1500);
                rte_pktmbuf_free(mbufs[j]);
            }
        }
        vhost_zerocopy_sweep();
        CHECK(!vhost_zerocopy_has_retired());
        native->start(&device, q);
        stop_zerocopy();
    }
    finish();
}
VHOST_TEST(test_stop, "zerocopy-stop", "zero-copy: ring stops", TEST_DPDK);

static void
replace_memory(struct vhost_mapping *new)
{
    CHECK(native->suspend(&device, q));
    native->hand_back(&device, q);
    if (new) {
        new->memory = guest.memory;
    }
    device.mapping = new;
    native->start(&device, q);
    CHECK(is_running());
}

/* The guest's memory changes while packets are in it. */
static void
test_new_memory(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < N_FEATURES; i++) {
        struct rte_mbuf *mbufs[32];
        int n = 0;

        start_zerocopy(all_features[i], 64);
        guest_sends(0, 1500, 1 << 20);
        CHECK_INT(receive(&mbufs[0], 1), 1);
        replace_memory(&mappings[1]);
        guest_sends(1, 1500, 1 << 20);
        CHECK_INT(receive(&mbufs[1], 1), 1);
        CHECK(is_in_guest(mbufs[1]));
        CHECK_INT(n_returned(), 0);
        check_packet(mbufs[0], 0, 1500);
        rte_pktmbuf_free(mbufs[0]);
        CHECK_INT(n_returned(), 1);
        vhost_zerocopy_sweep();
        CHECK_INT(ovs_refcount_read(&mappings[0].refcount), 1);
        CHECK_INT(ovs_refcount_read(&mappings[1].refcount), 2);
        rte_pktmbuf_free(mbufs[1]);
        CHECK_INT(n_returned(), 1);

        /* Over and over, with a packet in each that stays: in the end, packets
         * are copied. */
        for (n = 0; n < ARRAY_SIZE(mappings); n++) {
            replace_memory(&mappings[n]);
            guest_sends(n, 1500, 1 << 20);
            CHECK_INT(receive(&mbufs[n], 1), 1);
            if (!is_in_guest(mbufs[n])) {
                n++;
                break;
            }
        }
        CHECK(n > VHOST_ZEROCOPY_MAX_PREVIOUS && n < ARRAY_SIZE(mappings));
        CHECK_INT(n_returned(), n);
        rte_pktmbuf_free_bulk(mbufs, n);
        stop_zerocopy();

        /* No mapping at all. */
        start_zerocopy(all_features[i], 64);
        guest_sends(0, 1500, 1 << 20);
        CHECK_INT(receive(&mbufs[0], 1), 1);
        replace_memory(NULL);
        CHECK_INT(n_returned(), 1);
        guest_sends(1, 1500, 1 << 20);
        receive_one(1, 1500);
        rte_pktmbuf_free(mbufs[0]);
        stop_zerocopy();
    }
    finish();
}
VHOST_TEST(test_new_memory, "zerocopy-new-memory",
           "zero-copy: guest's memory changes", TEST_DPDK);

/* A port appears that cannot read the guest's memory. */
static void
test_obstacle(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_mbuf *mbuf;

    start_zerocopy(0, 64);
    atomic_store_relaxed(&mappings[0].dma.obstacle, "a wall");
    guest_sends(0, 1500, 1 << 20);
    CHECK_INT(receive(&mbuf, 1), 1);
    CHECK(!is_in_guest(mbuf));
    rte_pktmbuf_free(mbuf);
    stop_zerocopy();
    finish();
}
VHOST_TEST(test_obstacle, "zerocopy-obstacle",
           "zero-copy: a port that cannot read the memory", TEST_DPDK);

/* Another thread frees the mbufs, in an order of its own. */

#define QUEUE_SIZE 64
static struct rte_mbuf *queue[QUEUE_SIZE];
static unsigned int n_queued, n_freed;

static void *
consume(void *arg OVS_UNUSED)
{
    struct rte_mbuf *held[16] = { NULL };
    unsigned int seed = 1;

    for (;;) {
        unsigned int n = __atomic_load_n(&n_queued, __ATOMIC_ACQUIRE);
        unsigned int victim = rand_r(&seed) % ARRAY_SIZE(held);

        if (n == n_freed) {
            continue;
        }
        rte_pktmbuf_free(held[victim]);
        held[victim] = queue[n_freed % QUEUE_SIZE];
        __atomic_store_n(&n_freed, n_freed + 1, __ATOMIC_RELEASE);
        if (!held[victim]) {
            break;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
        rte_pktmbuf_free(held[i]);
    }
    return NULL;
}

static void
enqueue(struct rte_mbuf *mbuf)
{
    while (n_queued - __atomic_load_n(&n_freed, __ATOMIC_ACQUIRE)
           == QUEUE_SIZE) {
        sched_yield();
    }
    queue[n_queued % QUEUE_SIZE] = mbuf;
    __atomic_store_n(&n_queued, n_queued + 1, __ATOMIC_RELEASE);
}

static void
test_threads(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        unsigned int n_sent = 0, n_got = 0, n_received = 0;
        pthread_t thread;
        uint32_t written;

        start_zerocopy(i ? FEATURE(VIRTIO_F_RING_PACKED) : 0, 16);
        n_queued = n_freed = 0;
        thread = ovs_thread_create("consumer", consume, NULL);
        while (n_got < 3000) {
            struct rte_mbuf *mbufs[32];
            unsigned int n;

            if (n_sent < 3000 && n_sent - n_got < 16) {
                guest_sends(n_sent, n_sent % 3 ? 1500 : 60, 1 << 20);
                n_sent++;
            }
            n = receive(mbufs, 32);
            for (unsigned int j = 0; j < n; j++, n_received++) {
                /* The first bytes: a buffer is only reused when it is back. */
                check_packet(mbufs[j], n_received,
                             n_received % 3 ? 1500 : 60);
                enqueue(mbufs[j]);
            }
            if (n_received == 3000) {
                enqueue(NULL);
                n_received++;
            }
            while (driver_get(&driver, &written) >= 0) {
                n_got++;
            }
        }
        xpthread_join(thread, NULL);
        CHECK(COUNTER(inflight_submitted) > 100);
        CHECK_INT(COUNTER(inflight_completed), COUNTER(inflight_submitted));
        stop_zerocopy();
    }
    finish();
}
VHOST_TEST(test_threads, "zerocopy-threads",
           "zero-copy: other threads", TEST_DPDK);
