/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* What guests ask for in headers, and messages. */

#include <config.h>
#undef NDEBUG

#include <string.h>

#include <netinet/in.h>

#include "dp-packet.h"
#include "flow.h"
#include "packets.h"
#include "test-vhost.h"
#include "unaligned.h"
#include "util.h"
#include "vhost-offload.h"

#define ETH_LEN 14
#define MAX_LEN 2048

#define ALL_FEATURES (UINT64_C(1) << VIRTIO_NET_F_CSUM          \
                      | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4   \
                      | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6)

/* A packet without a mempool, of which 'l3' and 'l4' are where the headers
 * begin. */
static uint8_t buffer[64 + MAX_LEN];
static struct dp_packet packet;
static struct rte_mbuf *const mbuf = &packet.mbuf;
static unsigned int l3, l4;

static uint8_t *
data(void)
{
    return buffer + 64;
}

static void
set_length(unsigned int len)
{
    mbuf->data_len = mbuf->pkt_len = len;
}

/* What is in front of an IP header. */
struct l2 {
    const char *bytes;
    unsigned int len;
};
static const struct l2 untagged = { "", 0 };
static const struct l2 dot1q = { "\x81\x00\x00\x05", 4 };
static const struct l2 dot1ad = { "\x88\xa8\x00\x05", 4 };
static const struct l2 qinq = { "\x88\xa8\x00\x05\x81\x00\x00\x06", 8 };

/* Makes a packet of Ethernet, maybe tags, IP and 'l4_size' bytes, of which the
 * payload is not all zeros. */
static void
make(const struct l2 *tags, bool ipv6, uint8_t protocol, unsigned int l4_size)
{
    uint8_t *p = data();

    memset(buffer, 0, sizeof buffer);
    dp_packet_use_stub(&packet, buffer, sizeof buffer);
    mbuf->data_off = 64;
    mbuf->nb_segs = 1;
    mbuf->ol_flags = 0;
    memcpy(p + 12, tags->bytes, tags->len);
    l3 = ETH_LEN + tags->len;
    l4 = l3 + (ipv6 ? 40 : 20);
    memcpy(p + l3 - 2, ipv6 ? "\x86\xdd" : "\x08\x00", 2);
    p[l3] = ipv6 ? 0x60 : 0x45;
    p[l3 + (ipv6 ? 6 : 9)] = protocol;
    put_unaligned_be16((ovs_be16 *) (p + l3 + (ipv6 ? 4 : 2)),
                       htons(ipv6 ? l4_size : 20 + l4_size));
    for (int i = 0; i < (ipv6 ? 32 : 8); i++) {
        p[l4 - 1 - i] = 0x37 * i;
    }
    p[l4 + 12] = 5 << 4;        /* TCP: length of the header. */
    for (unsigned int i = 20; i < l4_size; i++) {
        p[l4 + i] = i;
    }
    set_length(l4 + l4_size);
}

static struct virtio_net_hdr
checksum_request(uint16_t csum_offset)
{
    return (struct virtio_net_hdr) {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = l4,
        .csum_offset = csum_offset,
    };
}

static struct virtio_net_hdr
segment_request(bool ipv6, uint16_t gso_size)
{
    struct virtio_net_hdr hdr = checksum_request(16);

    hdr.gso_type = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    hdr.gso_size = gso_size;
    hdr.hdr_len = l4 + 20;
    return hdr;
}

/* Does as for a guest that has everything negotiated. */
static enum vhost_offload_fate
ask(const struct virtio_net_hdr *hdr)
{
    return vhost_offload_from_guest(hdr, ALL_FEATURES, mbuf);
}

/* Checks that Open vSwitch sees in the packet what it is asked for. */
static void
check_parser(void)
{
    struct flow flow;

    flow_extract(&packet, &flow);
    CHECK(dp_packet_l3(&packet));
    CHECK(dp_packet_l4(&packet));
    CHECK_INT(packet.l3_ofs, mbuf->l2_len);
    CHECK_INT(packet.l4_ofs, mbuf->l2_len + mbuf->l3_len);
    if (flow.nw_proto == IPPROTO_TCP) {
        CHECK(dp_packet_get_tcp_payload(&packet));
    }
}

/* Adds 'n' bytes at 'p' to 'sum', in ones' complement. */
static uint16_t
add_up(uint16_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t wide = sum + (i & 1 ? p[i] : p[i] << 8);

        sum = wide % 65536 + wide / 65536;
    }
    return sum;
}

static uint16_t
word_at(unsigned int ofs)
{
    return data()[ofs] << 8 | data()[ofs + 1];
}

static void
test_round_trip(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct {
        uint8_t protocol, csum_offset;
        uint64_t flag;
    } protocols[] = {
        { IPPROTO_TCP, 16, RTE_MBUF_F_TX_TCP_CKSUM },
        { IPPROTO_UDP, 6, RTE_MBUF_F_TX_UDP_CKSUM },
        { IPPROTO_SCTP, 8, RTE_MBUF_F_TX_SCTP_CKSUM },
    };
    static const struct l2 *const tags[] = { &untagged, &dot1q, &dot1ad };
    struct virtio_net_hdr none = { .flags = 0 };

    for (int i = 0; i < ARRAY_SIZE(protocols) * 16; i++) {
        bool ipv6 = i & 1;
        bool gso = i & 2 && protocols[i / 16].protocol == IPPROTO_TCP;
        struct virtio_net_hdr hdr, back;
        uint16_t sum;

        make(tags[i / 4 % 4 % 3], ipv6, protocols[i / 16].protocol, 200);
        hdr = (gso ? segment_request(ipv6, 100)
               : checksum_request(protocols[i / 16].csum_offset));
        CHECK(vhost_offload_is_requested(&hdr));
        CHECK_INT(vhost_offload_leaves_packet_alone(&hdr, ALL_FEATURES,
                                                    data(), mbuf->data_len),
                  !gso);
        CHECK_INT(ask(&hdr), VHOST_OFFLOAD_PASSED_ON);
        CHECK_INT(mbuf->l2_len, l3);
        CHECK_INT(mbuf->l3_len, l4 - l3);
        CHECK_INT(mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK,
                  protocols[i / 16].flag);
        CHECK(mbuf->ol_flags & (ipv6 ? RTE_MBUF_F_TX_IPV6
                                : RTE_MBUF_F_TX_IPV4));
        CHECK_INT(mbuf->tso_segsz, gso ? 100 : 0);
        check_parser();

        memset(&back, 0, sizeof back);
        vhost_offload_to_guest(mbuf, &back);
        CHECK(!memcmp(&hdr, &back, sizeof hdr));

        /* The sum of addresses, length and protocol, also with segments. */
        sum = add_up(0, data() + l3 + (ipv6 ? 8 : 12), ipv6 ? 32 : 8);
        sum = add_up(sum,
                     (uint8_t[]) { 0, 200, 0, protocols[i / 16].protocol }, 4);
        if (protocols[i / 16].protocol != IPPROTO_SCTP) {
            CHECK_INT(word_at(l4 + hdr.csum_offset), sum);
        }
    }

    /* The checksum of IPv4 is not for the guest: it is there. */
    make(&untagged, false, IPPROTO_TCP, 100);
    mbuf->l2_len = ETH_LEN;
    mbuf->l3_len = 20;
    mbuf->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    vhost_offload_to_guest(mbuf, &none);
    CHECK(!vhost_offload_is_requested(&none));
    CHECK(word_at(l3 + 10));

    /* Behind an extension header of IPv6. */
    make(&untagged, true, 60, 8 + 40);
    data()[l4] = IPPROTO_TCP;
    mbuf->l2_len = ETH_LEN;
    mbuf->l3_len = 48;
    mbuf->ol_flags = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM;
    vhost_offload_to_guest(mbuf, &none);
    CHECK_INT(none.csum_start, l4 + 8);
    CHECK_INT(word_at(l4 + 8 + 16),
              add_up(add_up(0, data() + l3 + 8, 32),
                     (uint8_t[]) { 0, 40, 0, IPPROTO_TCP }, 4));

    /* Nothing. */
    make(&untagged, false, IPPROTO_TCP, 100);
    memset(&none, 0, sizeof none);
    none.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    CHECK_INT(ask(&none), VHOST_OFFLOAD_PASSED_ON);
    CHECK_INT(mbuf->ol_flags, 0);
}
VHOST_TEST(test_round_trip, "offload-round-trip",
           "offloads: there and back", 0);

/* Checks that the checksum that 'hdr' asks for is completed in the packet,
 * which is otherwise left alone. */
static void
check_completed(const struct virtio_net_hdr *hdr)
{
    unsigned int field = hdr->csum_start + hdr->csum_offset;
    uint8_t before[MAX_LEN];
    uint16_t sum;

    memcpy(before, data(), MAX_LEN);
    CHECK(!vhost_offload_leaves_packet_alone(hdr, ALL_FEATURES, data(),
                                             mbuf->data_len));
    CHECK_INT(ask(hdr), VHOST_OFFLOAD_COMPLETED);
    CHECK_INT(mbuf->ol_flags, 0);
    sum = ~add_up(0, before + hdr->csum_start,
                  mbuf->data_len - hdr->csum_start);
    CHECK_INT(word_at(field), sum ? sum : 0xffff);
    memcpy(before + field, data() + field, 2);
    CHECK(!memcmp(before, data(), MAX_LEN));
}

/* Checksums of which an mbuf, or Open vSwitch, cannot tell. */
static void
test_completed(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct virtio_net_hdr hdr;

    /* More tags than Open vSwitch looks behind. */
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        make(&qinq, ipv6, IPPROTO_TCP, 100);
        hdr = checksum_request(16);
        check_completed(&hdr);
    }

    /* IPv6 with destination options. */
    make(&untagged, true, 60, 8 + 48);
    data()[l4] = IPPROTO_TCP;
    l4 += 8;
    hdr = checksum_request(16);
    check_completed(&hdr);

    /* Inside of VXLAN. */
    make(&untagged, false, IPPROTO_UDP, 8 + 8 + 14 + 20 + 40);
    l4 += 8 + 8 + 14 + 20;
    hdr = checksum_request(16);
    check_completed(&hdr);

    /* Lengths that are not those of the packet, padding aside. */
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        unsigned int right = ipv6 ? 40 : 60;

        for (unsigned int len = 0; len < 100; len++) {
            make(&untagged, ipv6, IPPROTO_TCP, 40);
            data()[l3 + (ipv6 ? 5 : 3)] = len;
            hdr = checksum_request(16);
            if (len > right || len < right - 20) {
                check_completed(&hdr);
            } else {
                CHECK_INT(ask(&hdr), VHOST_OFFLOAD_PASSED_ON);
                check_parser();
            }
        }
    }

    /* Fragments. */
    for (int bit = 0; bit < 14; bit++) {
        make(&untagged, false, IPPROTO_TCP, 100);
        put_unaligned_be16((ovs_be16 *) (data() + l3 + 6), htons(1 << bit));
        hdr = checksum_request(16);
        check_completed(&hdr);
    }

    /* IPv4 headers that are none. */
    for (unsigned int ihl = 0; ihl < 16; ihl++) {
        make(&untagged, false, IPPROTO_TCP, 24);
        data()[l3] = 0x40 | ihl;
        l4 = l3 + 4 * ihl;
        hdr = checksum_request(ihl > 8 ? 0 : 16);
        if (ihl == 5) {
            CHECK_INT(ask(&hdr), VHOST_OFFLOAD_PASSED_ON);
        } else if (l4 + hdr.csum_offset + 2 <= mbuf->data_len) {
            check_completed(&hdr);
        }
    }

    /* Versions that are not what the Ethernet type says. */
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        for (unsigned int version = 0; version < 16; version++) {
            make(&untagged, ipv6, IPPROTO_TCP, 100);
            data()[l3] = version << 4 | (ipv6 ? 0 : 5);
            hdr = checksum_request(16);
            if (version == (ipv6 ? 6 : 4)) {
                CHECK_INT(ask(&hdr), VHOST_OFFLOAD_PASSED_ON);
            } else {
                check_completed(&hdr);
                make(&untagged, ipv6, IPPROTO_TCP, 100);
                data()[l3] = version << 4 | (ipv6 ? 0 : 5);
                hdr = segment_request(ipv6, 64);
                CHECK_INT(ask(&hdr), VHOST_OFFLOAD_INVALID);
            }
        }
    }

    /* Other protocols. */
    make(&untagged, false, IPPROTO_UDP, 100);
    hdr = checksum_request(16);
    check_completed(&hdr);
    make(&untagged, false, IPPROTO_ICMP, 100);
    check_completed(&hdr);
    make(&untagged, false, IPPROTO_TCP, 100);
    data()[12] = 0x12;          /* Not IP. */
    check_completed(&hdr);

    /* A sum of zeros is not left at that: for UDP it would be none. */
    make(&qinq, false, IPPROTO_UDP, 8);
    hdr = checksum_request(6);
    memset(data() + l4, 0, 8);
    memset(data() + l4 + 6, 0xff, 2);
    check_completed(&hdr);
    CHECK_INT(word_at(l4 + 6), 0xffff);

    /* Anywhere. */
    for (unsigned int i = 0; i < 134; i++) {
        for (unsigned int offset = 0; offset < 134; offset++) {
            make(&untagged, false, IPPROTO_TCP, 100);
            hdr = checksum_request(offset);
            hdr.csum_start = i;
            if (i + offset + 2 > mbuf->data_len) {
                CHECK_INT(ask(&hdr), VHOST_OFFLOAD_INVALID);
            } else if (i == l4 && offset == 16) {
                CHECK_INT(ask(&hdr), VHOST_OFFLOAD_PASSED_ON);
            } else {
                check_completed(&hdr);
            }
        }
    }
}
VHOST_TEST(test_completed, "offload-completed", "offloads: completed here", 0);

/* Checks that the packet is to be dropped, and is as before. */
static void
check_invalid(const struct virtio_net_hdr *hdr)
{
    struct rte_mbuf before = *mbuf;
    uint8_t bytes[MAX_LEN];

    memcpy(bytes, data(), MAX_LEN);
    CHECK_INT(ask(hdr), VHOST_OFFLOAD_INVALID);
    CHECK(!memcmp(&before, mbuf, sizeof before));
    CHECK(!memcmp(bytes, data(), MAX_LEN));
    CHECK(!vhost_offload_leaves_packet_alone(hdr, ALL_FEATURES, data(),
                                             mbuf->data_len));
}

/* Requests that make no sense. */
static void
test_invalid(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct virtio_net_hdr hdr;

    /* A packet that ends too early, at each of its bytes. */
    for (unsigned int len = 0; len < 134; len++) {
        make(&untagged, false, IPPROTO_TCP, 100);
        set_length(len);
        hdr = checksum_request(16);
        if (len < l4 + 18) {
            check_invalid(&hdr);
        } else {
            CHECK_INT(ask(&hdr), VHOST_OFFLOAD_COMPLETED);
        }
        hdr = segment_request(false, 70);
        check_invalid(&hdr);
    }

    /* A sum over 16 bits of start and offset. */
    make(&untagged, false, IPPROTO_TCP, 100);
    hdr = checksum_request(65535);
    check_invalid(&hdr);
    hdr.csum_start = 65535;
    check_invalid(&hdr);
    hdr.csum_offset = 16;
    check_invalid(&hdr);

    /* Segments without a checksum, of nothing, of an unknown kind, of another
     * protocol, of more tags. */
    make(&untagged, false, IPPROTO_TCP, 200);
    hdr = segment_request(false, 100);
    hdr.flags = 0;
    check_invalid(&hdr);
    hdr = segment_request(false, 0);
    check_invalid(&hdr);
    for (unsigned int type = 1; type < 256; type++) {
        hdr = segment_request(false, 100);
        hdr.gso_type = type;
        if ((type & ~VIRTIO_NET_HDR_GSO_ECN) != VIRTIO_NET_HDR_GSO_TCPV4) {
            check_invalid(&hdr);
        }
    }
    hdr = segment_request(true, 100);
    check_invalid(&hdr);
    make(&untagged, true, IPPROTO_TCP, 200);
    hdr = segment_request(false, 100);
    check_invalid(&hdr);
    make(&untagged, false, IPPROTO_UDP, 200);
    check_invalid(&hdr);
    make(&qinq, false, IPPROTO_TCP, 200);
    hdr = segment_request(false, 100);
    check_invalid(&hdr);

    /* With a checksum that is elsewhere. */
    make(&untagged, false, IPPROTO_TCP, 200);
    for (unsigned int i = 0; i < 200; i++) {
        hdr = segment_request(false, 100);
        hdr.csum_start = i;
        if (i != l4) {
            check_invalid(&hdr);
        }
        hdr.csum_start = l4;
        hdr.csum_offset = i;
        if (i != 16) {
            check_invalid(&hdr);
        }
    }

    /* Not negotiated. */
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        make(&untagged, ipv6, IPPROTO_TCP, 200);
        hdr = segment_request(ipv6, 100);
        CHECK_INT(vhost_offload_from_guest(
                      &hdr, UINT64_C(1) << (ipv6 ? VIRTIO_NET_F_HOST_TSO4
                                            : VIRTIO_NET_F_HOST_TSO6), mbuf),
                  VHOST_OFFLOAD_INVALID);
    }

    /* A TCP header that is too short, or too long for the packet; a total
     * length of nothing but IP. */
    for (unsigned int len = 0; len < 16; len++) {
        make(&untagged, false, IPPROTO_TCP, 30);
        hdr = segment_request(false, 100);
        data()[l4 + 12] = len << 4;
        if (len < 5 || 4 * len > 30) {
            check_invalid(&hdr);
        }
    }
    make(&untagged, false, IPPROTO_TCP, 1000);
    data()[l3 + 2] = 0;
    data()[l3 + 3] = 20;
    hdr = segment_request(false, 100);
    check_invalid(&hdr);
}
VHOST_TEST(test_invalid, "offload-invalid",
           "offloads: requests that make no sense", 0);

/* How long segments are. */
static void
test_segments(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct {
        uint16_t asked_for, segsz;      /* For a payload of 1000 bytes. */
    } cases[] = {
        { 1, 64 }, { 36, 64 }, { 63, 64 }, { 64, 64 }, { 65, 65 },
        { 999, 999 }, { 1000, 0 }, { 65535, 0 },
    };

    for (int i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        struct virtio_net_hdr hdr;

        make(&dot1q, i & 1, IPPROTO_TCP, 1020);
        hdr = segment_request(i & 1, cases[i / 2].asked_for);
        set_length(l4 + 1020 + 70);     /* Padding. */
        CHECK_INT(ask(&hdr), VHOST_OFFLOAD_PASSED_ON);
        CHECK_INT(mbuf->tso_segsz, cases[i / 2].segsz);
        CHECK_INT(!!(mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG),
                  cases[i / 2].segsz != 0);
        CHECK_INT(mbuf->l4_len, cases[i / 2].segsz ? 20 : 0);
        CHECK(mbuf->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM);
        CHECK_INT(mbuf->data_len, mbuf->pkt_len);
        CHECK_INT(mbuf->pkt_len,
                  l4 + 1020 + (cases[i / 2].segsz ? 0 : 70));
        check_parser();
    }
}
VHOST_TEST(test_segments, "offload-segments", "offloads: segments", 0);

/* What librte_vhost says in its receive flags. */
static void
test_library(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint8_t protocols[] = {
        IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP
    };

    for (int i = 0; i < 2 * ARRAY_SIZE(protocols); i++) {
        make(&dot1q, i & 1, protocols[i / 2], 200);
        mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
        CHECK_INT(vhost_offload_from_library(ALL_FEATURES, mbuf),
                  VHOST_OFFLOAD_PASSED_ON);
        CHECK_INT(mbuf->ol_flags,
                  (i & 1 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4)
                  | (i / 2 == 0 ? RTE_MBUF_F_TX_TCP_CKSUM
                     : i / 2 == 1 ? RTE_MBUF_F_TX_UDP_CKSUM
                     : RTE_MBUF_F_TX_SCTP_CKSUM));
        check_parser();
    }
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        make(&untagged, ipv6, IPPROTO_TCP, 200);
        mbuf->tso_segsz = 100;
        mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO;
        CHECK_INT(vhost_offload_from_library(ALL_FEATURES, mbuf),
                  VHOST_OFFLOAD_PASSED_ON);
        CHECK_INT(mbuf->ol_flags,
                  (ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4)
                  | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG);
        CHECK_INT(mbuf->tso_segsz, 100);
        check_parser();
    }

    /* It knows more headers than Open vSwitch. */
    make(&qinq, false, IPPROTO_UDP, 100);
    mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
    CHECK_INT(vhost_offload_from_library(ALL_FEATURES, mbuf),
              VHOST_OFFLOAD_COMPLETED);
    CHECK_INT(mbuf->ol_flags, 0);
    CHECK_INT(add_up(0, data() + l4, 100), 0xffff);

    /* Wrong lengths, segments that were not negotiated. */
    make(&untagged, false, IPPROTO_TCP, 200);
    data()[l3 + 3]++;
    mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
    CHECK_INT(vhost_offload_from_library(ALL_FEATURES, mbuf),
              VHOST_OFFLOAD_COMPLETED);
    make(&untagged, false, IPPROTO_TCP, 200);
    mbuf->tso_segsz = 100;
    mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO;
    CHECK_INT(vhost_offload_from_library(UINT64_C(1) << VIRTIO_NET_F_CSUM,
                                         mbuf), VHOST_OFFLOAD_INVALID);

    /* Nothing. */
    make(&untagged, false, IPPROTO_TCP, 200);
    CHECK_INT(vhost_offload_from_library(ALL_FEATURES, mbuf),
              VHOST_OFFLOAD_PASSED_ON);
    CHECK_INT(mbuf->ol_flags, 0);
}
VHOST_TEST(test_library, "offload-library",
           "offloads: of librte_vhost's data path", 0);
