/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_STATS_H
#define VHOST_STATS_H 1

/* What a vhost-user port counts.
 *
 * Two kinds: 'struct vhost_vring_stats' is what a data path counts for each
 * virtqueue, 'struct vhost_counters' is the port's own account of packets that
 * went elsewhere, one counter for each reason.  The latter may be updated by
 * any thread.  An update costs an atomic addition, which is paid for packets
 * that are dropped, bursts that are sent again or made to wait (tx_retries,
 * tx_held), and checksums that are completed, but not for packets that simply
 * pass. */

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/usdt-probes.h"
#include "ovs-atomic.h"
#include "vhost-compat.h"

struct netdev_custom_stats;
struct netdev_stats;

/* Counters of one virtqueue, under the names that users see after "rx_qN_" and
 * "tx_qN_". */
#define VHOST_VRING_STATS                               \
    VHOST_VRING_STAT(good_packets)                      \
    VHOST_VRING_STAT(good_bytes)                        \
    VHOST_VRING_STAT(multicast_packets)                 \
    VHOST_VRING_STAT(broadcast_packets)                 \
    VHOST_VRING_STAT(undersize_packets)                 \
    VHOST_VRING_STAT(size_64_packets)                   \
    VHOST_VRING_STAT(size_65_127_packets)               \
    VHOST_VRING_STAT(size_128_255_packets)              \
    VHOST_VRING_STAT(size_256_511_packets)              \
    VHOST_VRING_STAT(size_512_1023_packets)             \
    VHOST_VRING_STAT(size_1024_1518_packets)            \
    VHOST_VRING_STAT(size_1519_max_packets)             \
    VHOST_VRING_STAT(guest_notifications)               \
    VHOST_VRING_STAT(iotlb_hits)                        \
    VHOST_VRING_STAT(iotlb_misses)                      \
    VHOST_VRING_STAT(inflight_submitted)                \
    VHOST_VRING_STAT(inflight_completed)                \
    VHOST_NEW_VRING_STATS

struct vhost_vring_stats {
#define VHOST_VRING_STAT(NAME) uint64_t NAME;
    VHOST_VRING_STATS
#undef VHOST_VRING_STAT
};

/* Their places in an array. */
enum {
#define VHOST_VRING_STAT(NAME) VHOST_VRING_##NAME,
    VHOST_VRING_STATS
#undef VHOST_VRING_STAT
    VHOST_N_VRING_STATS
};

/* What went through a virtqueue, on average over the last interval. */
struct vhost_rate {
    uint64_t packets;           /* Per second. */
    uint64_t bits;              /* Per second. */
};

/* Counters of a port, whose names users see after "ovs_". */
#define VHOST_COUNTERS                                                      \
    /* Attempts to send the rest of a burst. */                             \
    VHOST_COUNTER(tx_retries)                                               \
    /* Not sent: the guest's ring has no (more) descriptors. */             \
    VHOST_COUNTER(tx_failure_drops)                                         \
    /* Not sent: longer than the port's MTU. */                             \
    VHOST_COUNTER(tx_mtu_exceeded_drops)                                    \
    /* Not sent: QoS. */                                                    \
    VHOST_COUNTER(tx_qos_drops)                                             \
    /* Received, then dropped by the ingress policer. */                    \
    VHOST_COUNTER(rx_qos_drops)                                             \
    /* Not sent: invalid offload request. */                                \
    VHOST_COUNTER(tx_invalid_hwol_drops)                                    \
    /* Not sent: no guest, port down, or no queue enabled by the guest. */  \
    VHOST_COUNTER(tx_disconnected_drops)                                    \
    /* Not sent: no mbuf to copy the packet into. */                        \
    VHOST_COUNTER(tx_no_mbuf_drops)                                         \
    /* Not sent: the guest's buffers are too small and cannot be joined. */ \
    VHOST_COUNTER(tx_small_buffer_drops)                                    \
    /* Not sent at once, but made to wait: see vhost-hold.h. */             \
    VHOST_COUNTER(tx_held)                                                  \
    /* Made to wait, then dropped, because it took too long. */             \
    VHOST_COUNTER(tx_held_drops)                                            \
    /* Received, then dropped: no bytes after the header. */                \
    VHOST_COUNTER(rx_runt_drops)                                            \
    /* Received, then dropped: longer than an mbuf can be. */               \
    VHOST_COUNTER(rx_oversize_drops)                                        \
    /* Received, then dropped: invalid offload request. */                  \
    VHOST_COUNTER(rx_invalid_hwol_drops)                                    \
    /* Received, with a checksum that no mbuf can ask for: completed. */    \
    VHOST_COUNTER(rx_completed_csums)                                       \
    /* Times that packets waited in the guest for lack of mbufs. */         \
    VHOST_COUNTER(rx_no_mbuf_events)                                        \
    /* Times that a ring was found unusable. */                             \
    VHOST_COUNTER(rx_ring_faults)                                           \
    VHOST_COUNTER(tx_ring_faults)

struct vhost_counters {
    const char *port;           /* Its name, for the probe, or NULL. */
#define VHOST_COUNTER(NAME) atomic_uint64_t NAME;
    VHOST_COUNTERS
#undef VHOST_COUNTER
};

/* Adds N to counter NAME of COUNTERS, from any thread. */
#define vhost_count(COUNTERS, NAME, N)                                      \
    do {                                                                    \
        uint64_t orig__;                                                    \
        atomic_add_relaxed(&(COUNTERS)->NAME, (uint64_t) (N), &orig__);     \
        OVS_USDT_PROBE(netdev_vhost, count, (COUNTERS)->port, #NAME, N);    \
    } while (0)

void vhost_counters_init(struct vhost_counters *, const char *port);
uint64_t vhost_counters_get_tx_dropped(const struct vhost_counters *);
uint64_t vhost_counters_get_rx_dropped(const struct vhost_counters *);

void vhost_vring_stats_add(struct vhost_vring_stats *,
                           const struct vhost_vring_stats *);
bool vhost_vring_stats_set(struct vhost_vring_stats *, const char *name,
                           uint64_t value);
void vhost_stats_to_netdev(const struct vhost_vring_stats *rx,
                           const struct vhost_vring_stats *tx,
                           const struct vhost_counters *,
                           struct netdev_stats *);
void vhost_stats_add_counters(const struct vhost_counters *,
                              struct netdev_custom_stats *);
void vhost_stats_add_vring(unsigned int vring,
                           const struct vhost_vring_stats *,
                           struct netdev_custom_stats *);

#endif /* vhost-stats.h */
