/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* The native data path. */

#include <config.h>
#undef NDEBUG

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <netinet/in.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_mempool.h>
#include <rte_vhost.h>

#include "native-fixture.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"

static void
test_receive(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint32_t pieces[] = { 1 << 20, 100, 12, 11, 10, 9, 7 };

    for (int i = 0; i < ARRAY_SIZE(all_features); i++) {
        struct rte_mbuf *mbufs[32];
        unsigned int n = 0;

        start(1, all_features[i], 256);
        CHECK_INT(native->n_pending(&device, q), 0);
        CHECK_INT(receive(mbufs, 32), 0);
        for (int j = 0; j < ARRAY_SIZE(pieces); j++) {
            guest_sends(++n, 1500, MAX(pieces[j], 9));
            receive_one(n, 1500);
            guest_sends(++n, 1, MAX(pieces[j], 9));
            receive_one(n, 1);
        }
        CHECK_INT(COUNTER(good_packets), 14);
        CHECK_INT(COUNTER(good_bytes), 7 * 1501);
        CHECK_INT(COUNTER(undersize_packets), 7);
        CHECK_INT(COUNTER(size_1024_1518_packets), 7);

        /* A burst, cut by what is asked for. */
        for (int j = 0; j < 40; j++) {
            guest_sends(j, 64, 1 << 20);
        }
        CHECK_INT(native->n_pending(&device, q), 40);
        CHECK_INT(receive(mbufs, 32), 32);
        rte_pktmbuf_free_bulk(mbufs, 32);
        CHECK_INT(native->n_pending(&device, q), 8);
        CHECK_INT(receive(mbufs, 32), 8);
        rte_pktmbuf_free_bulk(mbufs, 8);
        CHECK_INT(COUNTER(size_64_packets), 40);
        stop();
    }
    finish();
}
VHOST_TEST(test_receive, "native-receive", "native: received", TEST_DPDK);

static void
test_receive_drops(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < ARRAY_SIZE(all_features); i++) {
        struct rte_mbuf *mbufs[32];
        uint32_t room;
        uint32_t written;

        start(1, all_features[i], 32);
        CHECK((mbufs[0] = rte_pktmbuf_alloc(pool->mp)));
        room = rte_pktmbuf_tailroom(mbufs[0]);
        rte_pktmbuf_free(mbufs[0]);

        /* Nothing behind the header, less than a header, which may be in
         * pieces; then a packet. */
        for (uint32_t len = 1; len <= hdr_len; len++) {
            CHECK(driver_add_simple(&driver, PAGE, len) >= 0);
        }
        guest_sends(0, 0, 4);
        guest_sends(1, 60, 1 << 20);
        CHECK_INT(receive(mbufs, 32), 1);
        CHECK_INT(mbufs[0]->pkt_len, 60);
        rte_pktmbuf_free(mbufs[0]);
        CHECK_INT(counters.rx_runt_drops, hdr_len + 1);
        for (int j = 0; j < hdr_len + 2; j++) {
            CHECK(driver_get(&driver, &written) >= 0);
        }

        /* The longest that fits, and one more. */
        guest_sends(1, room, 1 << 20);
        receive_one(1, room);
        guest_sends(1, room + 1, 1 << 20);
        CHECK_INT(receive(mbufs, 32), 0);
        CHECK_INT(counters.rx_oversize_drops, 1);
        CHECK(driver_get(&driver, &written) >= 0);

        /* Larger ones have a buffer of their own. */
        device.large_packets = true;
        guest_sends(2, room + 1, 1 << 20);
        receive_one(2, room + 1);
        guest_sends(3, 60000, 4096);
        receive_one(3, 60000);
        CHECK(driver_add_simple(&driver, PAGE, 65536 + 100) >= 0);
        CHECK_INT(receive(mbufs, 32), 0);
        CHECK_INT(counters.rx_oversize_drops, 2);
        CHECK_INT(COUNTER(good_packets), 4);
        stop();
    }
    finish();
}
VHOST_TEST(test_receive_drops, "native-receive-drops",
           "native: what is dropped", TEST_DPDK);

/* Without mbufs, packets wait. */
static void
test_no_mbufs(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_mbuf **all, *mbufs[32];
    unsigned int n;

    start(1, 0, 64);
    n = rte_mempool_avail_count(pool->mp);
    all = xcalloc(n, sizeof *all);
    CHECK(!rte_pktmbuf_alloc_bulk(pool->mp, all, n));
    guest_sends(5, 100, 1 << 20);
    CHECK_INT(receive(mbufs, 32), 0);
    CHECK_INT(native->n_pending(&device, q), 1);
#if VHOST_HAS_NEW_VRING_STATS
    CHECK_INT(COUNTER(mbuf_alloc_failed), 1);
#endif
    rte_pktmbuf_free_bulk(all, n);
    free(all);
    receive_one(5, 100);
    stop();
    finish();
}
VHOST_TEST(test_no_mbufs, "native-no-mbufs", "native: no mbufs", TEST_DPDK);

static void
test_rarp(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_mbuf *mbufs[32];

    start(1, 0, 64);
    guest_sends(1, 100, 1 << 20);
    atomic_store_relaxed(&device.rarp_address, 0x563412005452);
    CHECK_INT(receive(mbufs, 32), 1);
    CHECK(!memcmp(rte_pktmbuf_mtod(mbufs[0], char *),
                  "\xff\xff\xff\xff\xff\xff\x52\x54\x00\x12\x34\x56\x80\x35",
                  14));
    rte_pktmbuf_free(mbufs[0]);
    receive_one(1, 100);
    stop();
    finish();
}
VHOST_TEST(test_rarp, "native-rarp", "native: RARP", TEST_DPDK);

/* A RARP waits for an mbuf. */
static void
test_rarp_no_mbuf(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_mbuf *mbuf, *all = NULL;

    start(1, 0, 64);
    while ((mbuf = rte_pktmbuf_alloc(pool->mp))) {
        mbuf->next = all;
        all = mbuf;
    }
    atomic_store_relaxed(&device.rarp_address, 0x563412005452);
    CHECK_INT(receive(&mbuf, 1), 0);
    for (; all; all = mbuf) {
        mbuf = all->next;
        all->next = NULL;
        rte_pktmbuf_free(all);
    }
    CHECK_INT(receive(&mbuf, 1), 1);
    CHECK_INT(mbuf->pkt_len, 64);
    rte_pktmbuf_free(mbuf);
    CHECK_INT(receive(&mbuf, 1), 0);
    stop();
    finish();
}
VHOST_TEST(test_rarp_no_mbuf, "native-rarp-no-mbuf",
           "native: RARP without an mbuf", TEST_DPDK);

#define DROPPED UINT64_MAX

/* The guest sends a packet of 'protocol' over IP and asks for 'flags' and
 * 'gso_type'.  Returns the mbuf's flags for that, or DROPPED. */
static uint64_t
request(bool ipv6, uint8_t protocol, uint8_t flags, uint8_t gso_type)
{
    struct virtio_net_hdr hdr = {
        .flags = flags, .gso_type = gso_type, .gso_size = gso_type ? 50 : 0,
        .csum_start = ipv6 ? 54 : 34,
        .csum_offset = protocol == IPPROTO_TCP ? 16 : 6,
    };
    struct driver_piece piece = { PAGE, hdr_len + 200 };
    uint8_t data[300] = { 0 }, *p = data + hdr_len;
    struct rte_mbuf *mbuf;
    uint64_t ol_flags;
    uint32_t written;
    unsigned int n;

    memcpy(data, &hdr, sizeof hdr);
    memcpy(p + 12, ipv6 ? "\x86\xdd\x60" : "\x08\x00\x45", 3);
    p[14 + (ipv6 ? 6 : 9)] = protocol;
    p[14 + (ipv6 ? 5 : 3)] = 200 - (ipv6 ? 54 : 14);
    p[hdr.csum_start + 12] = 5 << 4;
    guest_write(&guest, PAGE, data, piece.len);
    CHECK(driver_add(&driver, &piece, 1, false) >= 0);
    n = receive(&mbuf, 1);
    CHECK(driver_get(&driver, &written) >= 0);
    if (!n) {
        return DROPPED;
    }
    ol_flags = mbuf->ol_flags & (RTE_MBUF_F_TX_L4_MASK
                                 | RTE_MBUF_F_TX_TCP_SEG);
    rte_pktmbuf_free(mbuf);
    return ol_flags;
}

/* What the guest may ask for depends on the features that it has
 * negotiated. */
static void
test_negotiated(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct {
        uint64_t features, tcp4, tcp6;
        unsigned int n_dropped;
    } cases[] = {
        { 0, DROPPED, DROPPED, 7 },
        { FEATURE(VIRTIO_NET_F_HOST_TSO4),
          RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM, DROPPED, 5 },
        { FEATURE(VIRTIO_NET_F_HOST_TSO6),
          DROPPED, RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM, 6 },
    };
    const uint8_t csum = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    const uint8_t tcp4 = VIRTIO_NET_HDR_GSO_TCPV4;
    const uint8_t tcp6 = VIRTIO_NET_HDR_GSO_TCPV6;

    for (int i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        bool has_csum = i & 1;
        uint64_t dropped = has_csum ? DROPPED : 0;

        start(1, cases[i / 2].features
                 | (has_csum ? FEATURE(VIRTIO_NET_F_CSUM) : 0), 64);
        CHECK_INT(request(false, IPPROTO_TCP, csum, 0),
                  has_csum ? RTE_MBUF_F_TX_TCP_CKSUM : 0);
        CHECK_INT(request(false, IPPROTO_TCP, csum, tcp4),
                  has_csum ? cases[i / 2].tcp4 : 0);
        CHECK_INT(request(false, IPPROTO_TCP, csum,
                          tcp4 | VIRTIO_NET_HDR_GSO_ECN),
                  has_csum ? cases[i / 2].tcp4 : 0);
        CHECK_INT(request(true, IPPROTO_TCP, csum, tcp6),
                  has_csum ? cases[i / 2].tcp6 : 0);
        CHECK_INT(request(false, IPPROTO_UDP, csum, VIRTIO_NET_HDR_GSO_UDP),
                  dropped);
        /* Segmentation without the checksum, and of an unknown kind. */
        CHECK_INT(request(false, IPPROTO_TCP, 0, tcp4), dropped);
        CHECK_INT(request(true, IPPROTO_TCP, 0, tcp6), dropped);
        CHECK_INT(request(false, IPPROTO_TCP, csum, 5), dropped);
        /* A checksum of something else, which is completed. */
        CHECK_INT(request(false, IPPROTO_GRE, csum, 0), 0);
        CHECK_INT(counters.rx_invalid_hwol_drops,
                  has_csum ? cases[i / 2].n_dropped : 0);
        CHECK_INT(counters.rx_completed_csums, has_csum);
        stop();
    }
    finish();
}
VHOST_TEST(test_negotiated, "native-negotiated",
           "native: offloads as negotiated", TEST_DPDK);

/* To the guest. */

static struct rte_mbuf *
make_mbuf(unsigned int number, uint32_t len, bool split)
{
    struct rte_mbuf *first = rte_pktmbuf_alloc(pool->mp);
    struct rte_mbuf *last;

    CHECK(first);
    for (uint32_t i = 0; i < len; i++) {
        uint8_t *p;

        if (split && i == len / 2) {
            CHECK((last = rte_pktmbuf_alloc(pool->mp)));
            CHECK(!rte_pktmbuf_chain(first, last));
        }
        CHECK((p = (uint8_t *) rte_pktmbuf_append(first, 1)));
        *p = byte_of(number, i);
    }
    return first;
}

/* Sends packet 'number' and returns what that yields. */
static unsigned int
send_one(unsigned int number, uint32_t len, bool split)
{
    struct rte_mbuf *mbuf = make_mbuf(number, len, split);
    unsigned int n = native->enqueue(&device, q, &mbuf, 1, &counters);

    rte_pktmbuf_free(mbuf);
    return n;
}

/* Makes 'n' buffers of 'len' bytes available, one behind the other. */
static void
offer(unsigned int n, uint32_t len)
{
    for (unsigned int i = 0; i < n; i++) {
        CHECK(driver_add_simple(&driver, PAGE + i * len, len) >= 0);
    }
}

/* Checks that packet 'number' came in 'n' buffers of 'size' bytes, which were
 * offered at 'address'. */
static void
check_received(unsigned int number, uint32_t len, unsigned int n,
               uint32_t size, uint64_t address)
{
    struct virtio_net_hdr_mrg_rxbuf hdr;
    uint32_t left = hdr_len + len, written;

    memset(&hdr, 0, sizeof hdr);
    guest_read(&guest, address, &hdr, hdr_len);
    CHECK_INT(hdr.hdr.flags | hdr.hdr.gso_type, 0);
    CHECK(hdr_len == 10 || hdr.num_buffers == n);
    for (unsigned int i = 0; i < n; i++) {
        CHECK(driver_get(&driver, &written) >= 0);
        CHECK_INT(written, MIN(left, size));
        left -= written;
    }
    CHECK_INT(left, 0);
    for (uint32_t i = 0; i < len; i++) {
        uint8_t c;

        guest_read(&guest, address + hdr_len + i, &c, 1);
        CHECK_INT(c, byte_of(number, i));
    }
}

static void
test_send(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint32_t lens[] = { 1, 60, 64, 127, 256, 257, 1500, 1600 };

    for (int i = 0; i < ARRAY_SIZE(all_features); i++) {
        start(0, all_features[i], 64);
        CHECK_INT(send_one(1, 60, false), 0);
        for (int j = 0; j < ARRAY_SIZE(lens) * 2; j++) {
            uint32_t len = lens[j / 2];

            offer(1, 2048);
            CHECK_INT(send_one(j, len, j & 1 && len > 1), 1);
            check_received(j, len, 1, 2048, PAGE);
        }
        CHECK_INT(COUNTER(good_packets), 2 * ARRAY_SIZE(lens));
        CHECK_INT(COUNTER(size_1519_max_packets), 2);

        /* Headers that are not zero before. */
        offer(1, 2048);
        memset(guest_at(&guest, PAGE), 0xff, 2048);
        CHECK_INT(send_one(7, 100, false), 1);
        check_received(7, 100, 1, 2048, PAGE);
        stop();
    }
    finish();
}
VHOST_TEST(test_send, "native-send", "native: sent", TEST_DPDK);

static void
test_mergeable(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        uint64_t features = (FEATURE(VIRTIO_NET_F_MRG_RXBUF)
                             | (i ? FEATURE(VIRTIO_F_RING_PACKED) : 0));

        start(0, features, 256);
        for (uint32_t size = 12; size < 2000; size += 37) {
            for (int split = 0; split < 2; split++) {
                unsigned int n = DIV_ROUND_UP(12 + 700, size);

                if (n > VIRTQ_MAX_BUFFERS) {
                    continue;
                }
                /* One too few: nothing is taken. */
                offer(n - 1, size);
                CHECK_INT(send_one(3, 700, split), 0);
                CHECK(driver_add_simple(&driver, PAGE + (n - 1) * size,
                                        size) >= 0);
                CHECK_INT(send_one(3, 700, split), 1);
                check_received(3, 700, n, size, PAGE);
            }
        }
        CHECK_INT(counters.tx_small_buffer_drops, 0);
        stop();
    }
    finish();
}
VHOST_TEST(test_mergeable, "native-mergeable",
           "native: mergeable buffers", TEST_DPDK);

static void
test_small_buffers(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start(0, 0, 64);
    offer(1, 110);
    CHECK_INT(send_one(1, 101, false), 1);
    CHECK_INT(counters.tx_small_buffer_drops, 1);
    CHECK_INT(send_one(1, 101, true), 1);
    CHECK_INT(counters.tx_small_buffer_drops, 2);
    CHECK_INT(COUNTER(good_packets), 0);
    CHECK_INT(send_one(1, 100, false), 1);
    check_received(1, 100, 1, 110, PAGE);
    stop();
    finish();
}
VHOST_TEST(test_small_buffers, "native-small-buffers",
           "native: small buffers", TEST_DPDK);

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
        ovsrcu_quiesce();
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
        /* Without this function, RCU does not know that there is another. */
        thread = ovs_thread_create("receiver", receiver, NULL);
        for (int j = 0; j < 1000; j++) {
            while (n_sent - n_got < 16) {
                guest_sends(n_sent++, 60, 1 << 20);
            }
            if (j % 10 == 0) {
                CHECK(native->suspend(&device, q));
                ovsrcu_synchronize();
                native->hand_back(&device, q);
                CHECK(!ovsrcu_get(struct virtq *, &q->native.virtq));
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
