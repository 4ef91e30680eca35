/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-segment.h"

#include <string.h>

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "util.h"

static uint32_t find_payload_size(const struct rte_mbuf *);
static void fix_headers(struct rte_mbuf *, uint32_t offset, uint32_t index,
                        bool is_last);

static uint32_t
header_len(const struct rte_mbuf *mbuf)
{
    return mbuf->l2_len + mbuf->l3_len + mbuf->l4_len;
}

void
vhost_segmenter_init(struct vhost_segmenter *s, const struct rte_mbuf *mbuf)
{
    s->mbuf = mbuf;
    s->offset = 0;
    s->size = find_payload_size(mbuf);
}

/* Returns the number of bytes behind the TCP header of 'mbuf', without what
 * the frame is padded with. */
static uint32_t
find_payload_size(const struct rte_mbuf *mbuf)
{
    const void *l3 = rte_pktmbuf_mtod_offset(mbuf, void *, mbuf->l2_len);
    uint32_t size = mbuf->pkt_len - MIN(mbuf->pkt_len, header_len(mbuf));
    uint32_t headers = mbuf->l3_len + mbuf->l4_len;
    uint32_t total;

    if (mbuf->ol_flags & RTE_MBUF_F_TX_IPV4) {
        const struct rte_ipv4_hdr *ip = l3;

        total = ntohs(ip->total_length);
    } else {
        const struct rte_ipv6_hdr *ip = l3;

        total = ntohs(ip->payload_len) + sizeof *ip;
    }
    return MIN(size, total - MIN(total, headers));
}

struct rte_mbuf *
vhost_segmenter_next(struct vhost_segmenter *s, struct rte_mempool *mp)
{
    uint32_t size = MIN(s->mbuf->tso_segsz, s->size - s->offset);
    uint32_t headers = header_len(s->mbuf);
    struct rte_mbuf *segment = rte_pktmbuf_alloc(mp);
    char *data;

    data = segment ? rte_pktmbuf_append(segment, headers + size) : NULL;
    if (!data) {
        rte_pktmbuf_free(segment);
        return NULL;
    }
    memcpy(data, rte_pktmbuf_mtod(s->mbuf, void *), headers);
    memcpy(data + headers,
           rte_pktmbuf_mtod_offset(s->mbuf, void *, headers + s->offset),
           size);
    segment->packet_type = s->mbuf->packet_type;
    segment->tx_offload = s->mbuf->tx_offload;
    segment->tso_segsz = 0;
    segment->ol_flags |= (RTE_MBUF_F_TX_TCP_CKSUM
                          | (s->mbuf->ol_flags & RTE_MBUF_F_TX_IPV4
                             ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM
                             : RTE_MBUF_F_TX_IPV6));
    fix_headers(segment, s->offset, s->offset / s->mbuf->tso_segsz,
                s->offset + size == s->size);
    s->offset += size;
    return segment;
}

/* Makes the headers in 'segment', which are those of the whole packet, those
 * of the segment number 'index' (from 0), 'offset' bytes into the payload. */
static void
fix_headers(struct rte_mbuf *segment, uint32_t offset, uint32_t index,
            bool is_last)
{
    void *l3 = rte_pktmbuf_mtod_offset(segment, void *, segment->l2_len);
    struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(
        segment, void *, segment->l2_len + segment->l3_len);
    uint32_t size = segment->pkt_len - segment->l2_len;

    if (segment->ol_flags & RTE_MBUF_F_TX_IPV4) {
        struct rte_ipv4_hdr *ip = l3;

        ip->total_length = htons(size);
        ip->packet_id = htons(ntohs(ip->packet_id) + index);
    } else {
        struct rte_ipv6_hdr *ip = l3;

        ip->payload_len = htons(size - sizeof *ip);
    }
    tcp->sent_seq = htonl(ntohl(tcp->sent_seq) + offset);
    if (index) {
        tcp->tcp_flags &= ~RTE_TCP_CWR_FLAG;
    }
    if (!is_last) {
        tcp->tcp_flags &= ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
    }
}
