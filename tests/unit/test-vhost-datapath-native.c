/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* What both directions of the native data path have in common. */

#include <config.h>
#undef NDEBUG

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "native-fixture.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "virtq-driver.h"

/* Descriptors of length 0, in buffers of both directions; buffers of nothing
 * else. */
static void
test_empty(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < ARRAY_SIZE(all_features); i++) {
        bool mergeable = all_features[i] & FEATURE(VIRTIO_NET_F_MRG_RXBUF);
        struct driver_piece pieces[4] = { { PAGE, 0 } };
        struct rte_mbuf *mbuf;
        uint32_t written;

        start(1, all_features[i], 64);
        guest_write(&guest, PAGE, "\0\0\0\0\0\0\0\0\0\0\0\0xyz", 15);
        CHECK(driver_add(&driver, pieces, 1, false) >= 0);
        pieces[1] = (struct driver_piece) { PAGE, hdr_len };
        pieces[3] = (struct driver_piece) { PAGE + 12, 3 };
        CHECK(driver_add(&driver, pieces, 4, false) >= 0);
        CHECK_INT(native->dequeue(&device, q, pool->mp, &mbuf, 1, &counters),
                  0);
        CHECK_INT(counters.rx_runt_drops, 1);
        CHECK_INT(receive(&mbuf, 1), 1);
        CHECK_INT(mbuf->pkt_len, 3);
        CHECK(!memcmp(rte_pktmbuf_mtod(mbuf, char *), "xyz", 3));
        rte_pktmbuf_free(mbuf);
        CHECK(driver_get(&driver, &written) >= 0);
        CHECK(driver_get(&driver, &written) >= 0);
        stop();

        /* An empty buffer is in the way of one packet, at most. */
        start(0, all_features[i], 64);
        CHECK(driver_add(&driver, pieces, 1, false) >= 0);
        pieces[1] = (struct driver_piece) { PAGE, hdr_len + 1 };
        pieces[3] = (struct driver_piece) { PAGE + hdr_len + 1, 200 };
        CHECK(driver_add(&driver, pieces, 4, false) >= 0);
        CHECK(driver_add(&driver, pieces, 4, false) >= 0);
        CHECK_INT(send_one(1, 100, false), 1);
        CHECK_INT(counters.tx_small_buffer_drops, !mergeable);
        CHECK_INT(send_one(2, 100, false), 1);
        CHECK_INT(COUNTER(good_packets), 1 + mergeable);
        CHECK(driver_get(&driver, &written) >= 0);
        CHECK_INT(written, 0);
        CHECK(driver_get(&driver, &written) >= 0);
        CHECK_INT(written, hdr_len + 100);
        stop();
    }
    finish();
}
VHOST_TEST(test_empty, "native-empty", "native: empty descriptors", TEST_DPDK);

/* How often the guest was notified since the last time. */
static unsigned int
n_calls(int fd)
{
    eventfd_t value;

    return eventfd_read(fd, &value) ? 0 : value;
}

static void
test_calls(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < ARRAY_SIZE(all_features); i++) {
        struct rte_vhost_vring ring = { .size = 64 };
        int other = eventfd(0, EFD_NONBLOCK), fds[2];

        start(0, all_features[i], 64);
        fcntl(callfd, F_SETFL, O_NONBLOCK);
        offer(4, 2048);
        CHECK_INT(send_one(1, 100, false), 1);
        CHECK_INT(n_calls(callfd), 1);
        driver_want_call(&driver, false);
        CHECK_INT(send_one(1, 100, false), 1);
        CHECK_INT(n_calls(callfd), 0);
        CHECK_INT(COUNTER(guest_notifications), 1);

        /* Another eventfd, which is called once in any case. */
        ring.desc = driver.desc;
        ring.avail = driver.avail;
        ring.used = driver.used;
        ring.callfd = other;
        guest_set_ring(test_vid, 0, &ring, 0);
        native->renew_call(&device, q);
        CHECK_INT(n_calls(other), 1);

        /* What is not an eventfd gets nothing. */
        CHECK(!pipe(fds));
        ring.callfd = fds[1];
        guest_set_ring(test_vid, 0, &ring, 0);
        native->renew_call(&device, q);
        while (send_one(1, 100, false)) {
            continue;
        }
        CHECK(!fcntl(fds[0], F_SETFL, O_NONBLOCK));
        CHECK(read(fds[0], &i, 1) < 0);
        CHECK_INT(n_calls(other), 0);
        close(fds[0]);
        close(fds[1]);
        close(other);
        stop();
    }
    CHECK_LOGGED("an eventfd was expected");
    finish();
}
VHOST_TEST(test_calls, "native-calls", "native: notifications", TEST_DPDK);

static void
test_log(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 4; i++) {
        bool packed = i & 1, log = i & 2;
        uint64_t features = ((packed ? FEATURE(VIRTIO_F_RING_PACKED) : 0)
                             | (log ? FEATURE(VHOST_F_LOG_ALL) : 0));

        start(0, features, 64);
        stub_vhost.n_logged = 0;
        offer(1, 2048);
        CHECK_INT(send_one(1, 100, false), 1);
        CHECK_INT(stub_vhost.n_logged,
                  !log ? 0 : hdr_len + 100 + (packed ? 16 : 8 + 2));
        stop();
    }
    finish();
}
VHOST_TEST(test_log, "native-log", "native: dirty log", TEST_DPDK);

/* A queue that the guest breaks says so, and works when it is set up anew. */
static void
test_fault(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2 * ARRAY_SIZE(all_features); i++) {
        bool is_rx = i & 1;
        struct rte_mbuf *mbuf;
        const char *fault;

        start(is_rx, all_features[i / 2], 64);
        CHECK(driver_add_simple(&driver, guest.end - 50, 100) >= 0);
        offer(1, 100);
        CHECK_INT(is_rx ? receive(&mbuf, 1) : send_one(1, 50, false), 0);
        atomic_read_relaxed(&q->fault, &fault);
        CHECK_STR(fault, "a descriptor points outside of the guest's memory");
        CHECK_INT(native->n_pending(&device, q), 0);
        CHECK_INT(is_rx ? receive(&mbuf, 1) : send_one(1, 50, false), 0);
        stop();

        start(is_rx, all_features[i / 2], 64);
        atomic_read_relaxed(&q->fault, &fault);
        CHECK_STR(fault, NULL);
        if (is_rx) {
            guest_sends(1, 50, 100);
            receive_one(1, 50);
        } else {
            offer(1, 100);
            CHECK_INT(send_one(1, 50, false), 1);
        }
        stop();
    }
    finish();
}
VHOST_TEST(test_fault, "native-fault", "native: broken ring", TEST_DPDK);

/* A thread that receives, while the queue is taken away and given back again
 * and again: no packet is lost, none comes twice. */

static bool done;
static unsigned int n_received;

static void *
receiver(void *arg OVS_UNUSED)
{
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        struct rte_mbuf *mbufs[32];
        unsigned int n = receive(mbufs, 32);

        for (unsigned int i = 0; i < n; i++) {
            CHECK_INT(*rte_pktmbuf_mtod_offset(mbufs[i], uint8_t *, 1),
                      byte_of(n_received++, 1));
        }
        rte_pktmbuf_free_bulk(mbufs, n);
    }
    return NULL;
}

static void
test_pause(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        unsigned int n_sent = 0, n_got = 0;
        pthread_t thread;
        uint32_t written;

        start(1, i ? FEATURE(VIRTIO_F_RING_PACKED) : 0, 16);
        done = false;
        n_received = 0;
        thread = ovs_thread_create("receiver", receiver, NULL);
        for (int j = 0; j < 1000; j++) {
            while (n_sent - n_got < 16) {
                guest_sends(n_sent++, 60, 1 << 20);
            }
            if (j % 10 == 0) {
                CHECK(native->suspend(&device, q));
                native->await(&device, 1, 1, VHOST_AWAIT_NONE);
                native->hand_back(&device, q);
                CHECK(!is_running());
                native->start(&device, q);
            }
            while (driver_get(&driver, &written) >= 0) {
                n_got++;
            }
        }
        while (n_got < n_sent) {
            n_got += driver_get(&driver, &written) >= 0;
        }
        __atomic_store_n(&done, true, __ATOMIC_RELAXED);
        xpthread_join(thread, NULL);
        CHECK_INT(n_received, n_sent);
        stop();
    }
    finish();
}
VHOST_TEST(test_pause, "native-pause", "native: paused under load", TEST_DPDK);
