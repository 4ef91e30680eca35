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

#include <config.h>

#include "vhost-offload.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_net.h>
#include <rte_sctp.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "util.h"

/* Headers of a packet, as far as an offload needs them. */
struct headers {
    uint16_t l2_len, l3_len;
    uint8_t l4_proto;
    uint64_t l3_flag;           /* RTE_MBUF_F_TX_IPV4 or _IPV6. */
};

/* Finds the headers of 'mbuf', in its first segment.  Returns false if they
 * are incomplete, or not of a protocol that offloads know. */
static bool
parse_headers(const struct rte_mbuf *mbuf, struct headers *h)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(mbuf, void *);
    unsigned int len = mbuf->data_len;
    rte_be16_t type;

    h->l2_len = sizeof *eth;
    if (len < h->l2_len) {
        return false;
    }
    type = eth->ether_type;
    if (type == htons(RTE_ETHER_TYPE_VLAN)) {
        const struct rte_vlan_hdr *vlan = (const void *) (eth + 1);

        h->l2_len += sizeof *vlan;
        if (len < h->l2_len) {
            return false;
        }
        type = vlan->eth_proto;
    }

    if (type == htons(RTE_ETHER_TYPE_IPV4)) {
        const struct rte_ipv4_hdr *ip;

        ip = rte_pktmbuf_mtod_offset(mbuf, void *, h->l2_len);
        if (len < h->l2_len + sizeof *ip) {
            return false;
        }
        h->l3_len = rte_ipv4_hdr_len(ip);
        h->l4_proto = ip->next_proto_id;
        h->l3_flag = RTE_MBUF_F_TX_IPV4;
        return h->l3_len >= sizeof *ip && len >= h->l2_len + h->l3_len;
    } else if (type == htons(RTE_ETHER_TYPE_IPV6)) {
        const struct rte_ipv6_hdr *ip;

        ip = rte_pktmbuf_mtod_offset(mbuf, void *, h->l2_len);
        h->l3_len = sizeof *ip;
        if (len < h->l2_len + h->l3_len) {
            return false;
        }
        h->l4_proto = ip->proto;
        h->l3_flag = RTE_MBUF_F_TX_IPV6;
        return true;
    }
    return false;
}

/* Returns the flag for a checksum 'csum_offset' bytes into an L4 header, or 0
 * if the protocol has none there. */
static uint64_t
checksum_flag(uint8_t l4_proto, uint16_t csum_offset)
{
    switch (l4_proto) {
    case IPPROTO_TCP:
        return (csum_offset == offsetof(struct rte_tcp_hdr, cksum)
                ? RTE_MBUF_F_TX_TCP_CKSUM : 0);
    case IPPROTO_UDP:
        return (csum_offset == offsetof(struct rte_udp_hdr, dgram_cksum)
                ? RTE_MBUF_F_TX_UDP_CKSUM : 0);
    case IPPROTO_SCTP:
        return (csum_offset == offsetof(struct rte_sctp_hdr, cksum)
                ? RTE_MBUF_F_TX_SCTP_CKSUM : 0);
    default:
        return 0;
    }
}

static uint64_t
tcp_l3_flag(uint8_t gso_type)
{
    return ((gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4
            ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
}

/* Returns the length of the L4 header that is to be repeated in each segment
 * that 'gso_type' asks for and stores the flag, or returns 0. */
static unsigned int
segmentation(const struct rte_mbuf *mbuf, const struct headers *h,
             uint8_t gso_type, uint64_t *flag)
{
    unsigned int l4_ofs = h->l2_len + h->l3_len;
    unsigned int l4_len;

    switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV6: {
        const struct rte_tcp_hdr *tcp;

        tcp = rte_pktmbuf_mtod_offset(mbuf, void *, l4_ofs);
        if (h->l4_proto != IPPROTO_TCP
            || h->l3_flag != tcp_l3_flag(gso_type)
            || mbuf->data_len < l4_ofs + sizeof *tcp) {
            return 0;
        }
        l4_len = (tcp->data_off & 0xf0) >> 2;
        *flag = RTE_MBUF_F_TX_TCP_SEG;
        return (l4_len >= sizeof *tcp && mbuf->data_len >= l4_ofs + l4_len
                ? l4_len : 0);
    }
    case VIRTIO_NET_HDR_GSO_UDP:
        l4_len = sizeof(struct rte_udp_hdr);
        *flag = RTE_MBUF_F_TX_UDP_SEG;
        return (h->l4_proto == IPPROTO_UDP
                && mbuf->data_len >= l4_ofs + l4_len ? l4_len : 0);
    default:
        return 0;
    }
}

/* Puts what 'hdr', a copy of what the guest wrote, asks for into 'mbuf', which
 * has the packet.  A request that makes no sense is ignored. */
void
vhost_offload_from_guest(const struct virtio_net_hdr *hdr,
                         struct rte_mbuf *mbuf)
{
    struct headers h;
    unsigned int l4_len = 0;
    uint64_t flags = 0;

    if (!parse_headers(mbuf, &h)) {
        return;
    }
    if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        unsigned int end = hdr->csum_start + hdr->csum_offset + 2;

        flags = checksum_flag(h.l4_proto, hdr->csum_offset);
        if (!flags || hdr->csum_start != h.l2_len + h.l3_len
            || end > mbuf->data_len) {
            return;
        }
    }
    if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        uint64_t flag;

        l4_len = segmentation(mbuf, &h, hdr->gso_type, &flag);
        if (!l4_len || !hdr->gso_size) {
            return;
        }
        flags |= flag;
        mbuf->tso_segsz = hdr->gso_size;
        mbuf->l4_len = l4_len;
    }
    mbuf->l2_len = h.l2_len;
    mbuf->l3_len = h.l3_len;
    mbuf->ol_flags |= flags | h.l3_flag;
}

static uint16_t
checksum_offset(uint64_t l4_flag)
{
    return (l4_flag == RTE_MBUF_F_TX_TCP_CKSUM
            ? offsetof(struct rte_tcp_hdr, cksum)
            : l4_flag == RTE_MBUF_F_TX_UDP_CKSUM
            ? offsetof(struct rte_udp_hdr, dgram_cksum)
            : offsetof(struct rte_sctp_hdr, cksum));
}

/* Puts the request of 'mbuf' into '*hdr', which is all zeros, and prepares the
 * packet as the header says: the checksum of IPv4, which cannot be left to the
 * guest, and that of the pseudo header. */
void
vhost_offload_to_guest(struct rte_mbuf *mbuf, struct virtio_net_hdr *hdr)
{
    uint64_t l4_flag = mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK;

    if (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
        l4_flag = RTE_MBUF_F_TX_TCP_CKSUM;
    }
    if (l4_flag) {
        rte_net_intel_cksum_prepare(mbuf);
        hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        hdr->csum_start = mbuf->l2_len + mbuf->l3_len;
        hdr->csum_offset = checksum_offset(l4_flag);
    }
    if (mbuf->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) {
        struct rte_ipv4_hdr *ip;

        ip = rte_pktmbuf_mtod_offset(mbuf, void *, mbuf->l2_len);
        ip->hdr_checksum = 0;
        ip->hdr_checksum = rte_ipv4_cksum(ip);
    }
    if (mbuf->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) {
        hdr->gso_type = (mbuf->ol_flags & RTE_MBUF_F_TX_UDP_SEG
                         ? VIRTIO_NET_HDR_GSO_UDP
                         : mbuf->ol_flags & RTE_MBUF_F_TX_IPV4
                         ? VIRTIO_NET_HDR_GSO_TCPV4
                         : VIRTIO_NET_HDR_GSO_TCPV6);
        hdr->gso_size = mbuf->tso_segsz;
        hdr->hdr_len = mbuf->l2_len + mbuf->l3_len + mbuf->l4_len;
    }
}
