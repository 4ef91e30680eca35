/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_OFFLOAD_H
#define VHOST_OFFLOAD_H 1

/* Checksum and segmentation requests: from a virtio-net header (virtio 1.2,
 * 5.1.6) to an mbuf, and back.
 *
 * virtio says where a checksum begins and where it is put, whatever the packet
 * is.  An mbuf says of which protocol it is, and Open vSwitch finds the
 * headers by itself: when it sends the packet to a port that does not take the
 * request, it ends the process if there is no such header, and cuts the packet
 * into segments of whatever size it was told.  So a request is passed on, as
 * the transmit flags of DPDK, only if Open vSwitch's parser will find in the
 * packet what it is about.  Any other checksum is completed here, as virtio
 * defines it.
 *
 * Any thread. */

#include <stdbool.h>
#include <stddef.h>

#include <linux/virtio_net.h>
#include <rte_mbuf.h>

#include "vhost-stats.h"

/* Flags in 'ol_flags' that concern a guest. */
#define VHOST_OFFLOAD_FLAGS (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM \
                             | RTE_MBUF_F_TX_TCP_SEG)

/* Segments are at least this long, if there are several, in bytes of payload.
 * A guest may ask for less: an IPv4 path may have an MTU of 68 bytes. */
#define VHOST_OFFLOAD_MIN_SEGMENT 64

/* What becomes of a request. */
enum vhost_offload_fate {
    VHOST_OFFLOAD_PASSED_ON,    /* The mbuf has it, if it is not empty. */
    VHOST_OFFLOAD_COMPLETED,    /* The packet has its checksum. */
    VHOST_OFFLOAD_INVALID,      /* It is invalid: drop the packet. */
};

static inline bool
vhost_offload_is_requested(const struct virtio_net_hdr *hdr)
{
    return hdr->flags || hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

/* Counts 'fate' of a packet from the guest in 'counters'.  Returns false if
 * the packet is to be dropped. */
static inline bool
vhost_count_offload(struct vhost_counters *counters,
                    enum vhost_offload_fate fate)
{
    if (fate == VHOST_OFFLOAD_COMPLETED) {
        vhost_count(counters, rx_completed_csums, 1);
    } else if (fate == VHOST_OFFLOAD_INVALID) {
        vhost_count(counters, rx_invalid_hwol_drops, 1);
    }
    return fate != VHOST_OFFLOAD_INVALID;
}

/* For a guest that has negotiated 'features', VIRTIO_NET_F_CSUM among them. */
enum vhost_offload_fate vhost_offload_from_guest(const struct virtio_net_hdr *,
                                                 uint64_t features,
                                                 struct rte_mbuf *);
enum vhost_offload_fate vhost_offload_from_library(uint64_t features,
                                                   struct rte_mbuf *);
bool vhost_offload_leaves_packet_alone(const struct virtio_net_hdr *,
                                       uint64_t features,
                                       const void *data, size_t len);

void vhost_offload_to_guest(struct rte_mbuf *, struct virtio_net_hdr *);
void vhost_offload_complete(struct rte_mbuf *);

#endif /* vhost-offload.h */
