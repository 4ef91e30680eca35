/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_SEGMENT_H
#define VHOST_SEGMENT_H 1

/* Cuts TCP packets into segments, for guests that do not.
 *
 * Since Open vSwitch 3.4, the switch does so itself before it sends a packet
 * to a port without NETDEV_TX_OFFLOAD_TCP_TSO.  Before, it drops the packet.
 *
 * Any thread. */

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

/* What is left of a packet. */
struct vhost_segmenter {
    const struct rte_mbuf *mbuf;
    uint32_t offset;            /* Of the next segment, in the payload. */
    uint32_t size;              /* Of the payload, in bytes. */
};

/* 'mbuf' has the packet in one piece, with a request for segments
 * (RTE_MBUF_F_TX_TCP_SEG), the lengths of its headers and the size of the
 * segments, and must stay until the last of them is made. */
void vhost_segmenter_init(struct vhost_segmenter *, const struct rte_mbuf *);

/* Returns the next segment in an mbuf of 'mp', which the caller takes over and
 * which asks for its checksums; or NULL if there is no mbuf, or none that is
 * large enough.  May be called while vhost_segmenter_has_next(). */
struct rte_mbuf *vhost_segmenter_next(struct vhost_segmenter *,
                                      struct rte_mempool *mp);

static inline bool
vhost_segmenter_has_next(const struct vhost_segmenter *s)
{
    return s->offset < s->size;
}

#endif /* vhost-segment.h */
