/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

/* What guests ask for in headers, and messages. */

#include <config.h>
#undef NDEBUG

#include <string.h>

#include <netinet/in.h>

#include "test-vhost.h"
#include "util.h"
#include "vhost-message.h"
#include "vhost-offload.h"

/* A packet without a mempool. */
static uint8_t buffer[512];
static struct rte_mbuf mbuf;

#define ETH_LEN 14

/* Makes a packet of Ethernet, maybe a VLAN tag, IP and 'l4_len' bytes. */
static void
make(bool vlan, bool ipv6, uint8_t protocol, unsigned int l4_len)
{
    uint8_t *p = buffer + 64;

    memset(buffer, 0, sizeof buffer);
    memset(&mbuf, 0, sizeof mbuf);
    mbuf.buf_addr = buffer;
    mbuf.buf_len = sizeof buffer;
    mbuf.data_off = 64;
    mbuf.nb_segs = 1;
    p += 12;
    if (vlan) {
        memcpy(p, "\x81\x00\x00\x05", 4);
        p += 4;
    }
    memcpy(p, ipv6 ? "\x86\xdd" : "\x08\x00", 2);
    p += 2;
    p[0] = ipv6 ? 0x60 : 0x45;
    p[ipv6 ? 6 : 9] = protocol;
    p += ipv6 ? 40 : 20;
    p[12] = 5 << 4;             /* TCP: length of the header. */
    mbuf.data_len = mbuf.pkt_len = p + l4_len - (buffer + 64);
}

static void
test_round_trip(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct {
        uint8_t protocol, csum_offset, header_len, gso[2];
        uint64_t flag;
    } protocols[] = {
        { IPPROTO_TCP, 16, 20,
          { VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6 },
          RTE_MBUF_F_TX_TCP_CKSUM },
        { IPPROTO_UDP, 6, 8,
          { VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP },
          RTE_MBUF_F_TX_UDP_CKSUM },
        { IPPROTO_SCTP, 8, 12, { 0, 0 }, RTE_MBUF_F_TX_SCTP_CKSUM },
    };
    struct virtio_net_hdr none = { .flags = 0 };

    for (int i = 0; i < ARRAY_SIZE(protocols) * 8; i++) {
        bool vlan = i & 1, ipv6 = i & 2, gso = i & 4;
        unsigned int l3_ofs = ETH_LEN + 4 * vlan;
        unsigned int l4_ofs = l3_ofs + (ipv6 ? 40 : 20);
        struct virtio_net_hdr hdr, back;

        gso = gso && protocols[i / 8].gso[0];
        make(vlan, ipv6, protocols[i / 8].protocol, 100);
        memset(&hdr, 0, sizeof hdr);
        hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        hdr.csum_start = l4_ofs;
        hdr.csum_offset = protocols[i / 8].csum_offset;
        if (gso) {
            hdr.gso_type = protocols[i / 8].gso[ipv6];
            hdr.gso_size = 50;
            hdr.hdr_len = l4_ofs + protocols[i / 8].header_len;
        }
        CHECK(vhost_offload_is_requested(&hdr));
        vhost_offload_from_guest(&hdr, &mbuf);
        CHECK_INT(mbuf.l2_len, l3_ofs);
        CHECK_INT(mbuf.l3_len, l4_ofs - l3_ofs);
        CHECK_INT(mbuf.ol_flags & RTE_MBUF_F_TX_L4_MASK,
                  protocols[i / 8].flag);
        CHECK(mbuf.ol_flags & (ipv6 ? RTE_MBUF_F_TX_IPV6
                               : RTE_MBUF_F_TX_IPV4));
        CHECK_INT(mbuf.tso_segsz, gso ? 50 : 0);

        memset(&back, 0, sizeof back);
        vhost_offload_to_guest(&mbuf, &back);
        CHECK(!memcmp(&hdr, &back, sizeof hdr));
    }

    /* The checksum of IPv4 is not for the guest: it is there. */
    make(false, false, IPPROTO_TCP, 100);
    mbuf.l2_len = ETH_LEN;
    mbuf.l3_len = 20;
    mbuf.ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    vhost_offload_to_guest(&mbuf, &none);
    CHECK(!vhost_offload_is_requested(&none));
    CHECK(buffer[64 + ETH_LEN + 10] || buffer[64 + ETH_LEN + 11]);
}

/* Requests that make no sense leave the packet as it is. */
static void
check_refused(const struct virtio_net_hdr *hdr)
{
    struct rte_mbuf before = mbuf;

    vhost_offload_from_guest(hdr, &mbuf);
    CHECK(!memcmp(&before, &mbuf, sizeof mbuf));
}

static void
test_refusals(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct virtio_net_hdr csum = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34,
        .csum_offset = 16,
    };
    const struct virtio_net_hdr gso = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34,
        .csum_offset = 16, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
        .gso_size = 100,
    };
    struct virtio_net_hdr hdr;

    /* A packet that ends too early, at each of its bytes: 54 are enough for
     * segmentation, 52 for the checksum. */
    for (unsigned int len = 0; len < 60; len++) {
        make(false, false, IPPROTO_TCP, 26);
        mbuf.data_len = mbuf.pkt_len = len;
        if (len < 54) {
            check_refused(&gso);
        }
        if (len < 52) {
            check_refused(&csum);
        } else {
            vhost_offload_from_guest(&csum, &mbuf);
            CHECK(mbuf.ol_flags & RTE_MBUF_F_TX_TCP_CKSUM);
        }
        make(true, true, IPPROTO_TCP, 26);
        mbuf.data_len = mbuf.pkt_len = len;
        hdr = csum;
        hdr.csum_start = 58;
        check_refused(&hdr);
    }

    /* A checksum that is elsewhere than the protocol has it. */
    make(false, false, IPPROTO_TCP, 100);
    for (unsigned int i = 0; i < 65536; i++) {
        hdr = csum;
        hdr.csum_start = i;
        if (i != 34) {
            check_refused(&hdr);
        }
        hdr.csum_start = 34;
        hdr.csum_offset = i;
        if (i != 16) {
            check_refused(&hdr);
        }
    }
    make(false, false, IPPROTO_UDP, 100);
    check_refused(&csum);
    check_refused(&gso);
    make(false, false, IPPROTO_ICMP, 100);
    check_refused(&csum);
    make(false, false, IPPROTO_TCP, 100);
    buffer[64 + 12] = 0x12;     /* Not IP. */
    check_refused(&csum);

    /* IPv4 headers that are none. */
    for (unsigned int ihl = 0; ihl < 5; ihl++) {
        make(false, false, IPPROTO_TCP, 100);
        buffer[64 + ETH_LEN] = 0x40 | ihl;
        hdr = csum;
        hdr.csum_start = ETH_LEN + 4 * ihl;
        check_refused(&hdr);
    }

    /* Segments of nothing, of an unknown kind, with a TCP header that is too
     * short, or too long for the packet. */
    make(false, false, IPPROTO_TCP, 30);
    hdr = gso;
    hdr.gso_size = 0;
    check_refused(&hdr);
    for (unsigned int type = 1; type < 256; type++) {
        hdr = gso;
        hdr.gso_type = type;
        if ((type & ~VIRTIO_NET_HDR_GSO_ECN) != VIRTIO_NET_HDR_GSO_TCPV4
            && (type & ~VIRTIO_NET_HDR_GSO_ECN) != VIRTIO_NET_HDR_GSO_TCPV6) {
            check_refused(&hdr);
        }
    }
    for (unsigned int len = 0; len < 16; len++) {
        buffer[64 + 34 + 12] = len << 4;
        if (len < 5 || 4 * len > 30) {
            check_refused(&gso);
        }
    }
}

static struct vhost_message
parse(uint32_t request, uint64_t payload)
{
    uint8_t message[64] = { 0 };
    struct vhost_message m;

    memcpy(message, &request, sizeof request);
    memcpy(message + 12, &payload, sizeof payload);
    vhost_message_parse(message, &m);
    return m;
}

static void
test_messages(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint8_t of_one[] = { 8, 9, 10, 12 };
    static const uint8_t of_all[] = { 2, 5, 6, 31, 32 };

    for (unsigned int i = 0; i < ARRAY_SIZE(of_one); i++) {
        CHECK_INT(parse(of_one[i], 3).scope, VHOST_SCOPE_VRING);
        CHECK_INT(parse(of_one[i], 3).vring, 3);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(of_all); i++) {
        CHECK_INT(parse(of_all[i], 0).scope, VHOST_SCOPE_DEVICE);
    }
    /* The bit beside the number says that there is no file descriptor. */
    CHECK_INT(parse(12, 0x107).vring, 7);
    CHECK_INT(parse(13, 0x107).scope, VHOST_SCOPE_NONE);
    CHECK_INT(parse(13, 0x107).vring, 7);
    CHECK_INT(parse(VHOST_REQUEST_SEND_RARP, 0x123456789abc).payload,
              0x123456789abc);

    /* What we do not know may change anything. */
    for (uint32_t request = 41; request < 1000; request++) {
        CHECK_INT(parse(request, 0).scope, VHOST_SCOPE_DEVICE);
    }
    CHECK_INT(parse(UINT32_MAX, UINT64_MAX).scope, VHOST_SCOPE_DEVICE);
    CHECK_INT(parse(256 + 8, 0).scope, VHOST_SCOPE_DEVICE);
}

/* Checks that 'request' is spoiled in bytes 'start' to 'end', and nowhere
 * else, so that each has value 'spoilt'. */
static void
check_spoilt(uint32_t request, unsigned int start, unsigned int end,
             uint8_t spoilt)
{
    uint8_t message[64];

    memset(message, 0x5a, sizeof message);
    memcpy(message, &request, sizeof request);
    vhost_message_spoil(message);
    CHECK(!memcmp(message, &request, sizeof request));
    for (unsigned int i = sizeof request; i < sizeof message; i++) {
        CHECK_INT(message[i], i >= start && i < end ? spoilt : 0x5a);
    }
}

/* Messages that librte_vhost is to refuse: see its vhost_user_set_*(). */
static void
test_spoiling(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    /* Features that nobody offers, a log that ends behind the last address, too
     * large a ring, a message of an impossible size, no virtqueues. */
    check_spoilt(VHOST_REQUEST_SET_FEATURES, 12, 20, 0xff);
    check_spoilt(VHOST_REQUEST_SET_LOG_BASE, 12, 28, 0xff);
    check_spoilt(VHOST_REQUEST_SET_VRING_NUM, 16, 20, 0xff);
    check_spoilt(VHOST_REQUEST_GET_INFLIGHT_FD, 8, 12, 0xff);
    check_spoilt(VHOST_REQUEST_SET_INFLIGHT_FD, 28, 30, 0);
    check_spoilt(VHOST_REQUEST_SET_MEM_TABLE, 0, 0, 0);
    check_spoilt(256 + VHOST_REQUEST_SET_FEATURES, 0, 0, 0);
}

const struct vhost_test offload_tests[] = {
    { "messages", test_messages, false },
    { "messages-spoiling", test_spoiling, false },
    { "offload-round-trip", test_round_trip, false },
    { "offload-refusals", test_refusals, false },
    { NULL, NULL, false },
};
