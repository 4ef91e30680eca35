/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Offload requests of the switch, on their way to the guest. */

#include <config.h>
#undef NDEBUG

#include <string.h>

#include <linux/virtio_net.h>
#include <rte_mbuf.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "packets.h"
#include "rxtx-fixture.h"
#include "smap.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "userspace-tso.h"
#include "util.h"
#include "vhost-compat.h"

/* Adds the layers of an IPv4/TCP packet, of which 'l4_size' bytes are there,
 * to 'packet'. */
static void
set_layers(struct dp_packet *packet, size_t l4_size, unsigned int tcp_words)
{
    struct tcp_header *tcp;

    dp_packet_set_size(packet, 14 + 20 + l4_size);
    dp_packet_set_l3(packet, (char *) dp_packet_data(packet) + 14);
    dp_packet_set_l4(packet, (char *) dp_packet_data(packet) + 34);
    tcp = dp_packet_l4(packet);
    tcp->tcp_ctl = TCP_CTL(0, tcp_words);
}

static void
check_invalid(struct dp_packet *packet, const char *message)
{
    long long int n = counter_of(netdev, "ovs_tx_invalid_hwol_drops");

    forget_log();
    send_packet(packet);
    CHECK_INT(counter_of(netdev, "ovs_tx_invalid_hwol_drops"), n + 1);
    CHECK(!guest_receive(vid, 0));
    CHECK_LOGGED(message);
}

#define CHECKSUMS (UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM)
#define SEGMENTS (CHECKSUMS | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4   \
                  | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6)

static void
test_offloads(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct smap config = SMAP_CONST1(&config, "userspace-tso-enable",
                                           "true");
    struct guest_packet *got;
    struct dp_packet *packet;

    userspace_tso_init(&config);
    start_port(1, SEGMENTS);
    CHECK(netdev->ol_flags & NETDEV_TX_OFFLOAD_TCP_TSO);

    /* No request. */
    packet = make_mbuf(60);
    send_packet(packet);
    got = guest_receive(vid, 0);
    CHECK_INT(got->ol_flags & (RTE_MBUF_F_TX_L4_MASK
                               | RTE_MBUF_F_TX_TCP_SEG), 0);
    CHECK_INT(got->l2_len + got->l3_len + got->l4_len, 0);
    guest_packet_free(got);

    /* A check sum, of a packet of DPDK's and of another. */
    for (int i = 0; i < 2; i++) {
        packet = i ? make_packet(200) : make_mbuf(200);
        set_layers(packet, 166, 5);
        request_offloads(packet, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
        send_packet(packet);
        got = guest_receive(vid, 0);
        CHECK(got);
        CHECK_INT(got->size, 200);
        CHECK((got->ol_flags & RTE_MBUF_F_TX_L4_MASK)
              == RTE_MBUF_F_TX_TCP_CKSUM);
        CHECK_INT(got->l2_len, 14);
        CHECK_INT(got->l3_len, 20);
        guest_packet_free(got);
    }

    /* Segmentation, of a packet that is longer than the MTU. */
    packet = make_packet(6000);
    set_layers(packet, 6000 - 34, 8);
    request_offloads(packet, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG);
    send_packet(packet);
    got = guest_receive(vid, 0);
    CHECK(got);
    CHECK_INT(got->size, 6000);
    CHECK(got->n_segs > 1);
    CHECK_INT(got->l2_len, 14);
    CHECK_INT(got->l3_len, 20);
    CHECK_INT(got->l4_len, 32);
    CHECK_INT(got->tso_segsz, 1500 - 20 - 32);
    CHECK((got->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM);
    CHECK(got->ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
    guest_packet_free(got);
    packet = make_mbuf(1000);
    set_layers(packet, 1000 - 34, 5);
    request_offloads(packet, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_SEG);
    send_packet(packet);
    got = guest_receive(vid, 0);
    CHECK(!(got->ol_flags & RTE_MBUF_F_TX_IP_CKSUM));
    guest_packet_free(got);

    /* Requests that make no sense. */
    packet = make_mbuf(100);
    request_offloads(packet, RTE_MBUF_F_TX_UDP_CKSUM);
    check_invalid(packet, "without L3 header");
    packet = make_mbuf(100);
    dp_packet_set_l3(packet, (char *) dp_packet_data(packet) + 14);
    request_offloads(packet, RTE_MBUF_F_TX_SCTP_CKSUM);
    check_invalid(packet, "without L4 header");
    packet = make_mbuf(100);
    set_layers(packet, 66, 4);
    request_offloads(packet, RTE_MBUF_F_TX_TCP_SEG);
    check_invalid(packet, "headers of 36 bytes for an MTU of 1500");

    /* A TCP header that is not wholly there. */
    packet = make_mbuf(54);
    set_layers(packet, 19, 5);
    request_offloads(packet, RTE_MBUF_F_TX_TCP_SEG);
    check_invalid(packet, "vhu0: segmentation request");
    packet = make_mbuf(200);
    set_layers(packet, 59, 15);
    request_offloads(packet, RTE_MBUF_F_TX_TCP_SEG);
    check_invalid(packet, "vhu0: segmentation request");
    packet = make_mbuf(200);
    set_layers(packet, 60, 15);
    request_offloads(packet, RTE_MBUF_F_TX_TCP_SEG);
    send_packet(packet);
    guest_packet_free(guest_receive(vid, 0));

    /* Headers that leave no room for data. */
    CHECK_INT(netdev_set_mtu(netdev, 68), 0);
    CHECK(reconfigure(netdev));
    packet = make_mbuf(200);
    set_layers(packet, 166, 12);
    request_offloads(packet, RTE_MBUF_F_TX_TCP_SEG);
    check_invalid(packet, "headers of 68 bytes for an MTU of 68");

    /* Nothing of it costs other packets of a batch anything. */
    struct dp_packet_batch batch;

    dp_packet_batch_init(&batch);
    packet = make_mbuf(60);
    request_offloads(packet, RTE_MBUF_F_TX_UDP_CKSUM);
    dp_packet_batch_add(&batch, packet);
    dp_packet_batch_add(&batch, make_mbuf(60));
    CHECK_INT(netdev_send(netdev, 0, &batch, true), 0);
    check_received(0, 1, 60);
    finish_port();
}
VHOST_TEST(test_offloads, "rxtx-offloads", "packets: offloads", TEST_DPDK);

/* What is in the place of a checksum before it is computed. */
#define PARTIAL_CSUM ((OVS_FORCE ovs_be16) 0x1234)

/* A packet of UDP over IPv4 that asks for 'flags'. */
static struct dp_packet *
make_udp_request(uint64_t flags)
{
    struct dp_packet *packet = make_mbuf(100);
    struct ip_header *ip;
    struct udp_header *udp;

    memset((char *) dp_packet_data(packet) + 14, 0, 28);
    dp_packet_set_l3(packet, (char *) dp_packet_data(packet) + 14);
    dp_packet_set_l4(packet, (char *) dp_packet_data(packet) + 34);
    ip = dp_packet_l3(packet);
    ip->ip_ihl_ver = IP_IHL_VER(5, 4);
    ip->ip_proto = IPPROTO_UDP;
    ip->ip_tot_len = htons(86);
    udp = dp_packet_l4(packet);
    udp->udp_len = htons(66);
    udp->udp_csum = PARTIAL_CSUM;
    request_offloads(packet, RTE_MBUF_F_TX_IPV4 | flags);
    return packet;
}

/* Sends a packet whose checksum is left to the port: is it left to the
 * guest? */
static bool
is_left_to_guest(void)
{
    const struct udp_header *udp;
    struct guest_packet *got;
    bool left;

    send_packet(make_udp_request(RTE_MBUF_F_TX_UDP_CKSUM));
    got = guest_receive(vid, 0);
    CHECK(got);
    udp = (const struct udp_header *) &got->data[34];
    left = (got->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0;
    CHECK(left == (udp->udp_csum == PARTIAL_CSUM));
    CHECK_INT(got->l2_len + got->l3_len, left ? 34 : 0);
    guest_packet_free(got);
    return left;
}

/* What the switch leaves to a guest is what the guest negotiated. */
static void
test_offloads_by_guest(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct smap config = SMAP_CONST1(&config, "userspace-tso-enable",
                                           "true");
    struct guest_packet *got;
    struct dp_packet *packet;

    if (!VHOST_CHECKSUMS_ALWAYS) {
        return;
    }

    /* Without userspace-tso-enable. */
    start_port(1, 0);
    CHECK_INT(netdev->ol_flags, 0);
    CHECK(!is_left_to_guest());
    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, SEGMENTS);
    guest_start(vid, 1);
    CHECK_INT(netdev->ol_flags, (NETDEV_TX_OFFLOAD_IPV4_CKSUM
                                 | NETDEV_TX_OFFLOAD_TCP_CKSUM
                                 | NETDEV_TX_OFFLOAD_UDP_CKSUM
                                 | NETDEV_TX_OFFLOAD_SCTP_CKSUM));
    CHECK(is_left_to_guest());

    /* IPv4's checksum alone. */
    send_packet(make_udp_request(RTE_MBUF_F_TX_IP_CKSUM));
    got = guest_receive(vid, 0);
    CHECK(got->ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
    CHECK_INT(got->l2_len, 14);
    CHECK_INT(got->l3_len, 20);
    guest_packet_free(got);

    /* Without a guest, nothing is left to it. */
    guest_disconnect(vid);
    CHECK_INT(netdev->ol_flags, 0);
    close_port();

    /* Segments are of the size that is asked for, if the MTU permits. */
    userspace_tso_init(&config);
    start_port(1, CHECKSUMS);
    CHECK(!(netdev->ol_flags & NETDEV_TX_OFFLOAD_TCP_TSO));
    CHECK(is_left_to_guest());
    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, SEGMENTS);
    guest_start(vid, 1);
    CHECK(netdev->ol_flags & NETDEV_TX_OFFLOAD_TCP_TSO);
    for (int i = 0; i < 2; i++) {
        packet = i ? make_packet(6000) : make_mbuf(1000);
        set_layers(packet, dp_packet_size(packet) - 34, 5);
        packet->mbuf.tso_segsz = i ? 700 : 2000;
        request_offloads(packet, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG);
        send_packet(packet);
        got = guest_receive(vid, 0);
        CHECK_INT(got->tso_segsz, i ? 700 : 1460);
        guest_packet_free(got);
    }

#if OVS_SINCE(3, 3)
    /* Inside of a tunnel, checksums are completed. */
    packet = make_udp_request(RTE_MBUF_F_TX_UDP_CKSUM);
    packet->inner_l3_ofs = packet->l3_ofs;
    packet->inner_l4_ofs = packet->l4_ofs;
#if OVS_SINCE(3, 6)
    packet->offloads <<= DP_PACKET_OL_SHIFT_COUNT;
    dp_packet_tunnel_set_vxlan(packet);
#else
    packet->mbuf.ol_flags |= (RTE_MBUF_F_TX_TUNNEL_VXLAN
                              | RTE_MBUF_F_TX_OUTER_IPV4);
#endif
    send_packet(packet);
    got = guest_receive(vid, 0);
    CHECK_INT(got->ol_flags & RTE_MBUF_F_TX_L4_MASK, 0);
    CHECK(((const struct udp_header *) &got->data[34])->udp_csum
          != PARTIAL_CSUM);
    guest_packet_free(got);
#endif
    finish_port();
}
VHOST_TEST(test_offloads_by_guest, "rxtx-offloads-by-guest",
           "packets: offloads that the guest takes", TEST_DPDK);
