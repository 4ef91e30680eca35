/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* What Open vSwitch sends since 4.0: as many segments at once as it has cut a
 * packet into, and packets in tunnels with requests for several headers. */

#include <config.h>
#undef NDEBUG

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <linux/virtio_net.h>
#include <rte_mbuf.h>

#include "rxtx-fixture.h"
#include "smap.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"

#if OVS_SINCE(4, 0)
#include "dp-packet-gso.h"

enum tunnel { NONE, VXLAN, GENEVE, GRE };

/* A packet from us: TCP or UDP over IP, perhaps in a tunnel over IPv4. */
struct spec {
    enum tunnel tunnel;
    int version;                /* IP's, inside of the tunnel. */
    bool is_tcp;
    bool is_mbuf;
    size_t payload;             /* Bytes. */

    /* Checksums that are requested.  The others are there. */
    bool outer_ip, outer_udp, ip, l4;
};

/* Returns where the IP header is, inside of the tunnel. */
static size_t
l3_ofs(const struct spec *s)
{
    return s->tunnel == NONE ? 14 : s->tunnel == GRE ? 52 : 64;
}

static size_t
l4_ofs(const struct spec *s)
{
    return l3_ofs(s) + (s->version == 4 ? 20 : 40);
}

static size_t
payload_ofs(const struct spec *s)
{
    return l4_ofs(s) + (s->is_tcp ? 20 : 8);
}

static void
put16(uint8_t *p, uint16_t value)
{
    p[0] = value >> 8;
    p[1] = value;
}

static uint16_t
get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

/* Checksums, without Open vSwitch's functions. */

static uint32_t
add(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum += i % 2 ? p[i] : p[i] << 8;
    }
    return sum;
}

/* Returns 0xffff for what has a correct checksum. */
static uint16_t
fold(uint32_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

/* The sum over what is from the IP header at 'ip' to 'end', but that. */
static uint16_t
l4_sum(const uint8_t *ip, const uint8_t *end)
{
    bool is_ipv4 = ip[0] == 0x45;
    const uint8_t *l4 = ip + (is_ipv4 ? 20 : 40);
    uint32_t sum = add(0, ip + (is_ipv4 ? 12 : 8), is_ipv4 ? 8 : 32);

    sum += (is_ipv4 ? ip[9] : ip[6]) + (end - l4);
    return fold(add(sum, l4, end - l4));
}

/* Writes an IP header at 'ip', to which 'protocol' follows, up to 'end'. */
static void
put_ip(uint8_t *ip, int version, uint8_t protocol, const uint8_t *end,
       bool is_partial)
{
    if (version == 4) {
        ip[0] = 0x45;
        put16(ip + 2, end - ip);
        ip[8] = 64;
        ip[9] = protocol;
        memcpy(ip + 12, "\x0a\x00\x00\x01\xc0\xa8\x17\xfe", 8);
        put16(ip + 10, is_partial ? 0xabcd : ~fold(add(0, ip, 20)));
    } else {
        ip[0] = 0x60;
        put16(ip + 4, end - ip - 40);
        ip[6] = protocol;
        ip[7] = 64;
        memset(ip + 8, 0xfd, 16);
        memset(ip + 24, 0x2b, 16);
    }
}

/* Writes the headers from Ethernet's at 'data' to that of the tunnel. */
static void
put_tunnel(const struct spec *s, uint8_t *data, const uint8_t *end)
{
    uint8_t *header = data + 34;

    put16(data + 12, 0x0800);
    put_ip(data + 14, 4, s->tunnel == GRE ? 47 : 17, end, s->outer_ip);
    if (s->tunnel == GRE) {
        put16(header + 2, 0x6558);
        return;
    }
    put16(header, 54321);
    put16(header + 2, s->tunnel == VXLAN ? 4789 : 6081);
    put16(header + 4, end - header);
    put16(header + 6, s->outer_udp ? 0xabcd : 0);
    header[8] = s->tunnel == VXLAN ? 8 : 0;
    put16(header + 10, s->tunnel == VXLAN ? 0 : 0x6558);
    header[13] = 77;
}

/* Has the switch ask for what 's' says. */
static void
request(const struct spec *s, struct dp_packet *packet)
{
    dp_packet_reset_offload(packet);
    if (s->ip) {
        dp_packet_ip_checksum_set_partial(packet);
    }
    if (s->l4) {
        dp_packet_l4_checksum_set_partial(packet);
    }
    if (s->is_tcp) {
        dp_packet_l4_proto_set_tcp(packet);
    } else {
        dp_packet_l4_proto_set_udp(packet);
    }
    packet->l3_ofs = l3_ofs(s);
    packet->l4_ofs = l4_ofs(s);
    if (s->tunnel == NONE) {
        return;
    }

    packet->offloads <<= DP_PACKET_OL_SHIFT_COUNT;
    packet->inner_l3_ofs = packet->l3_ofs;
    packet->inner_l4_ofs = packet->l4_ofs;
    packet->l3_ofs = 14;
    packet->l4_ofs = 34;
    if (s->tunnel == GRE) {
        dp_packet_tunnel_set_gre(packet);
    } else if (s->tunnel == VXLAN) {
        dp_packet_tunnel_set_vxlan(packet);
    } else {
        dp_packet_tunnel_set_geneve(packet);
    }
    if (s->outer_ip) {
        dp_packet_ip_checksum_set_partial(packet);
    }
    if (s->outer_udp) {
        dp_packet_l4_checksum_set_partial(packet);
        dp_packet_l4_proto_set_udp(packet);
    }
}

static struct dp_packet *
make_request(const struct spec *s)
{
    size_t size = payload_ofs(s) + s->payload;
    struct dp_packet *packet = s->is_mbuf ? make_mbuf(size)
                                          : make_packet(size);
    uint8_t *data = dp_packet_data(packet);
    uint8_t *end = data + size;
    uint8_t *ip = data + l3_ofs(s);
    uint8_t *l4 = data + l4_ofs(s);

    memset(data, 0, size);
    for (size_t i = 0; i < s->payload; i++) {
        data[payload_ofs(s) + i] = i * 7 + i / 251;
    }
    put16(ip - 2, s->version == 4 ? 0x0800 : 0x86dd);
    put_ip(ip, s->version, s->is_tcp ? 6 : 17, end, s->ip);
    put16(l4, 1234);
    put16(l4 + 2, 80);
    if (s->is_tcp) {
        l4[12] = 0x50;
        l4[13] = 0x18;
    } else {
        put16(l4 + 4, end - l4);
    }
    put16(l4 + (s->is_tcp ? 16 : 6), s->l4 ? 0xabcd : ~l4_sum(ip, end));
    if (s->tunnel != NONE) {
        put_tunnel(s, data, end);
    }
    request(s, packet);
    return packet;
}

/* Checks the IP header at 'ip' of what ends at 'end', with its checksum unless
 * that is 'requested'. */
static void
check_ip(const uint8_t *ip, const uint8_t *end, bool requested)
{
    if (ip[0] == 0x45) {
        CHECK_INT(get16(ip + 2), end - ip);
        CHECK(requested || fold(add(0, ip, 20)) == 0xffff);
    } else {
        CHECK_INT(ip[0], 0x60);
        CHECK_INT(get16(ip + 4), end - ip - 40);
    }
}

/* Checks that the guest gets 'size' bytes, from 'offset' of the payload of 's'
 * on.  It may be left to complete checksums of the first headers only, if it
 * takes that. */
static void
check_packet(const struct spec *s, size_t offset, size_t size,
             bool takes_requests)
{
    struct guest_packet *got = guest_receive(vid, 0);
    bool ip_left, l4_left;
    const uint8_t *ip, *l4, *end, *payload;

    CHECK(got);
    end = got->data + got->size;
    ip = got->data + l3_ofs(s);
    l4 = got->data + l4_ofs(s);
    payload = got->data + payload_ofs(s);
    CHECK_INT(end - payload, size);
    for (size_t i = 0; i < size; i++) {
        CHECK_INT(payload[i],
                  (uint8_t) ((offset + i) * 7 + (offset + i) / 251));
    }
    if (s->is_tcp) {
        CHECK_INT(get16(l4 + 4) << 16 | get16(l4 + 6), offset);
    }

    ip_left = (got->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0;
    l4_left = (got->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0;
    CHECK(takes_requests || (!ip_left && !l4_left));
    CHECK(!(got->ol_flags & RTE_MBUF_F_TX_TUNNEL_MASK));
    if (ip_left || l4_left) {
        CHECK_INT(got->l2_len, 14);
        CHECK_INT(got->l3_len,
                  s->tunnel != NONE || s->version == 4 ? 20 : 40);
    }
    if (s->tunnel != NONE) {
        check_ip(got->data + 14, end, ip_left);
        if (s->tunnel != GRE) {
            CHECK_INT(get16(got->data + 38), end - (got->data + 34));
        }
        if (s->outer_udp) {
            CHECK(get16(got->data + 40));
            CHECK(l4_left || l4_sum(got->data + 14, end) == 0xffff);
        }
        ip_left = l4_left = false;
    }
    check_ip(ip, end, ip_left);
    CHECK(l4_left || l4_sum(ip, end) == 0xffff);
    guest_packet_free(got);
}

/* Sends a packet as 's' says, cut into 'segment_size' bytes unless that is 0,
 * and checks what the guest gets. */
static void
check_sent(const struct spec *s, uint16_t segment_size, bool takes_requests)
{
    struct dp_packet *packet = make_request(s);
    size_t step = segment_size ? segment_size : s->payload;
    struct dp_packet_batch batch;

    dp_packet_batch_init_packet(&batch, packet);
    if (segment_size) {
        dp_packet_set_tso_segsz(packet, segment_size);
        dp_packet_gso_batch(&batch);
    }
    CHECK_INT(dp_packet_batch_size(&batch), DIV_ROUND_UP(s->payload, step));
    CHECK_INT(netdev_send(netdev, 0, &batch, true), 0);
    for (size_t i = 0; i < s->payload; i += step) {
        check_packet(s, i, MIN(step, s->payload - i), takes_requests);
    }
    CHECK(!guest_receive(vid, 0));
    dp_packet_batch_destroy(&batch);
}

/* One packet, cut into 1000. */
static const struct spec large = {
    .version = 4, .is_tcp = true, .payload = 64000, .ip = true, .l4 = true,
};
#endif

static void
test_segments(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
#if OVS_SINCE(4, 0)
    struct smap details = SMAP_INITIALIZER(&details);
    struct dp_packet_batch batch;

    for (int i = 0; i < 3; i++) {
        struct dp_packet *packet;

        start_port(1, i == 1 ? UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM : 0);
        check_sent(&large, 64, i == 1);
        if (i == 2) {
            /* The policer lets a burst pass. */
            smap_add(&details, "cir", "1");
            smap_add(&details, "cbs", "50000");
            CHECK_INT(netdev_set_qos(netdev, "egress-policer", &details), 0);
        } else {
            guest_disconnect(vid);
        }
        packet = make_request(&large);
        dp_packet_set_tso_segsz(packet, 64);
        dp_packet_batch_init_packet(&batch, packet);
        dp_packet_gso_batch(&batch);
        CHECK_INT(netdev_send(netdev, 0, &batch, true), 0);
        dp_packet_batch_destroy(&batch);
        if (i == 2) {
            int n = 50000 / (20 + 20 + 64);

            for (int j = 0; j < n; j++) {
                check_packet(&large, j * 64, 64, false);
            }
            CHECK(!guest_receive(vid, 0));
            CHECK_INT(counter_of(netdev, "ovs_tx_qos_drops"), 1000 - n);
            finish_port();
        } else {
            CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 1000);
            close_port();
        }
    }
    smap_destroy(&details);
#endif
}
VHOST_TEST(test_segments, "gso-segments",
           "Open vSwitch's segments: many at once", TEST_DPDK);

static void
test_tunnels(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
#if OVS_SINCE(4, 0)
    for (int takes = 0; takes < 2; takes++) {
        start_port(1, takes ? UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM : 0);
        for (unsigned int i = 0; i < 3 << 7; i++) {
            struct spec s = {
                .tunnel = VXLAN + (i >> 7),
                .version = i & 64 ? 6 : 4,
                .is_tcp = i & 32,
                .is_mbuf = i & 16,
                .payload = 1051,
                .outer_ip = i & 8,
                .outer_udp = i & 4,
                .ip = i & 2,
                .l4 = i & 1,
            };

            if ((s.tunnel == GRE && s.outer_udp)
                || (s.version == 6 && s.ip)) {
                continue;
            }
            check_sent(&s, 0, takes);
            if (s.is_tcp && s.l4) {
                check_sent(&s, 100, takes);
            }
        }
        finish_port();
    }
#endif
}
VHOST_TEST(test_tunnels, "gso-tunnels",
           "Open vSwitch's segments: tunnels", TEST_DPDK);
