/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-segment.h"

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "csum.h"
#include "dp-packet.h"
#include "netdev-provider.h"
#include "packets.h"
#include "smap.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "userspace-tso.h"
#include "vhost-compat.h"
#include "vhost-offload.h"
#include "vhost-port.h"

#define ALL_FLAGS (RTE_TCP_CWR_FLAG | RTE_TCP_ECE_FLAG | RTE_TCP_ACK_FLAG \
                   | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG)
#define FIRST_SEQ UINT32_C(0xfffff000)  /* Wraps in the packet. */
#define FIRST_ID UINT16_C(0xffff)

/* Of a packet to be cut: 'tags' VLAN tags, IPv4 or IPv6 ('ip'), 'payload'
 * bytes, and 'padding' bytes behind them. */
struct shape {
    unsigned int tags;
    unsigned int ip;
    unsigned int options;       /* Of TCP, in words. */
    unsigned int payload;
    unsigned int padding;
    unsigned int segment_size;
};

static uint8_t
payload_byte(unsigned int i)
{
    return i * 7 + i / 251;
}

static unsigned int
l3_len(const struct shape *s)
{
    return s->ip == 4 ? sizeof(struct rte_ipv4_hdr)
                      : sizeof(struct rte_ipv6_hdr);
}

/* Returns a packet of that shape that asks for segments. */
static struct dp_packet *
make_request(const struct shape *s)
{
    unsigned int l2_len = 14 + 4 * s->tags, l4_len = 20 + 4 * s->options;
    unsigned int l4_ofs = l2_len + l3_len(s);
    size_t size = l4_ofs + l4_len + s->payload + s->padding;
    struct dp_packet *packet = dp_packet_new(size);
    uint8_t *data = dp_packet_put_zeros(packet, size);
    struct rte_tcp_hdr *tcp = (void *) (data + l4_ofs);

    if (s->ip == 4) {
        struct rte_ipv4_hdr *ip = (void *) (data + l2_len);

        ip->version_ihl = 0x45;
        ip->next_proto_id = IPPROTO_TCP;
        ip->packet_id = htons(FIRST_ID);
        ip->total_length = htons(20 + l4_len + s->payload);
        ip->src_addr = htonl(0x0a000001);
        ip->dst_addr = htonl(0x0a000002);
    } else {
        struct rte_ipv6_hdr *ip = (void *) (data + l2_len);

        ip->vtc_flow = htonl(6 << 28);
        ip->proto = IPPROTO_TCP;
        ip->payload_len = htons(l4_len + s->payload);
        memset(&ip->src_addr, 0x11, 16);
        memset(&ip->dst_addr, 0x22, 16);
    }
    tcp->sent_seq = htonl(FIRST_SEQ);
    tcp->data_off = (5 + s->options) << 4;
    tcp->tcp_flags = ALL_FLAGS;
    memset(tcp + 1, 1, 4 * s->options);
    for (unsigned int i = 0; i < s->payload; i++) {
        data[l4_ofs + l4_len + i] = payload_byte(i);
    }
    memset(data + l4_ofs + l4_len + s->payload, 0xee, s->padding);

    dp_packet_set_l3(packet, data + l2_len);
    dp_packet_set_l4(packet, tcp);
    dp_packet_set_l2_pad_size(packet, s->padding);
    packet->mbuf.ol_flags |= (RTE_MBUF_F_TX_TCP_SEG
                              | (s->ip == 4 ? RTE_MBUF_F_TX_IPV4
                                            : RTE_MBUF_F_TX_IPV6));
    packet->mbuf.l2_len = l2_len;
    packet->mbuf.l3_len = l3_len(s);
    packet->mbuf.l4_len = l4_len;
    packet->mbuf.tso_segsz = s->segment_size;
    return packet;
}

/* Returns the checksum over the pseudo header and the 'size' bytes of TCP at
 * 'tcp': 0 if the one in there is right. */
static uint16_t
tcp_csum(const void *l3, unsigned int ip, const void *tcp, size_t size)
{
    uint32_t sum;

    if (ip == 4) {
        sum = packet_csum_pseudoheader(l3);
    } else {
        sum = packet_csum_pseudoheader6(l3);
    }
    return csum_finish(csum_continue(sum, tcp, size));
}

/* Checks segment number 'index' of a packet of shape 's', with complete
 * checksums, in the 'size' bytes at 'data', behind 'done' bytes of the
 * payload.  Returns how many it has. */
static unsigned int
check_segment(const struct shape *s, unsigned int index, unsigned int done,
              const uint8_t *data, size_t size)
{
    unsigned int l2_len = 14 + 4 * s->tags, l4_len = 20 + 4 * s->options;
    unsigned int headers = l2_len + l3_len(s) + l4_len;
    unsigned int n = MIN(s->segment_size, s->payload - done);
    bool is_last = done + n == s->payload;
    const void *l3 = data + l2_len;
    const struct rte_tcp_hdr *tcp = (const void *) (data + l2_len + l3_len(s));

    CHECK_INT(size, headers + n);
    if (s->ip == 4) {
        const struct rte_ipv4_hdr *ip = l3;

        CHECK_INT(ntohs(ip->total_length), 20 + l4_len + n);
        CHECK_INT(ntohs(ip->packet_id), (uint16_t) (FIRST_ID + index));
        CHECK_INT(csum(ip, sizeof *ip), 0);
    } else {
        const struct rte_ipv6_hdr *ip = l3;

        CHECK_INT(ntohs(ip->payload_len), l4_len + n);
    }
    CHECK_INT(ntohl(tcp->sent_seq), (uint32_t) (FIRST_SEQ + done));
    CHECK_INT(tcp->tcp_flags,
              ALL_FLAGS & ~(index ? RTE_TCP_CWR_FLAG : 0)
              & ~(is_last ? 0 : RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG));
    CHECK_INT(tcp_csum(l3, s->ip, tcp, l4_len + n), 0);
    for (unsigned int i = 0; i < n; i++) {
        CHECK(data[headers + i] == payload_byte(done + i));
    }
    return n;
}

static struct netdev *netdev;
static struct vhost_port *port;
static int vid;

static void
start(uint64_t features)
{
    netdev = open_client("vhu0", path_of("s0"));
    port = vhost_port_cast(netdev);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, features);
    guest_start(vid, 1);
    CHECK(reconfigure(netdev));
}

static void
finish(void)
{
    CHECK_INT(rte_mempool_in_use_count(port->mp), 0);
    netdev_close(netdev);
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}

static void
test_segmenter(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct shape shapes[] = {
        { 0, 4, 0, 5000, 0, 1448 },
        { 1, 4, 3, 4 * 1000, 6, 1000 },         /* No remainder. */
        { 2, 6, 10, 65000 - 100, 0, 1400 },
        { 0, 6, 0, 1, 5, 1400 },
        { 0, 4, 0, 65535 - 54, 0, 64 },         /* The largest packet. */
    };
    struct rte_mempool *mp;

    start(0);
    mp = port->mp;
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        const struct shape *s = &shapes[i];
        struct dp_packet *packet = make_request(s);
        unsigned int n = 0, done = 0;
        struct vhost_segmenter cut;

        vhost_segmenter_init(&cut, &packet->mbuf);
        while (vhost_segmenter_has_next(&cut)) {
            struct rte_mbuf *mbuf = vhost_segmenter_next(&cut, mp);

            CHECK(mbuf);
            CHECK_INT(mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG, 0);
            vhost_offload_complete(mbuf);
            CHECK_INT(mbuf->ol_flags & VHOST_OFFLOAD_FLAGS, 0);
            done += check_segment(s, n++, done,
                                  rte_pktmbuf_mtod(mbuf, uint8_t *),
                                  mbuf->pkt_len);
            rte_pktmbuf_free(mbuf);
        }
        CHECK_INT(done, s->payload);
        CHECK_INT(n, DIV_ROUND_UP(s->payload, s->segment_size));
        dp_packet_delete(packet);
    }

    /* A segment that no mbuf is large enough for. */
    struct shape huge = { 0, 4, 0, 20000, 0, 10000 };
    struct dp_packet *packet = make_request(&huge);
    struct vhost_segmenter cut;

    vhost_segmenter_init(&cut, &packet->mbuf);
    CHECK(!vhost_segmenter_next(&cut, mp));
    CHECK(vhost_segmenter_has_next(&cut));
    dp_packet_delete(packet);
    finish();
}
VHOST_TEST(test_segmenter, "segment", "segments: cut here", TEST_DPDK);

/* Hands 'packet' to the provider as the switch would if it believed that the
 * port takes any request. */
static void
send_one(struct dp_packet *packet)
{
    struct dp_packet_batch batch;

    request_offloads(packet,
                     packet->mbuf.ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK);
    dp_packet_batch_init_packet(&batch, packet);
    CHECK_INT(netdev->netdev_class->send(netdev, 0, &batch, true), 0);
}

/* Sends a packet of shape 's'.  Returns 0 if the guest got it as it is, or the
 * number of complete segments that it got. */
static unsigned int
send_request(const struct shape *s)
{
    struct dp_packet *packet = make_request(s);
    size_t size = dp_packet_size(packet);
    struct guest_packet *got;
    unsigned int n = 0, done = 0;

    send_one(packet);
    while ((got = guest_receive(vid, 0))) {
        if (got->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
            CHECK_INT(got->size, size);
            guest_packet_free(got);
            CHECK(!guest_receive(vid, 0));
            return 0;
        }
        CHECK_INT(got->ol_flags & VHOST_OFFLOAD_FLAGS, 0);
        done += check_segment(s, n++, done, got->data, got->size);
        guest_packet_free(got);
    }
    CHECK_INT(done, s->payload);
    return n;
}

#define BIT(FEATURE) (UINT64_C(1) << VIRTIO_NET_F_##FEATURE)
#define ALL (BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) \
             | UINT64_C(1) << VIRTIO_F_VERSION_1)

/* A guest gets what it has negotiated and the port's options permit, from now
 * on and without being disconnected. */
static void
test_fallback(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct smap config = SMAP_CONST1(&config, "userspace-tso-enable",
                                           "true");
    const struct shape v4 = { 0, 4, 3, 65000, 0, 1448 };
    const struct shape v6 = { 1, 6, 3, 5000, 0, 1428 };
    char *error;
    struct guest_packet *got;

    userspace_tso_init(&config);
    start(0);
    CHECK_INT(send_request(&v4), 45);
    CHECK_INT(send_request(&v6), 4);
    guest_disconnect(vid);

    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
    guest_start(vid, 1);
    CHECK_INT(send_request(&v4), 0);

    /* It takes checksums, but no segments of IPv6. */
    send_one(make_request(&v6));
    for (int i = 0; i < 4; i++) {
        got = guest_receive(vid, 0);
        CHECK_INT(got->ol_flags & RTE_MBUF_F_TX_L4_MASK,
                  RTE_MBUF_F_TX_TCP_CKSUM);
        CHECK_INT(got->ol_flags & RTE_MBUF_F_TX_TCP_SEG, 0);
        CHECK_INT(got->l2_len + got->l3_len, 14 + 4 + 40);
        guest_packet_free(got);
    }
    CHECK(!guest_receive(vid, 0));
    guest_disconnect(vid);

    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, ALL);
    guest_start(vid, 1);
    CHECK_INT(send_request(&v4), 0);
    CHECK_INT(send_request(&v6), 0);
    forget_log();
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          "tx-csum-offload", "false", NULL), 0);
    CHECK_LOGGED("packets to the guest are complete");
    CHECK_INT(send_request(&v4), 45);
    CHECK_INT(send_request(&v6), 4);
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          "tx-seg-offload", "false", NULL), 0);
    send_one(make_request(&v6));
    for (int i = 0; i < 4; i++) {
        got = guest_receive(vid, 0);
        CHECK_INT(got->ol_flags & RTE_MBUF_F_TX_L4_MASK,
                  RTE_MBUF_F_TX_TCP_CKSUM);
        guest_packet_free(got);
    }
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          NULL), 0);
    CHECK_INT(send_request(&v4), 0);
    CHECK(netdev->ol_flags & NETDEV_TX_OFFLOAD_TCP_TSO);
    if (VHOST_CHECKSUMS_ALWAYS) {
        CHECK_INT(set_options(netdev, &error, "vhost-server-path",
                              path_of("s0"), "tx-csum-offload", "false", NULL),
                  0);
        CHECK_INT(netdev->ol_flags,
                  OVS_SINCE(3, 6) ? 0 : NETDEV_TX_OFFLOAD_IPV4_CKSUM);
    }

    /* They hold for a guest that comes later, too. */
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          "tx-csum-offload", "false", NULL), 0);
    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, ALL);
    guest_start(vid, 1);
    CHECK_INT(send_request(&v4), 45);
    finish();
}
VHOST_TEST(test_fallback, "segment-fallback",
           "segments: what the guest does not take", TEST_DPDK);

/* Without mbufs, the rest of a packet is dropped and counted. */
static void
test_no_mbufs(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct smap config = SMAP_CONST1(&config, "userspace-tso-enable",
                                           "true");
    const struct shape v4 = { 0, 4, 3, 65000, 0, 1448 };
    struct rte_mbuf **mbufs;
    unsigned int n = 0;

    userspace_tso_init(&config);
    start(0);
    mbufs = xmalloc(port->mp->size * sizeof *mbufs);
    while ((mbufs[n] = rte_pktmbuf_alloc(port->mp))) {
        n++;
    }
    for (int i = 0; i < 10; i++) {
        rte_pktmbuf_free(mbufs[--n]);
    }
    send_one(make_request(&v4));
    CHECK_INT(counter_of(netdev, "ovs_tx_no_mbuf_drops"), 1);
    for (int i = 0; i < 10; i++) {
        struct guest_packet *got = guest_receive(vid, 0);

        CHECK(got);
        guest_packet_free(got);
    }
    CHECK(!guest_receive(vid, 0));
    rte_pktmbuf_free_bulk(mbufs, n);
    free(mbufs);
    finish();
}
VHOST_TEST(test_no_mbufs, "segment-no-mbufs", "segments: no mbufs", TEST_DPDK);
