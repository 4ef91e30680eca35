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
#include "openvswitch/json.h"
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

/* Since 3.6, json_array() is these two. */
#if !OVS_SINCE(3, 6)
static inline size_t
json_array_size(const struct json *json)
{
    return json_array(json)->n;
}

static inline const struct json *
json_array_at(const struct json *json, size_t i)
{
    return json_array(json)->elems[i];
}
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
    /* IPv4's own checksum is completed here.  Since 3.6, a port says so only
     * together with the others. */
    return ((OVS_SINCE(3, 6) ? 0 : NETDEV_TX_OFFLOAD_IPV4_CKSUM)
            | (features & UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM
               ? checksums | NETDEV_TX_OFFLOAD_IPV4_CKSUM : 0)
            | (tso && (features & segments) == segments
               ? NETDEV_TX_OFFLOAD_TCP_TSO : 0));
}

/* Offload requests of packets.
 *
 * The plugin's own code has them in the transmit flags of mbufs, as DPDK and
 * Open vSwitch before 3.6 do.  Since 3.6, Open vSwitch has them in packets
 * ('offloads', and the size of segments), and expects none in mbufs.
 *
 * Since 3.3, a request may be about headers inside of a tunnel. */
#if OVS_SINCE(3, 6)
/* Makes an mbuf with a request, which was received, a packet with one. */
static inline void
vhost_request_to_packet(struct dp_packet *packet)
{
    uint64_t l4_flag = packet->mbuf.ol_flags & RTE_MBUF_F_TX_L4_MASK;

    if (l4_flag) {
        dp_packet_l4_checksum_set_partial(packet);
        if (l4_flag == RTE_MBUF_F_TX_TCP_CKSUM) {
            dp_packet_l4_proto_set_tcp(packet);
        } else if (l4_flag == RTE_MBUF_F_TX_UDP_CKSUM) {
            dp_packet_l4_proto_set_udp(packet);
        } else {
            dp_packet_l4_proto_set_sctp(packet);
        }
    }
    packet->mbuf.ol_flags &= ~RTE_MBUF_F_TX_OFFLOAD_MASK;
}

/* Makes the mbufs in 'batch', which were received, packets. */
static inline void
vhost_init_packets(struct dp_packet_batch *batch)
{
    struct dp_packet *packet;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        dp_packet_reset_cutlen(packet);
        dp_packet_reset_offload(packet);
        packet->packet_type = htonl(PT_ETH);
        if (OVS_UNLIKELY(packet->mbuf.ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK)) {
            vhost_request_to_packet(packet);
        }
    }
}

static inline bool
vhost_is_to_be_segmented(const struct dp_packet *packet)
{
    return dp_packet_get_tso_segsz(packet) != 0;
}

static inline bool
vhost_has_request(const struct dp_packet *packet)
{
    return (dp_packet_ip_checksum_partial(packet)
            || dp_packet_l4_checksum_partial(packet)
            || dp_packet_inner_ip_checksum_partial(packet)
            || dp_packet_inner_l4_checksum_partial(packet)
            || vhost_is_to_be_segmented(packet));
}

/* Completes the checksums of the headers inside of a tunnel. */
static inline void
vhost_complete_tunneled(struct dp_packet *packet)
{
    if (dp_packet_tunnel(packet)) {
        dp_packet_ol_send_prepare(packet, 0);
    }
}

/* Puts the request of 'packet', which has its L3 header at 'l3', into its
 * mbuf.  Returns false if the packet is of no protocol that has such. */
static inline bool
vhost_request_to_mbuf(struct dp_packet *packet, const void *l3)
{
    const struct ip_header *ip = l3;
    uint64_t l4_flag = (dp_packet_l4_proto_tcp(packet)
                        ? RTE_MBUF_F_TX_TCP_CKSUM
                        : dp_packet_l4_proto_udp(packet)
                        ? RTE_MBUF_F_TX_UDP_CKSUM
                        : dp_packet_l4_proto_sctp(packet)
                        ? RTE_MBUF_F_TX_SCTP_CKSUM : 0);
    bool l4 = dp_packet_l4_checksum_partial(packet);
    bool segments = vhost_is_to_be_segmented(packet);

    if ((l4 && !l4_flag)
        || (segments && l4_flag != RTE_MBUF_F_TX_TCP_CKSUM)) {
        return false;
    }
    packet->mbuf.ol_flags &= ~RTE_MBUF_F_TX_OFFLOAD_MASK;
    packet->mbuf.ol_flags |= ((IP_VER(ip->ip_ihl_ver) == 4
                               ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6)
                              | (dp_packet_ip_checksum_partial(packet)
                                 ? RTE_MBUF_F_TX_IP_CKSUM : 0)
                              | (l4 ? l4_flag : 0)
                              | (segments ? RTE_MBUF_F_TX_TCP_SEG : 0));
    return true;
}
#else
#define vhost_init_packets(BATCH) dp_packet_batch_init_packet_fields(BATCH)

static inline bool
vhost_is_to_be_segmented(const struct dp_packet *packet)
{
    return (packet->mbuf.ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0;
}

static inline bool
vhost_has_request(const struct dp_packet *packet)
{
    return (packet->mbuf.ol_flags
            & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM
               | RTE_MBUF_F_TX_TCP_SEG)) != 0;
}

static inline void
vhost_complete_tunneled(struct dp_packet *packet OVS_UNUSED)
{
#if OVS_SINCE(3, 3)
    if (OVS_UNLIKELY(packet->mbuf.ol_flags & RTE_MBUF_F_TX_TUNNEL_MASK)) {
        dp_packet_ol_send_prepare(packet, 0);
    }
#endif
}

static inline bool
vhost_request_to_mbuf(struct dp_packet *packet OVS_UNUSED,
                      const void *l3 OVS_UNUSED)
{
    return true;                /* It is there. */
}
#endif

/* Returns the size of segments that 'packet' asks for, of which the port takes
 * those up to 'max'.  Before 3.4, clones and packets from tap ports do not
 * say: they have 0. */
static inline uint16_t
vhost_segment_size(const struct dp_packet *packet, uint16_t max)
{
    uint16_t size = packet->mbuf.tso_segsz;

    return size && size < max ? size : max;
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
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
#define VHOST_TESTED_DPDK { "DPDK 25.11.4" }
#elif RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
#define VHOST_TESTED_DPDK { "DPDK 24.11.8" }
#else
#define VHOST_TESTED_DPDK { "DPDK 22.11.11" }
#endif

/* Since 24.11.8 at the latest, librte_vhost does not map more of anything than
 * its size says.  Before, it did, for example of devices that have none. */
#define VHOST_COMPARES_FILE_SIZE (RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0))

/* Before 26.07, a cache of a mempool holds more than its size says.  The
 * member that says how much is obsolete since then. */
#if RTE_VERSION >= RTE_VERSION_NUM(26, 7, 0, 0)
#define VHOST_MEMPOOL_CACHE_MAX(CACHE) ((CACHE)->size)
#else
#define VHOST_MEMPOOL_CACHE_MAX(CACHE) ((CACHE)->flushthresh)
#endif

/* DPDK's deprecation notice says that all of rte_vfio_* is to be internal in
 * 26.11. */
#define VHOST_HAS_VFIO (RTE_VERSION < RTE_VERSION_NUM(26, 11, 0, 0))

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
 * it knows (sizeof(VhostUserMsg)), which is another one since 25.03.  DPDK
 * does not install the header that says so: vhost_message_is_readable() finds
 * out whether it is true. */
#define VHOST_MESSAGE_SIZE \
    (RTE_VERSION >= RTE_VERSION_NUM(25, 3, 0, 0) ? 1084 : 644)

#endif /* vhost-compat.h */
