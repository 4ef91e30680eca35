/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_RXTX_H
#define VHOST_RXTX_H 1

/* Bursts of packets between a virtqueue and the switch: what is the same for
 * every way to move them.
 *
 * These functions run in PMD threads (vhost_tx_burst() in others too).  They
 * know a running device's published state, not the port.  They wait for
 * nothing but spinlocks: a transmit queue's, that of a policer or QoS, which
 * the main thread takes to change its parameters, and those of librte_vhost.
 *
 * They allocate from mempools; only a packet from the guest that is longer
 * than an mbuf's buffer (userspace-tso-enable) gets a buffer from DPDK's heap,
 * with rte_malloc(). */

#include <stddef.h>
#include <stdint.h>

struct dp_packet;
struct dp_packet_batch;
struct rte_mempool;
struct vhost_counters;
struct vhost_device;
struct vhost_policer;
struct vhost_qos;
struct vhost_queue;

/* What a port has set for the packets that it receives. */
struct vhost_rx_params {
    struct rte_mempool *mp;             /* Nonnull. */
    struct vhost_policer *policer;      /* Null for none. */
    struct vhost_counters *counters;
    const char *port;                   /* Name, for messages. */
};

/* What a port has set for the packets that it sends. */
struct vhost_tx_params {
    struct rte_mempool *mp;             /* Null if there is none. */
    struct vhost_qos *qos;              /* Null for none. */
    struct vhost_counters *counters;
    const char *port;                   /* Name, for messages. */
    int mtu;
    int max_retries;                    /* After a burst sent in part. */
};

int vhost_rx_burst(struct vhost_device *, struct vhost_queue *,
                   const struct vhost_rx_params *, struct dp_packet_batch *,
                   int *qfill);
void vhost_tx_burst(struct vhost_device *, struct vhost_queue *,
                    const struct vhost_tx_params *, struct dp_packet **,
                    size_t n);

/* Frees all packets in 'batch' and counts them as dropped for lack of a guest
 * or a queue. */
void vhost_tx_discard(struct vhost_counters *, struct dp_packet_batch *);

#endif /* vhost-rxtx.h */
