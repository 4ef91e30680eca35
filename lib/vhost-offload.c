/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-offload.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_net.h>
#include <rte_sctp.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "crc32c.h"
#include "csum.h"
#include "unaligned.h"
#include "util.h"

/* Headers of a packet, as far as an offload needs them. */
struct headers {
    uint16_t l2_len, l3_len;
    uint16_t l4_size;           /* L4 header and payload, without padding. */
    uint16_t l4_len;            /* L4 header. */
    uint8_t l4_proto;
    uint64_t l3_flag;           /* RTE_MBUF_F_TX_IPV4 or _IPV6. */
};

/* What an mbuf is to say. */
struct request {
    uint64_t flags;
    uint16_t segment_size;      /* Or 0. */
    struct headers headers;
};

static uint16_t l4_offset(const struct headers *);
static bool find_l3(const uint8_t *data, size_t len, struct headers *);
static bool find_l4(const uint8_t *l4, struct headers *);
static uint64_t checksum_flag(uint8_t l4_proto, uint16_t csum_offset);
static uint16_t checksum_offset(uint64_t l4_flag);
static enum vhost_offload_fate judge(const struct virtio_net_hdr *,
                                     uint64_t features, const void *data,
                                     size_t len, struct request *);
static void complete_checksum(const struct virtio_net_hdr *,
                              struct rte_mbuf *);
static void put_checksum(uint8_t *start, size_t size, uint16_t offset);
static size_t l4_size(const struct rte_mbuf *);
static uint16_t sum_pseudo_header(const struct rte_mbuf *, uint64_t l4_flag);

/* Obeys the request in 'hdr', a copy of what the guest wrote: puts it into
 * 'mbuf', which has the packet in one piece, or completes the packet's
 * checksum. */
enum vhost_offload_fate
vhost_offload_from_guest(const struct virtio_net_hdr *hdr, uint64_t features,
                         struct rte_mbuf *mbuf)
{
    struct request request;
    enum vhost_offload_fate fate = judge(hdr, features,
                                         rte_pktmbuf_mtod(mbuf, void *),
                                         mbuf->data_len, &request);

    if (fate == VHOST_OFFLOAD_COMPLETED) {
        complete_checksum(hdr, mbuf);
    } else if (fate == VHOST_OFFLOAD_PASSED_ON && request.flags) {
        const struct headers *h = &request.headers;

        mbuf->l2_len = h->l2_len;
        mbuf->l3_len = h->l3_len;
        mbuf->l4_len = request.segment_size ? h->l4_len : 0;
        mbuf->tso_segsz = request.segment_size;
        mbuf->ol_flags |= request.flags | h->l3_flag;
        if (request.segment_size) {
            /* Without padding, which Open vSwitch 4.0 takes off the length of
             * the first segment. */
            mbuf->data_len = mbuf->pkt_len = l4_offset(h) + h->l4_size;
        }
    }
    return fate;
}

/* Obeys the request that librte_vhost has put into the receive flags of 'mbuf'
 * (RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS): that the packet is to be cut into
 * segments, and that the checksum of a header that the library knows is
 * missing.  The library has completed other checksums. */
enum vhost_offload_fate
vhost_offload_from_library(uint64_t features, struct rte_mbuf *mbuf)
{
    uint64_t flags = mbuf->ol_flags;
    struct virtio_net_hdr hdr = { .flags = 0 };
    struct rte_net_hdr_lens lens;
    uint32_t l4_type;

    mbuf->ol_flags &= ~(RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO);
    if ((flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE) {
        return VHOST_OFFLOAD_PASSED_ON;
    }
    l4_type = (rte_net_get_ptype(mbuf, &lens, RTE_PTYPE_ALL_MASK)
               & RTE_PTYPE_L4_MASK);
    hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    hdr.csum_start = lens.l2_len + lens.l3_len;
    hdr.csum_offset = checksum_offset(l4_type == RTE_PTYPE_L4_TCP
                                      ? RTE_MBUF_F_TX_TCP_CKSUM
                                      : l4_type == RTE_PTYPE_L4_UDP
                                      ? RTE_MBUF_F_TX_UDP_CKSUM
                                      : RTE_MBUF_F_TX_SCTP_CKSUM);
    if (flags & RTE_MBUF_F_RX_LRO) {
        struct headers h;

        hdr.gso_size = mbuf->tso_segsz;
        hdr.gso_type = (find_l3(rte_pktmbuf_mtod(mbuf, void *),
                                mbuf->data_len, &h)
                        && h.l3_flag == RTE_MBUF_F_TX_IPV4
                        ? VIRTIO_NET_HDR_GSO_TCPV4
                        : VIRTIO_NET_HDR_GSO_TCPV6);
    }
    return vhost_offload_from_guest(&hdr, features, mbuf);
}

/* Would vhost_offload_from_guest() neither change nor drop a packet of 'len'
 * bytes at 'data', nor cut it into segments?  Then the packet may be one that
 * the guest can still change. */
bool
vhost_offload_leaves_packet_alone(const struct virtio_net_hdr *hdr,
                                  uint64_t features, const void *data,
                                  size_t len)
{
    struct request request;

    return (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE
            && (judge(hdr, features, data, len, &request)
                == VHOST_OFFLOAD_PASSED_ON));
}

/* Puts the request of 'mbuf' into '*hdr', which is all zeros, and prepares the
 * packet as the header says: the checksum of IPv4, which cannot be left to the
 * guest, and the sum of the pseudo header. */
void
vhost_offload_to_guest(struct rte_mbuf *mbuf, struct virtio_net_hdr *hdr)
{
    uint64_t l4_flag = (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG
                        ? RTE_MBUF_F_TX_TCP_CKSUM
                        : mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK);
    uint16_t l4_ofs = mbuf->l2_len + mbuf->l3_len;

    if (l4_flag) {
        hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        hdr->csum_start = l4_ofs;
        hdr->csum_offset = checksum_offset(l4_flag);
        if (l4_flag != RTE_MBUF_F_TX_SCTP_CKSUM) {
            put_unaligned_u16(rte_pktmbuf_mtod_offset(mbuf, uint16_t *,
                                                      l4_ofs
                                                      + hdr->csum_offset),
                              sum_pseudo_header(mbuf, l4_flag));
        }
    }
    if (mbuf->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) {
        struct rte_ipv4_hdr *ip;

        ip = rte_pktmbuf_mtod_offset(mbuf, void *, mbuf->l2_len);
        ip->hdr_checksum = 0;
        ip->hdr_checksum = rte_ipv4_cksum(ip);
    }
    if (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
        hdr->gso_type = (mbuf->ol_flags & RTE_MBUF_F_TX_IPV4
                         ? VIRTIO_NET_HDR_GSO_TCPV4
                         : VIRTIO_NET_HDR_GSO_TCPV6);
        hdr->gso_size = mbuf->tso_segsz;
        hdr->hdr_len = l4_ofs + mbuf->l4_len;
    }
}

/* Completes the checksums that 'mbuf', which has the packet in one piece, asks
 * for, so that it asks for nothing. */
void
vhost_offload_complete(struct rte_mbuf *mbuf)
{
    struct virtio_net_hdr hdr = { .flags = 0 };
    uint8_t *l4;
    size_t size;

    vhost_offload_to_guest(mbuf, &hdr);
    if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        l4 = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, hdr.csum_start);
        size = MIN(l4_size(mbuf), mbuf->data_len - hdr.csum_start);
        if ((mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK)
            == RTE_MBUF_F_TX_SCTP_CKSUM) {
            put_unaligned_be32((ovs_be32 *) (l4 + hdr.csum_offset), 0);
            put_unaligned_be32((ovs_be32 *) (l4 + hdr.csum_offset),
                               crc32c(l4, size));
        } else {
            put_checksum(l4, size, hdr.csum_offset);
        }
    }
    mbuf->ol_flags &= ~VHOST_OFFLOAD_FLAGS;
}

/* What 'hdr' asks for. */

/* Finds the headers of the 'len' bytes at 'data' up to the L4 header, by the
 * same rules as miniflow_extract() of Open vSwitch with the default of
 * other_config:vlan-limit.  Returns false for a packet in which that finds no
 * L4 header, for fragments, for IPv6 with extension headers, whose checksums
 * Open vSwitch would complete with the wrong protocol, and for a header that
 * has another version than its Ethernet type says, by which Open vSwitch would
 * take IPv4 for IPv6. */
static bool
find_l3(const uint8_t *data, size_t len, struct headers *h)
{
    const struct rte_ether_hdr *eth = (const void *) data;
    size_t size;
    rte_be16_t type;

    h->l2_len = sizeof *eth;
    if (len < h->l2_len) {
        return false;
    }
    type = eth->ether_type;
    if (type == htons(RTE_ETHER_TYPE_VLAN)
        || type == htons(RTE_ETHER_TYPE_QINQ)) {
        const struct rte_vlan_hdr *vlan = (const void *) (eth + 1);

        h->l2_len += sizeof *vlan;
        if (len < h->l2_len) {
            return false;
        }
        type = vlan->eth_proto;
    }

    size = len - h->l2_len;
    if (type == htons(RTE_ETHER_TYPE_IPV4)) {
        const struct rte_ipv4_hdr *ip = (const void *) (data + h->l2_len);
        uint16_t total;

        if (size < sizeof *ip) {
            return false;
        }
        total = ntohs(ip->total_length);
        h->l3_len = rte_ipv4_hdr_len(ip);
        h->l4_size = total - h->l3_len;
        h->l4_proto = ip->next_proto_id;
        h->l3_flag = RTE_MBUF_F_TX_IPV4;
        return (ip->version_ihl >> 4 == 4
                && h->l3_len >= sizeof *ip && h->l3_len <= total
                && total <= size && size - total <= UINT16_MAX
                && !(ip->fragment_offset
                     & htons(RTE_IPV4_HDR_MF_FLAG
                             | RTE_IPV4_HDR_OFFSET_MASK)));
    } else if (type == htons(RTE_ETHER_TYPE_IPV6)) {
        const struct rte_ipv6_hdr *ip = (const void *) (data + h->l2_len);

        if (size < sizeof *ip) {
            return false;
        }
        size -= sizeof *ip;
        h->l3_len = sizeof *ip;
        h->l4_size = ntohs(ip->payload_len);
        h->l4_proto = ip->proto;
        h->l3_flag = RTE_MBUF_F_TX_IPV6;
        return (*(const uint8_t *) ip >> 4 == 6
                && h->l4_size <= size && size - h->l4_size <= UINT16_MAX);
    }
    return false;
}

/* Finds the length of the header at 'l4', which is that of 'h'.  Returns false
 * if it is incomplete, or of a protocol without offloads. */
static bool
find_l4(const uint8_t *l4, struct headers *h)
{
    switch (h->l4_proto) {
    case IPPROTO_TCP:
        if (h->l4_size < sizeof(struct rte_tcp_hdr)) {
            return false;
        }
        h->l4_len = (((const struct rte_tcp_hdr *) l4)->data_off & 0xf0) >> 2;
        return (h->l4_len >= sizeof(struct rte_tcp_hdr)
                && h->l4_len <= h->l4_size);
    case IPPROTO_UDP:
        h->l4_len = sizeof(struct rte_udp_hdr);
        return h->l4_len <= h->l4_size;
    case IPPROTO_SCTP:
        h->l4_len = sizeof(struct rte_sctp_hdr);
        return h->l4_len <= h->l4_size;
    default:
        return false;
    }
}

static uint16_t
l4_offset(const struct headers *h)
{
    return h->l2_len + h->l3_len;
}

/* Returns the flag for a checksum 'csum_offset' bytes into an L4 header, or 0
 * if the protocol has none there. */
static uint64_t
checksum_flag(uint8_t l4_proto, uint16_t csum_offset)
{
    uint64_t flag = (l4_proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM
                     : l4_proto == IPPROTO_UDP ? RTE_MBUF_F_TX_UDP_CKSUM
                     : RTE_MBUF_F_TX_SCTP_CKSUM);

    return csum_offset == checksum_offset(flag) ? flag : 0;
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

/* May, and can, the packet of 'request' be cut into segments as 'hdr' says?
 * If so, and if there would be more than one, adds that to 'request'. */
static bool
add_segmentation(const struct virtio_net_hdr *hdr, uint64_t features,
                 struct request *request)
{
    const struct headers *h = &request->headers;
    unsigned int feature, segment_size;
    uint64_t l3_flag;

    switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        l3_flag = RTE_MBUF_F_TX_IPV4;
        feature = VIRTIO_NET_F_HOST_TSO4;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        l3_flag = RTE_MBUF_F_TX_IPV6;
        feature = VIRTIO_NET_F_HOST_TSO6;
        break;
    default:
        return false;
    }
    if (!(features & UINT64_C(1) << feature) || !hdr->gso_size
        || request->flags != RTE_MBUF_F_TX_TCP_CKSUM
        || h->l3_flag != l3_flag) {
        return false;
    }
    segment_size = MAX(hdr->gso_size, VHOST_OFFLOAD_MIN_SEGMENT);
    if (h->l4_size - h->l4_len > segment_size) {
        request->flags |= RTE_MBUF_F_TX_TCP_SEG;
        request->segment_size = segment_size;
    }
    return true;
}

/* Decides what becomes of the request in 'hdr', of a guest that has negotiated
 * 'features', for a packet of 'len' bytes at 'data' (virtio 1.2, 5.1.6.2.1).
 * If it is to be passed on, stores in '*request' how. */
static enum vhost_offload_fate
judge(const struct virtio_net_hdr *hdr, uint64_t features, const void *data,
      size_t len, struct request *request)
{
    bool segmented = hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE;
    struct headers *h = &request->headers;

    request->flags = 0;
    request->segment_size = 0;
    if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        return segmented ? VHOST_OFFLOAD_INVALID : VHOST_OFFLOAD_PASSED_ON;
    }
    if ((size_t) hdr->csum_start + hdr->csum_offset + 2 > len) {
        return VHOST_OFFLOAD_INVALID;
    }
    if (find_l3(data, len, h)
        && hdr->csum_start == l4_offset(h)
        && find_l4((const uint8_t *) data + l4_offset(h), h)) {
        request->flags = checksum_flag(h->l4_proto, hdr->csum_offset);
    }
    return (segmented && !add_segmentation(hdr, features, request)
            ? VHOST_OFFLOAD_INVALID
            : request->flags ? VHOST_OFFLOAD_PASSED_ON
            : VHOST_OFFLOAD_COMPLETED);
}

/* Completes the checksum of the packet in 'mbuf', in which the field is, as
 * 'hdr' says.  Until now, the field has the sum of a pseudo header. */
static void
complete_checksum(const struct virtio_net_hdr *hdr, struct rte_mbuf *mbuf)
{
    put_checksum(rte_pktmbuf_mtod_offset(mbuf, uint8_t *, hdr->csum_start),
                 mbuf->data_len - hdr->csum_start, hdr->csum_offset);
}

/* Puts the checksum of the 'size' bytes at 'start' into the field at 'offset'
 * in them. */
static void
put_checksum(uint8_t *start, size_t size, uint16_t offset)
{
    uint16_t sum = csum(start, size);

    /* The other zero means that there is none. */
    put_unaligned_u16((uint16_t *) (start + offset), sum ? sum : UINT16_MAX);
}

/* Returns the size of the L4 header and payload of 'mbuf', whose other headers
 * it has the lengths of, as its L3 header says. */
static size_t
l4_size(const struct rte_mbuf *mbuf)
{
    const void *l3 = rte_pktmbuf_mtod_offset(mbuf, void *, mbuf->l2_len);

    if (mbuf->ol_flags & RTE_MBUF_F_TX_IPV4) {
        const struct rte_ipv4_hdr *ip = l3;

        return ntohs(ip->total_length) - mbuf->l3_len;
    } else {
        const struct rte_ipv6_hdr *ip = l3;

        return ntohs(ip->payload_len) - (mbuf->l3_len - sizeof *ip);
    }
}

/* Returns the sum of the pseudo header of 'mbuf', whose L4 header 'l4_flag'
 * says.  As opposed to what network cards want, this includes the length of a
 * packet that is to be cut into segments. */
static uint16_t
sum_pseudo_header(const struct rte_mbuf *mbuf, uint64_t l4_flag)
{
    uint8_t proto = (l4_flag == RTE_MBUF_F_TX_TCP_CKSUM ? IPPROTO_TCP
                     : IPPROTO_UDP);
    const void *l3 = rte_pktmbuf_mtod_offset(mbuf, void *, mbuf->l2_len);
    const void *addresses;
    size_t n;

    if (mbuf->ol_flags & RTE_MBUF_F_TX_IPV4) {
        const struct rte_ipv4_hdr *ip = l3;

        addresses = &ip->src_addr;
        n = sizeof ip->src_addr + sizeof ip->dst_addr;
    } else {
        const struct rte_ipv6_hdr *ip = l3;

        addresses = &ip->src_addr;
        n = sizeof ip->src_addr + sizeof ip->dst_addr;
    }
    return ~csum_finish(csum_add32(csum_continue(0, addresses, n),
                                   htonl((uint32_t) l4_size(mbuf) + proto)));
}
