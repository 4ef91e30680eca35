/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>

#include <linux/virtio_net.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "native-fixture.h"
#include "ovs-atomic.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-mempool.h"
#include "virtq-driver.h"

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
