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

#ifndef VHOST_OFFLOAD_H
#define VHOST_OFFLOAD_H 1

/* Checksum and segmentation requests: from a virtio-net header (virtio 1.2,
 * 5.1.6) to an mbuf, and back.
 *
 * An mbuf that was received from a guest carries the request as the transmit
 * flags of DPDK, because that is what the switch forwards to the next port. */

#include <stdbool.h>

#include <linux/virtio_net.h>
#include <rte_mbuf.h>

/* What of 'ol_flags' concerns a guest. */
#define VHOST_OFFLOAD_FLAGS (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM \
                             | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)

static inline bool
vhost_offload_is_requested(const struct virtio_net_hdr *hdr)
{
    return hdr->flags || hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

void vhost_offload_from_guest(const struct virtio_net_hdr *,
                              struct rte_mbuf *);
void vhost_offload_to_guest(struct rte_mbuf *, struct virtio_net_hdr *);

#endif /* vhost-offload.h */
