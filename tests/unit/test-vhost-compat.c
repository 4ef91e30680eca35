/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-compat.h"

#include <linux/virtio_net.h>
#include <rte_mbuf.h>

#include "dp-packet.h"
#include "packets.h"
#include "test-vhost.h"
#include "util.h"

/* Received, although from no mempool. */
static struct dp_packet packet;

/* Makes 'packet' one that was received into an mbuf with 'flags', and that
 * another packet was in before. */
static void
receive(uint64_t flags)
{
    static uint8_t data[14 + 20 + 20];
    struct dp_packet_batch batch;

    memset(&packet, 0xff, sizeof packet);
    dp_packet_use_const(&packet, data, sizeof data);
    packet.source = DPBUF_DPDK;
    packet.cutlen = 7;
    packet.packet_type = 0xffffffff;
#if OVS_SINCE(3, 6)
    packet.has_hash = packet.has_mark = true;
    packet.offloads = (DP_PACKET_OL_L4_CKSUM_GOOD | DP_PACKET_OL_TUNNEL_MASK
                       | DP_PACKET_OL_INNER_IP_CKSUM_BAD);
#endif
    packet.mbuf.ol_flags = RTE_MBUF_F_EXTERNAL | flags;
    packet.mbuf.tso_segsz = flags & RTE_MBUF_F_TX_TCP_SEG ? 1000 : 0;
    dp_packet_batch_init_packet(&batch, &packet);
    vhost_init_packets(&batch);
    CHECK_INT(packet.packet_type, htonl(PT_ETH));
    CHECK_INT(packet.cutlen, 0);
    CHECK(!dp_packet_rss_valid(&packet));
    CHECK(packet.mbuf.ol_flags & RTE_MBUF_F_EXTERNAL);
}

/* Requests get from an mbuf to a packet, and back. */
static void
test_requests(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint64_t l4_flags[] = {
        0, RTE_MBUF_F_TX_TCP_CKSUM, RTE_MBUF_F_TX_UDP_CKSUM,
        RTE_MBUF_F_TX_SCTP_CKSUM,
        RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG,
    };
    const uint64_t ip_flags[] = { RTE_MBUF_F_TX_IPV4, RTE_MBUF_F_TX_IPV6 };

    for (int i = 0; i < ARRAY_SIZE(l4_flags); i++) {
        for (int ip = 0; ip < 2 && (!ip || l4_flags[i]); ip++) {
            uint64_t flags = l4_flags[i] ? l4_flags[i] | ip_flags[ip] : 0;
            uint8_t l3[20] = { ip ? 0x60 : 0x45 };

            receive(flags);
#if OVS_SINCE(3, 6)
            CHECK_INT(packet.mbuf.ol_flags, RTE_MBUF_F_EXTERNAL);
            CHECK(dp_packet_l4_checksum_partial(&packet) == (flags != 0));
            CHECK(dp_packet_l4_proto_tcp(&packet) == (i == 1 || i == 4));
            CHECK(dp_packet_l4_proto_udp(&packet) == (i == 2));
            CHECK(dp_packet_l4_proto_sctp(&packet) == (i == 3));
            CHECK(dp_packet_ip_checksum_unknown(&packet));
            CHECK(!dp_packet_tunnel(&packet));
            CHECK(!dp_packet_has_flow_mark(&packet, &(uint32_t) { 0 }));
#endif
            CHECK_INT(packet.mbuf.tso_segsz, i == 4 ? 1000 : 0);
            CHECK(vhost_has_request(&packet) == (flags != 0));
            CHECK(vhost_is_to_be_segmented(&packet) == (i == 4));
            if (flags) {
                CHECK(vhost_request_to_mbuf(&packet, l3));
                CHECK_INT(packet.mbuf.ol_flags, RTE_MBUF_F_EXTERNAL | flags);
            }
        }
    }
}
VHOST_TEST(test_requests, "compat-requests",
           "versions: offload requests", 0);

/* What only the switch can ask for, since 3.6, or should not. */
static void
test_odd_requests(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
#if OVS_SINCE(3, 6)
    const uint8_t l3[20] = { 0x45 };

    receive(0);
    dp_packet_ip_checksum_set_partial(&packet);
    CHECK(vhost_has_request(&packet));
    CHECK(vhost_request_to_mbuf(&packet, l3));
    CHECK_INT(packet.mbuf.ol_flags, (RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_TX_IPV4
                                     | RTE_MBUF_F_TX_IP_CKSUM));

    /* A checksum of no protocol, segments of none but TCP. */
    receive(0);
    dp_packet_l4_checksum_set_partial(&packet);
    CHECK(vhost_has_request(&packet));
    CHECK(!vhost_request_to_mbuf(&packet, l3));
    receive(0);
    dp_packet_l4_proto_set_udp(&packet);
    dp_packet_set_tso_segsz(&packet, 1000);
    CHECK(vhost_has_request(&packet));
    CHECK(!vhost_request_to_mbuf(&packet, l3));

    /* Flags of somebody else. */
    receive(RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM);
    packet.mbuf.ol_flags |= RTE_MBUF_F_TX_TUNNEL_VXLAN | RTE_MBUF_F_TX_UDP_SEG;
    CHECK(vhost_request_to_mbuf(&packet, l3));
    CHECK_INT(packet.mbuf.ol_flags, (RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_TX_IPV4
                                     | RTE_MBUF_F_TX_UDP_CKSUM));

    /* What is inside of a tunnel. */
    receive(0);
    dp_packet_inner_l4_checksum_set_partial(&packet);
    CHECK(vhost_has_request(&packet));
#endif
}
VHOST_TEST(test_odd_requests, "compat-odd-requests",
           "versions: odd offload requests", 0);

/* Which offloads a port has. */
static void
test_tx_offloads(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const uint64_t csum = UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM;
    const uint64_t tso4 = UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4;
    const uint64_t tso6 = UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6;
    const uint64_t sums = (NETDEV_TX_OFFLOAD_IPV4_CKSUM
                           | NETDEV_TX_OFFLOAD_TCP_CKSUM
                           | NETDEV_TX_OFFLOAD_UDP_CKSUM
                           | NETDEV_TX_OFFLOAD_SCTP_CKSUM);
    const uint64_t all = sums | NETDEV_TX_OFFLOAD_TCP_TSO;

    if (!VHOST_CHECKSUMS_ALWAYS) {
        CHECK_INT(vhost_tx_offloads(0, false), 0);
        CHECK_INT(vhost_tx_offloads(0, true), all);
        return;
    }
    CHECK_INT(vhost_tx_offloads(0, true), 0);
    CHECK_INT(vhost_tx_offloads(UINT64_C(1) << VIRTIO_NET_F_MAC, true),
              OVS_SINCE(3, 6) ? 0 : NETDEV_TX_OFFLOAD_IPV4_CKSUM);
    CHECK_INT(vhost_tx_offloads(csum, true), sums);
    CHECK_INT(vhost_tx_offloads(csum | tso4, true), sums);
    CHECK_INT(vhost_tx_offloads(csum | tso4 | tso6, true), all);
    CHECK_INT(vhost_tx_offloads(csum | tso4 | tso6, false), sums);
}
VHOST_TEST(test_tx_offloads, "compat-tx-offloads",
           "versions: offloads of a port", 0);
