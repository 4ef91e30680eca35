/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_COMPAT_H
#define VHOST_COMPAT_H 1

/* What differs between the versions of Open vSwitch and DPDK that the plugin
 * is built with.  No other file asks for a version.
 *
 * The constants may be used in "if": what is not for this version is compiled
 * and left out. */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>
#include <rte_mbuf.h>
#include <rte_version.h>
#include <rte_vhost.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "util.h"

#define OVS_SINCE(MAJOR, MINOR) (OVS_VERSION_NUMBER >= 100 * (MAJOR) + (MINOR))

/* Since 3.2, Open vSwitch leaves checksums to any netdev that says that it
 * completes them, and completes them itself for others.  Before, it did so
 * with userspace-tso-enable only, and dropped what a netdev could not
 * complete. */
#define VHOST_CHECKSUMS_ALWAYS OVS_SINCE(3, 2)

/* Since 3.3, get_config() of struct netdev_class returns options that
 * set_config() takes.  Before, it returned what the port is like. */
#define VHOST_CONFIG_IS_OPTIONS OVS_SINCE(3, 3)

/* Since 3.5, netdev-dpdk/get-mempool-info of a port without mempool fails. */
#define VHOST_NO_MEMPOOL_IS_ERROR OVS_SINCE(3, 5)

/* Since 3.4, --mlockall locks pages as they are used where the kernel can do
 * that.  Only where it cannot, post-copy live migration does not work. */
#if OVS_SINCE(3, 4)
#define vhost_memory_is_locked() memory_all_locked()
#define vhost_set_memory_locked() set_all_memory_locked()       /* Tests. */
#else
#define vhost_memory_is_locked() memory_locked()
#define vhost_set_memory_locked() set_memory_locked()
#endif

/* Returns the flags NETDEV_TX_* of a port whose guest negotiated 'features',
 * or 0 if it has no guest.  'tso' says whether userspace-tso-enable is set. */
static inline uint64_t
vhost_tx_offloads(uint64_t features, bool tso)
{
    const uint64_t checksums = (NETDEV_TX_OFFLOAD_TCP_CKSUM
                                | NETDEV_TX_OFFLOAD_UDP_CKSUM
                                | NETDEV_TX_OFFLOAD_SCTP_CKSUM);
    const uint64_t segments = (UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4
                               | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6);

    if (!VHOST_CHECKSUMS_ALWAYS) {
        return (tso ? checksums | NETDEV_TX_OFFLOAD_IPV4_CKSUM
                      | NETDEV_TX_OFFLOAD_TCP_TSO : 0);
    }
    if (!features) {
        return 0;
    }
    /* IPv4's own checksum is completed here. */
    return (NETDEV_TX_OFFLOAD_IPV4_CKSUM
            | (features & UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM
               ? checksums : 0)
            | (tso && (features & segments) == segments
               ? NETDEV_TX_OFFLOAD_TCP_TSO : 0));
}

/* Since 3.3, what 'packet' asks for may be about headers inside of a tunnel.
 * Completes their checksums, which may be too deep inside for an mbuf to
 * tell. */
static inline void
vhost_complete_tunneled(struct dp_packet *packet OVS_UNUSED)
{
#if OVS_SINCE(3, 3)
    if (OVS_UNLIKELY(packet->mbuf.ol_flags & RTE_MBUF_F_TX_TUNNEL_MASK)) {
        dp_packet_ol_send_prepare(packet, 0);
    }
#endif
}

/* Returns the size of segments that 'packet' asks for, of which the port takes
 * those up to 'max'.  Before 3.4, clones and packets from tap ports do not
 * say: they have 0. */
static inline uint16_t
vhost_segment_size(const struct dp_packet *packet, uint16_t max)
{
    uint16_t size = packet->mbuf.tso_segsz;

    return size && size < max ? size : max;
}

/* Copies what only some versions know of packet 'src' to its copy 'dst'. */
static inline void
vhost_copy_packet_fields(struct dp_packet *dst, const struct dp_packet *src)
{
#if OVS_SINCE(3, 3)
    dst->inner_l3_ofs = src->inner_l3_ofs;
    dst->inner_l4_ofs = src->inner_l4_ofs;
    dst->mbuf.tso_segsz = src->mbuf.tso_segsz;
#endif
}

/* Counters of a virtqueue that DPDK did not have before 24.03, as in
 * VHOST_VRING_STATS. */
#define VHOST_HAS_NEW_VRING_STATS (RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0))
#if VHOST_HAS_NEW_VRING_STATS
#define VHOST_NEW_VRING_STATS                           \
    VHOST_VRING_STAT(guest_notifications_offloaded)     \
    VHOST_VRING_STAT(guest_notifications_error)         \
    VHOST_VRING_STAT(guest_notifications_suppressed)    \
    VHOST_VRING_STAT(mbuf_alloc_failed)
#else
#define VHOST_NEW_VRING_STATS
#endif

/* What rte_version() says of the releases of this DPDK with which all of it
 * was tested, the latest first. */
#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
#define VHOST_TESTED_DPDK { "DPDK 24.11.8" }
#else
#define VHOST_TESTED_DPDK { "DPDK 22.11.11" }
#endif

/* Since 24.11.8 at the latest, librte_vhost does not map more of anything than
 * its size says.  Before, it did, for example of devices that have none. */
#define VHOST_COMPARES_FILE_SIZE (RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0))

/* librte_vhost has VDUSE devices since 23.07, and finds them again after a
 * restart since 24.11. */
#define VHOST_HAS_VDUSE (RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0))

/* Sets the number of queue pairs of the VDUSE device at 'path'. */
static inline int
vhost_set_queue_pairs(const char *path OVS_UNUSED,
                      unsigned int n_queue_pairs OVS_UNUSED)
{
#if VHOST_HAS_VDUSE
    return rte_vhost_driver_set_max_queue_num(path, n_queue_pairs);
#else
    return 0;
#endif
}

/* Bytes of a message that librte_vhost shows us, with the largest payload that
 * it knows (sizeof(VhostUserMsg)). */
#define VHOST_MESSAGE_SIZE 644

#endif /* vhost-compat.h */
