/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Packets from the guest to the switch. */

#include <config.h>

#include "vhost-datapath-native.h"

#include <rte_arp.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "openvswitch/usdt-probes.h"
#include "vhost-compat.h"
#include "vhost-offload.h"

/* Copies 'n' bytes from 'offset' of 'buffer', which has them, to 'dst_'. */
static void
read_buffer(const struct virtq_burst *burst, const struct virtq_buffer *buffer,
            size_t offset, void *dst_, size_t n)
{
    const struct virtq_segment *segment = &buffer->first;
    const struct virtq_segment *next = &burst->segments[buffer->more];
    uint8_t *dst = dst_;

    for (; n; segment = next++) {
        size_t chunk;

        if (offset >= segment->len) {
            offset -= segment->len;
            continue;
        }
        chunk = MIN(n, segment->len - offset);
        copy_bytes(dst, segment->data + offset, chunk);
        offset = 0;
        dst += chunk;
        n -= chunk;
    }
}

/* Called when the last mbuf that has 'buffer' is freed. */
static void
free_large_buffer(void *addr OVS_UNUSED, void *buffer)
{
    rte_free(buffer);
}

/* Gives 'mbuf', which is empty, a buffer of its own for 'len' bytes, from
 * DPDK's heap.  Returns false if 'len' is too large for an mbuf or there is no
 * memory. */
static bool
attach_large_buffer(struct rte_mbuf *mbuf, uint32_t len)
{
    struct rte_mbuf_ext_shared_info *shinfo;
    size_t size = ROUND_UP(RTE_PKTMBUF_HEADROOM + (size_t) len,
                           sizeof(uintptr_t))
                  + sizeof *shinfo + sizeof(uintptr_t);
    uint16_t buf_len = size;
    void *buffer;

    if (size > UINT16_MAX) {
        return false;
    }
    buffer = rte_malloc(NULL, size, RTE_CACHE_LINE_SIZE);
    if (!buffer) {
        return false;
    }
    shinfo = rte_pktmbuf_ext_shinfo_init_helper(buffer, &buf_len,
                                                free_large_buffer, buffer);
    rte_pktmbuf_attach_extbuf(mbuf, buffer, rte_malloc_virt2iova(buffer),
                              buf_len, shinfo);
    rte_pktmbuf_reset_headroom(mbuf);
    return true;
}

/* What is the same for all packets of a burst.  Inlined away. */
struct rx {
    struct vhost_device *device;
    struct vhost_queue *q;
    struct virtq *vq;
    size_t hdr_len;
    struct vhost_counters *counters;
};

/* Makes 'mbuf' point to the packet in 'buffer', if it is in one piece and
 * worth it.  Returns its slot, or VHOST_ZEROCOPY_NO_SLOT if it is to be
 * copied.
 *
 * The packet must fit into the mbuf's own buffer, with room around it: that is
 * where it moves when the switch adds to it.  It must be at an even address,
 * as all code that reads headers expects.  What 'hdr' asks for must neither
 * change the packet nor cut it into segments: the switch would look at its
 * lengths again, which the guest may have changed. */
static inline uint16_t ALWAYS_INLINE
attach_packet(const struct rx *rx, struct vhost_zerocopy *zc,
              const struct virtq_burst *burst,
              const struct virtq_buffer *buffer,
              const struct virtio_net_hdr *hdr, struct rte_mbuf *mbuf)
{
    const struct virtq_segment *segment = &buffer->first;
    uint32_t len = buffer->len - rx->hdr_len;
    size_t offset = rx->hdr_len;

    if (buffer->n_more == 1 && segment->len == offset) {
        segment = &burst->segments[buffer->more];
        offset = 0;
    }
    return (len >= VHOST_ZEROCOPY_MIN_LEN && segment->len == offset + len
            && !((uintptr_t) (segment->data + offset) % 2)
            && len + VHOST_ZEROCOPY_TAILROOM <= rte_pktmbuf_tailroom(mbuf)
            && (!vhost_offload_is_requested(hdr)
                || vhost_offload_leaves_packet_alone(
                    hdr, rx->device->features, segment->data + offset, len))
            ? vhost_zerocopy_attach(zc, mbuf, segment->data + offset,
                                    MIN(offset, VHOST_ZEROCOPY_HEADROOM), len)
            : VHOST_ZEROCOPY_NO_SLOT);
}

/* Makes 'mbuf' the packet in 'buffer'.  Stores its slot in '*slot' unless 'zc'
 * is NULL.  Returns false if the packet is to be dropped. */
static inline bool ALWAYS_INLINE
receive_packet(const struct rx *rx, struct vhost_zerocopy *zc,
               const struct virtq_burst *burst,
               const struct virtq_buffer *buffer, struct rte_mbuf *mbuf,
               uint16_t *slot)
{
    const struct vhost_device *device = rx->device;
    struct vhost_counters *counters = rx->counters;
    size_t hdr_len = rx->hdr_len;
    uint32_t len = buffer->len - hdr_len;
    bool is_large = len > rte_pktmbuf_tailroom(mbuf);
    struct virtio_net_hdr hdr = { .flags = 0 };

    if (OVS_UNLIKELY(buffer->len <= hdr_len)) {
        vhost_count(counters, rx_runt_drops, 1);
        return false;
    }
    if (OVS_UNLIKELY(is_large) && !device->large_packets) {
        vhost_count(counters, rx_oversize_drops, 1);
        return false;
    }
    if (vhost_device_has(device, VIRTIO_NET_F_CSUM)) {
        read_buffer(burst, buffer, 0, &hdr, sizeof hdr);
    }
    if (zc) {
        *slot = attach_packet(rx, zc, burst, buffer, &hdr, mbuf);
        if (*slot == VHOST_ZEROCOPY_NO_SLOT && len >= VHOST_ZEROCOPY_MIN_LEN) {
            OVS_USDT_PROBE(netdev_vhost, large_copied, device->vid,
                           rx->q->vring, len, vhost_zerocopy_n_out(zc));
        }
    }
    if (!zc || *slot == VHOST_ZEROCOPY_NO_SLOT) {
        uint8_t *dst;

        if (OVS_UNLIKELY(is_large) && !attach_large_buffer(mbuf, len)) {
            vhost_count(counters, rx_oversize_drops, 1);
            return false;
        }
        dst = rte_pktmbuf_mtod(mbuf, uint8_t *);
        if (OVS_LIKELY(!buffer->n_more)) {
            copy_bytes(dst, buffer->first.data + hdr_len, len);
        } else {
            read_buffer(burst, buffer, hdr_len, dst, len);
        }
        mbuf->data_len = mbuf->pkt_len = len;
    }
    if (OVS_UNLIKELY(vhost_offload_is_requested(&hdr))
        && !vhost_count_offload(counters,
                                vhost_offload_from_guest(
                                    &hdr, device->features, mbuf))) {
        return false;
    }
    count_packet(rx->q, len, rte_pktmbuf_mtod(mbuf, uint8_t *));
    return true;
}

/* Gives buffers back to the guest whose packets the switch has freed. */
static void
return_completed(struct vhost_queue *q, struct virtq *vq,
                 struct vhost_zerocopy *zc, struct virtq_buffer *buffers)
{
    unsigned int n_packets;
    unsigned int n = vhost_zerocopy_collect(zc, buffers, VIRTQ_MAX_BUFFERS,
                                            &n_packets);

    if (n) {
        vq->out_of_order = vhost_zerocopy_is_out_of_order(zc);
        virtq_return(vq, buffers, n);
        call_guest(q, vq);
        count(q, VHOST_VRING_inflight_completed, n_packets);
    }
}

/* Gives the 'n' buffers of a burst back to the guest: at once if no packet is
 * in any of them and no older buffer waits, otherwise later. */
static inline void ALWAYS_INLINE
return_later(const struct rx *rx, struct vhost_zerocopy *zc,
             const struct virtq_buffer *buffers,
             const uint16_t *slots, uint16_t n)
{
    unsigned int n_packets = 0;

    for (uint16_t i = 0; i < n; i++) {
        n_packets += slots[i] != VHOST_ZEROCOPY_NO_SLOT;
    }
    if (!n_packets && vhost_zerocopy_is_idle(zc)) {
        virtq_return(rx->vq, buffers, n);
    } else {
        vhost_zerocopy_add(zc, buffers, slots, n);
        count(rx->q, VHOST_VRING_inflight_submitted, n_packets);
    }
}

/* "Receives" the RARP packet that makes the network learn where the guest is
 * after its migration. */
static uint16_t
receive_rarp(struct vhost_device *device, struct rte_mempool *mp,
             struct rte_mbuf **mbufs)
{
    union {
        uint64_t integer;
        struct rte_ether_addr address;
    } rarp;

    rarp.integer = atomic_exchange_explicit(&device->rarp_address,
                                            UINT64_C(0),
                                            memory_order_relaxed);
    if (!rarp.integer) {
        return 0;               /* Another queue was faster. */
    }
    mbufs[0] = rte_net_make_rarp_packet(mp, &rarp.address);
    if (!mbufs[0]) {
        atomic_store_relaxed(&device->rarp_address, rarp.integer);
        return 0;
    }
    return 1;
}

/* Receives up to 'n' packets into mbufs of 'mp' and returns their number.
 * 'zc' is the queue's zero-copy state, or the constant NULL, for which the
 * compiler makes a copy of this function without the code for zero-copy. */
static inline uint16_t ALWAYS_INLINE
dequeue(const struct rx *rx, struct vhost_zerocopy *zc,
        struct rte_mempool *mp, struct rte_mbuf **mbufs, uint16_t n)
{
    struct vhost_queue *q = rx->q;
    struct virtq *vq = rx->vq;
    uint16_t slots[VIRTQ_MAX_BUFFERS];
    struct virtq_burst burst;
    uint64_t n_bytes = 0;
    uint16_t n_received = 0;
    uint64_t rarp;

    atomic_read_relaxed(&rx->device->rarp_address, &rarp);
    if (OVS_UNLIKELY(rarp)) {
        return receive_rarp(rx->device, mp, mbufs);
    }
    if (zc && !vhost_zerocopy_is_idle(zc)) {
        return_completed(q, vq, zc, burst.buffers);
        n = MIN(n, vhost_zerocopy_room(zc));
    }
    n = virtq_fetch(vq, &burst, n);
    if (!n) {
        update_fault(q, vq);
        return 0;
    }
    if (OVS_UNLIKELY(rte_pktmbuf_alloc_bulk(mp, mbufs, n))) {
#if VHOST_HAS_NEW_VRING_STATS
        count(q, VHOST_VRING_mbuf_alloc_failed, n);
#endif
        return 0;
    }
    for (uint16_t i = 0; i < n; i++) {
        struct rte_mbuf *mbuf = mbufs[i];

        slots[i] = VHOST_ZEROCOPY_NO_SLOT;
        if (OVS_LIKELY(receive_packet(rx, zc, &burst, &burst.buffers[i], mbuf,
                                      &slots[i]))) {
            n_bytes += mbuf->pkt_len;
            mbufs[n_received++] = mbuf;
        } else {
            rte_pktmbuf_free(mbuf);
        }
    }
    virtq_take(vq, &burst, n);
    if (zc) {
        return_later(rx, zc, burst.buffers, slots, n);
    } else {
        virtq_return(vq, burst.buffers, n);
    }
    call_guest(q, vq);

    count(q, VHOST_VRING_good_packets, n_received);
    count(q, VHOST_VRING_good_bytes, n_bytes);
    return n_received;
}

uint16_t
vhost_native_dequeue(struct vhost_device *device, struct vhost_queue *q,
                     struct rte_mempool *mp, struct rte_mbuf **mbufs,
                     uint16_t n, struct vhost_counters *counters)
{
    struct vhost_zerocopy *zc;
    struct virtq *vq;
    struct rx rx;

    vhost_use_begin(&q->use);
    vq = running_virtq(q);
    if (OVS_UNLIKELY(!vq)) {
        vhost_use_end(&q->use);
        return 0;
    }
    zc = q->native.zerocopy;    /* Changes only while 'virtq' is null. */
    rx = (struct rx) {
        .device = device,
        .q = q,
        .vq = vq,
        .hdr_len = header_len(device),
        .counters = counters,
    };
    n = (OVS_UNLIKELY(zc)
         ? dequeue(&rx, zc, mp, mbufs, n)
         : dequeue(&rx, NULL, mp, mbufs, n));
    check_memory(device, q, zc);
    vhost_use_end(&q->use);
    return n;
}
