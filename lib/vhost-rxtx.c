/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-rxtx.h"

#include <errno.h>
#include <sched.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "coverage.h"
#include "dp-packet.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-device.h"
#include "vhost-hold.h"
#include "vhost-offload.h"
#include "vhost-policer.h"
#include "vhost-qos.h"
#include "vhost-segment.h"
#include "vhost-stats.h"

VLOG_DEFINE_THIS_MODULE(vhost_rxtx);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

COVERAGE_DEFINE(vhost_tx_contention);

/* After this many empty polls in a row, look whether the queue really is
 * empty.  A power of 2. */
#define EMPTY_POLLS_PER_CHECK 4096

/* After this many polls, note again which CPU polls.  A power of 2. */
#define POLLS_PER_CPU_CHECK 128

/* The fault of a ring in which librte_vhost stands still: it does not say
 * what is wrong.  Compared by address. */
static const char invalid_descriptors[] = "its descriptors are invalid";

BUILD_ASSERT_DECL(offsetof(struct dp_packet, mbuf) == 0);

static void check_empty_queue(struct vhost_device *, struct vhost_queue *,
                              const struct vhost_rx_params *);
static void report_fault(struct vhost_queue *, const char *port,
                         const char *fault, struct vhost_counters *);
static uint16_t send_burst(struct vhost_device *, struct vhost_queue *,
                           const struct vhost_tx_params *, struct rte_mbuf **,
                           uint16_t n);
static uint16_t prepare(struct vhost_device *, struct vhost_queue *,
                        const struct vhost_tx_params *, struct dp_packet **,
                        uint16_t n, struct rte_mbuf **);
static void send_mbufs(struct vhost_device *, struct vhost_queue *,
                       const struct vhost_tx_params *, struct rte_mbuf **,
                       uint16_t n);
static void send_segments(struct vhost_device *, struct vhost_queue *,
                          const struct vhost_tx_params *,
                          const struct dp_packet *, uint64_t features);
static struct rte_mbuf *copy_to_mbuf(struct rte_mempool *,
                                     const struct dp_packet *);
static void copy_priority(struct rte_mbuf *, const struct dp_packet *);
static bool prepare_offloads(const struct vhost_tx_params *,
                             struct dp_packet *);

static inline void
check_fault(struct vhost_queue *q, const char *port,
            struct vhost_counters *counters)
{
    const char *fault;

    atomic_read_relaxed(&q->fault, &fault);
    if (OVS_UNLIKELY(fault != q->reported_fault)) {
        report_fault(q, port, fault, counters);
    }
}

/* Receives a burst from 'q' of 'device' into 'batch'.  Stores the number of
 * packets that are left in the queue, if the burst was full, or -ENOTSUP into
 * '*qfill' unless that is null.  Returns 0 if successful, EAGAIN if there is
 * nothing to receive. */
int
vhost_rx_burst(struct vhost_device *device, struct vhost_queue *q,
               const struct vhost_rx_params *params,
               struct dp_packet_batch *batch, int *qfill)
{
    struct rte_mbuf **mbufs = (struct rte_mbuf **) batch->packets;
    int n_holding;
    uint16_t n;

    if (OVS_UNLIKELY(!(q->n_polls++ % POLLS_PER_CPU_CHECK))) {
        /* From time to time, because a queue may move to another thread
         * without notice.  The thread itself stays on its CPU. */
        atomic_store_relaxed(&q->cpu, sched_getcpu());
    }
    atomic_read_relaxed(&device->n_holding, &n_holding);
    if (OVS_UNLIKELY(n_holding)) {
        vhost_hold_flush_all(device, params->counters);
    }
    n = device->datapath->dequeue(device, q, params->mp, mbufs,
                                  NETDEV_MAX_BURST, params->counters);
    if (!n) {
        if (OVS_UNLIKELY(!(++q->n_empty_polls % EMPTY_POLLS_PER_CHECK))) {
            check_empty_queue(device, q, params);
        }
        check_fault(q, params->port, params->counters);
        return EAGAIN;
    }
    if (OVS_UNLIKELY(q->reported_fault)) {
        atomic_store_relaxed(&q->fault, NULL);
        check_fault(q, params->port, params->counters);
    }
    q->n_empty_polls = 0;
    q->pending_since = 0;

    if (qfill) {
        *qfill = (n == NETDEV_MAX_BURST
                  ? device->datapath->n_pending(device, q) : 0);
    }
    if (params->policer) {
        uint16_t n_passed = vhost_policer_run(params->policer, mbufs, n);

        if (OVS_UNLIKELY(n_passed != n)) {
            vhost_count(params->counters, rx_qos_drops, n - n_passed);
        }
        n = n_passed;
    }

    batch->count = n;
    vhost_init_packets(batch);
    return 0;
}

/* Sends 'n' packets, which it takes over, to 'q' of 'device'.  Packets for
 * which the ring has no room are dropped. */
void
vhost_tx_burst(struct vhost_device *device, struct vhost_queue *q,
               const struct vhost_tx_params *params,
               struct dp_packet **packets, size_t n)
{
    /* Since Open vSwitch 4.0, a batch may have any number of packets. */
    for (size_t i = 0; i < n; i += NETDEV_MAX_BURST) {
        struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
        uint16_t n_mbufs = prepare(device, q, params, packets + i,
                                   MIN(n - i, NETDEV_MAX_BURST), mbufs);

        send_mbufs(device, q, params, mbufs, n_mbufs);
    }
}

/* Sends 'n' (at most NETDEV_MAX_BURST) mbufs, which it takes over, to 'q' of
 * 'device'. */
static void
send_mbufs(struct vhost_device *device, struct vhost_queue *q,
           const struct vhost_tx_params *params, struct rte_mbuf **mbufs,
           uint16_t n)
{
    uint16_t n_sent = 0, n_held = 0;
    bool is_first;

    if (params->qos) {
        uint16_t n_passed = vhost_qos_run(params->qos, mbufs, n);

        if (n_passed != n) {
            vhost_count(params->counters, tx_qos_drops, n - n_passed);
            n = n_passed;
        }
    }
    if (OVS_UNLIKELY(!n)) {
        return;
    }

    if (OVS_UNLIKELY(!rte_spinlock_trylock(&q->lock))) {
        COVERAGE_INC(vhost_tx_contention);
        rte_spinlock_lock(&q->lock);
    }
    is_first = vhost_hold_flush(device, q, params->counters);
    if (OVS_LIKELY(is_first)) {
        n_sent = send_burst(device, q, params, mbufs, n);
    }
    if (OVS_UNLIKELY(n_sent != n || q->reported_fault)) {
        check_fault(q, params->port, params->counters);
    }
    if (OVS_UNLIKELY(n_sent != n)) {
        if (!is_first || device->datapath->is_stalled(device, q)) {
            n_held = vhost_hold_add(device, q, mbufs + n_sent, n - n_sent,
                                    params->counters);
        }
    }
    rte_spinlock_unlock(&q->lock);

    rte_pktmbuf_free_bulk(mbufs, n_sent);
    if (OVS_UNLIKELY(n_sent + n_held != n)) {
        uint16_t n_left = n - n_sent - n_held;

        rte_pktmbuf_free_bulk(mbufs + n_sent + n_held, n_left);
        vhost_count(params->counters, tx_failure_drops, n_left);
    }
}

void
vhost_tx_discard(struct vhost_counters *counters,
                 struct dp_packet_batch *batch)
{
    vhost_count(counters, tx_disconnected_drops, dp_packet_batch_size(batch));
    dp_packet_delete_batch(batch, true);
}

/* Sends up to 'n' mbufs to 'q', which is locked, and returns how many. */
static uint16_t
send_burst(struct vhost_device *device, struct vhost_queue *q,
           const struct vhost_tx_params *params, struct rte_mbuf **mbufs,
           uint16_t n)
{
    uint16_t n_sent = 0;
    int n_retries = 0;

    for (;;) {
        uint16_t n_more = device->datapath->enqueue(device, q, mbufs + n_sent,
                                                    n - n_sent,
                                                    params->counters);

        n_sent += n_more;
        if (OVS_LIKELY(n_sent == n) || !n_more
            || n_retries >= params->max_retries) {
            break;
        }
        n_retries++;
    }
    if (OVS_UNLIKELY(n_retries)) {
        vhost_count(params->counters, tx_retries, n_retries);
    }
    return n_sent;
}

/* Can this thread allocate a burst from 'mp'?  Mbufs in the caches of other
 * threads do not count. */
static bool
can_allocate(struct rte_mempool *mp)
{
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST];

    if (rte_pktmbuf_alloc_bulk(mp, mbufs, NETDEV_MAX_BURST)) {
        return false;
    }
    rte_pktmbuf_free_bulk(mbufs, NETDEV_MAX_BURST);
    return true;
}

/* Have buffers of 'q', whose packets were dropped, been taken since the last
 * call?  If so, no fault that was found by check_empty_queue() holds. */
static bool
has_moved(struct vhost_device *device, struct vhost_queue *q)
{
    uint16_t position;
    const char *fault;

    if (!device->datapath->position) {
        return false;
    }
    position = device->datapath->position(device, q);
    if (position == q->pending_position) {
        return false;
    }
    q->pending_position = position;
    atomic_read_relaxed(&q->fault, &fault);
    if (fault == invalid_descriptors) {
        atomic_store_relaxed(&q->fault, NULL);
    }
    return true;
}

/* Called once in a while as long as nothing comes from 'q'.  If packets have
 * been waiting in it since an earlier call, finds out and reports why: there
 * are no mbufs, or the data path cannot read the ring and does not say so. */
static void
check_empty_queue(struct vhost_device *device, struct vhost_queue *q,
                  const struct vhost_rx_params *params)
{
    uint64_t now = rte_rdtsc();
    bool moved = has_moved(device, q);

    if (device->datapath->n_pending(device, q) <= 0) {
        q->pending_since = 0;
    } else if (moved || !q->pending_since) {
        q->pending_since = now;
    } else if (!can_allocate(params->mp)) {
        vhost_count(params->counters, rx_no_mbuf_events, 1);
        VLOG_WARN_RL(&rl, "%s: mempool %s has no mbufs left; packets of the "
                     "guest wait on queue %d", params->port, params->mp->name,
                     q->vring / 2);
    } else if (device->datapath->position
               && now - q->pending_since >= rte_get_tsc_hz()) {
        atomic_store_relaxed(&q->fault, invalid_descriptors);
    }
}

/* Reports, once, what is wrong with 'q' of port 'port'. */
static void
report_fault(struct vhost_queue *q, const char *port, const char *fault,
             struct vhost_counters *counters)
{
    q->reported_fault = fault;
    if (!fault) {
        return;
    }
    if (q->vring & 1) {
        vhost_count(counters, rx_ring_faults, 1);
    } else {
        vhost_count(counters, tx_ring_faults, 1);
    }
    VLOG_WARN_RL(&rl, "%s: the guest's virtqueue %d is unusable: %s; it "
                 "is stopped until the guest resets its device", port,
                 q->vring, fault);
}

/* Returns the length of the second VLAN tag of 'packet', which is longer than
 * two of them, or 0. */
static uint32_t
second_tag_len(const struct dp_packet *packet)
{
    const struct eth_header *eth = dp_packet_data(packet);
    const struct vlan_header *tag = (const struct vlan_header *) (eth + 1);

    return (eth_type_vlan(eth->eth_type) && eth_type_vlan(tag->vlan_next_type)
            ? VLAN_HEADER_LEN : 0);
}

/* Is 'packet', which is longer than 'max_len', too long for the MTU?  There is
 * room in 'max_len' for one VLAN tag; if there are two, the second one does
 * not count either.  (Buffers have room for two: see vhost-mempool.c.) */
static bool
is_too_long(const struct dp_packet *packet, uint32_t max_len)
{
    return (!vhost_is_to_be_segmented(packet)
            && dp_packet_size(packet) > max_len + second_tag_len(packet));
}

/* Does the device of a guest that has negotiated 'features' take what 'mbuf'
 * asks for? */
static bool
takes_offloads(uint64_t features, const struct rte_mbuf *mbuf)
{
    unsigned int feature
        = (!(mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) ? VIRTIO_NET_F_GUEST_CSUM
           : mbuf->ol_flags & RTE_MBUF_F_TX_IPV4 ? VIRTIO_NET_F_GUEST_TSO4
           : VIRTIO_NET_F_GUEST_TSO6);

    return (features & UINT64_C(1) << feature
            || !(mbuf->ol_flags & (RTE_MBUF_F_TX_L4_MASK
                                   | RTE_MBUF_F_TX_TCP_SEG)));
}

/* Cuts 'packet' into segments for a guest that has negotiated 'features', and
 * sends them to 'q' of 'device'. */
static void
send_segments(struct vhost_device *device, struct vhost_queue *q,
              const struct vhost_tx_params *params,
              const struct dp_packet *packet, uint64_t features)
{
    struct rte_mbuf *segments[NETDEV_MAX_BURST];
    struct vhost_segmenter s;

    vhost_segmenter_init(&s, &packet->mbuf);
    while (vhost_segmenter_has_next(&s)) {
        uint16_t n = 0;

        while (n < NETDEV_MAX_BURST && vhost_segmenter_has_next(&s)) {
            struct rte_mbuf *segment
                = params->mp ? vhost_segmenter_next(&s, params->mp) : NULL;

            if (!segment) {
                vhost_count(params->counters, tx_no_mbuf_drops, 1);
                s.size = s.offset;
                break;
            }
            copy_priority(segment, packet);
            if (!takes_offloads(features, segment)) {
                vhost_offload_complete(segment);
            }
            segments[n++] = segment;
        }
        send_mbufs(device, q, params, segments, n);
    }
}

/* Moves those of the 'n' packets that may be sent to 'mbufs', as mbufs, and
 * returns their number.  Counts and frees the others.  Packets that have to be
 * cut into segments are sent, with those before them. */
static uint16_t
prepare(struct vhost_device *device, struct vhost_queue *q,
        const struct vhost_tx_params *params, struct dp_packet **packets,
        uint16_t n, struct rte_mbuf **mbufs)
{
    uint32_t max_len = params->mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
    unsigned int n_no_mbuf = 0, n_too_long = 0, n_invalid = 0;
    uint16_t n_mbufs = 0;

    for (uint16_t i = 0; i < n; i++) {
        struct dp_packet *packet = packets[i];
        struct rte_mbuf *mbuf = &packet->mbuf;

        if (OVS_UNLIKELY(dp_packet_size(packet) > max_len
                         && is_too_long(packet, max_len))) {
            VLOG_WARN_RL(&rl, "%s: Too big size %"PRIu32" max_packet_len "
                         "%"PRIu32, params->port, dp_packet_size(packet),
                         max_len + second_tag_len(packet));
            n_too_long++;
            dp_packet_delete(packet);
            continue;
        }
        if (OVS_UNLIKELY(vhost_has_request(packet))) {
            uint64_t features;

            if (!prepare_offloads(params, packet)) {
                n_invalid++;
                dp_packet_delete(packet);
                continue;
            }
            atomic_read_relaxed(&device->tx_features, &features);
            if (OVS_UNLIKELY(!takes_offloads(features, mbuf))) {
                if (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
                    send_mbufs(device, q, params, mbufs, n_mbufs);
                    n_mbufs = 0;
                    send_segments(device, q, params, packet, features);
                    dp_packet_delete(packet);
                    continue;
                }
                vhost_offload_complete(mbuf);
            }
        }
        if (OVS_UNLIKELY(packet->source != DPBUF_DPDK)) {
            mbuf = params->mp ? copy_to_mbuf(params->mp, packet) : NULL;
            dp_packet_delete(packet);
            if (!mbuf) {
                n_no_mbuf++;
                continue;
            }
        }
        mbufs[n_mbufs++] = mbuf;
    }

    if (OVS_UNLIKELY(n_mbufs != n)) {
        vhost_count(params->counters, tx_mtu_exceeded_drops, n_too_long);
        vhost_count(params->counters, tx_no_mbuf_drops, n_no_mbuf);
        vhost_count(params->counters, tx_invalid_hwol_drops, n_invalid);
    }
    return n_mbufs;
}

/* Returns a copy of 'packet' in mbufs of 'mp', a chain of them if it is longer
 * than one holds, or NULL if there are too few. */
static struct rte_mbuf *
copy_to_mbuf(struct rte_mempool *mp, const struct dp_packet *packet)
{
    const char *data = dp_packet_data(packet);
    uint32_t left = dp_packet_size(packet);
    struct rte_mbuf *head = rte_pktmbuf_alloc(mp);
    struct rte_mbuf *tail = head;

    if (!head) {
        return NULL;
    }
    for (;;) {
        uint16_t len = MIN(left, rte_pktmbuf_tailroom(tail));

        memcpy(rte_pktmbuf_mtod(tail, void *), data, len);
        tail->data_len = len;
        head->pkt_len += len;
        data += len;
        left -= len;
        if (!left) {
            break;
        }

        tail->next = rte_pktmbuf_alloc(mp);
        if (!tail->next) {
            rte_pktmbuf_free(head);
            return NULL;
        }
        tail = tail->next;
        head->nb_segs++;
    }

    head->ol_flags |= (packet->mbuf.ol_flags
                       & ~(RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT));
    head->tx_offload = packet->mbuf.tx_offload;
    head->packet_type = packet->mbuf.packet_type;
    copy_priority(head, packet);
    return head;
}

/* Gives 'mbuf', a copy of 'packet' or a part of it, all that anyone asks for
 * before it is sent: what chooses its QoS queue. */
static void
copy_priority(struct rte_mbuf *mbuf, const struct dp_packet *packet)
{
    struct dp_packet *copy = CONTAINER_OF(mbuf, struct dp_packet, mbuf);

    copy->md.skb_priority = packet->md.skb_priority;
}

/* Completes the offload request of 'packet' with the lengths of its headers.
 * Returns false if the request is invalid. */
static bool
prepare_offloads(const struct vhost_tx_params *params,
                 struct dp_packet *packet)
{
    struct rte_mbuf *mbuf = &packet->mbuf;
    const char *l3 = dp_packet_l3(packet);
    const struct tcp_header *l4 = dp_packet_l4(packet);

    vhost_complete_tunneled(packet);
    if (!vhost_has_request(packet)) {
        return true;
    }
    if (!l3 || !l4 || !vhost_request_to_mbuf(packet, l3)) {
        VLOG_WARN_RL(&rl, "%s: packet with offload request but without %s "
                     "header, pkt len: %"PRIu32, params->port,
                     l3 ? "L4" : "L3", mbuf->pkt_len);
        return false;
    }
    mbuf->l2_len = l3 - (const char *) dp_packet_eth(packet);
    mbuf->l3_len = (const char *) l4 - l3;
    mbuf->outer_l2_len = 0;
    mbuf->outer_l3_len = 0;

    if (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
        size_t l4_size = dp_packet_l4_size(packet);

        mbuf->l4_len = (l4_size < TCP_HEADER_LEN
                        ? 0 : TCP_OFFSET(l4->tcp_ctl) * 4);
        if (mbuf->l4_len < TCP_HEADER_LEN || mbuf->l4_len > l4_size
            || params->mtu <= mbuf->l3_len + mbuf->l4_len) {
            VLOG_WARN_RL(&rl, "%s: segmentation request with headers of %d "
                         "bytes for an MTU of %d", params->port,
                         mbuf->l3_len + mbuf->l4_len, params->mtu);
            return false;
        }
        mbuf->tso_segsz = vhost_segment_size(
            packet, params->mtu - mbuf->l3_len - mbuf->l4_len);
        mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
        if (mbuf->ol_flags & RTE_MBUF_F_TX_IPV4) {
            mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
        }
    }
    return true;
}
