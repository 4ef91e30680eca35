/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Packets from the switch to the guest. */

#include <config.h>

#include "vhost-datapath-native.h"

#include <rte_mbuf.h>

#include "vhost-offload.h"

/* Where to write next: 'offset' bytes into segment number 'segment' of
 * 'buffer'. */
struct position {
    struct virtq_burst *burst;
    struct virtq_buffer *buffer;
    unsigned int segment;
    uint32_t offset;
};

/* Writes the 'n' bytes at 'src_' to '*p', which has room for them, and moves
 * it past them. */
static void
write_bytes(struct position *p, const void *src_, size_t n)
{
    const uint8_t *src = src_;

    while (n) {
        const struct virtq_segment *segment =
            (p->segment
             ? &p->burst->segments[p->buffer->more + p->segment - 1]
             : &p->buffer->first);
        size_t chunk = MIN(n, segment->len - p->offset);

        if (chunk) {            /* The buffer may be empty. */
            copy_bytes(segment->data + p->offset, src, chunk);
        }
        p->buffer->written += chunk;
        p->offset += chunk;
        src += chunk;
        n -= chunk;
        if (p->offset == segment->len) {
            p->offset = 0;
            if (p->segment++ == p->buffer->n_more) {
                p->segment = 0;
                p->buffer++;
            }
        }
    }
}

/* Writes the packet in 'mbuf' and its header to as many buffers of 'burst' as
 * it takes, from 'first' on.  Returns their number, or 0 if there are too
 * few. */
static unsigned int
write_packet(const struct vhost_device *device, struct virtq_burst *burst,
             unsigned int first, size_t hdr_len, struct rte_mbuf *mbuf)
{
    struct virtio_net_hdr_mrg_rxbuf hdr = { .num_buffers = 1 };
    struct position p = {
        .burst = burst, .buffer = &burst->buffers[first]
    };
    uint64_t room = p.buffer->len;
    unsigned int n = 1;

    while (room < hdr_len + mbuf->pkt_len) {
        if (!vhost_device_has(device, VIRTIO_NET_F_MRG_RXBUF)
            || first + n >= burst->n_buffers) {
            return 0;
        }
        room += burst->buffers[first + n++].len;
    }
    hdr.num_buffers = n;
    vhost_offload_to_guest(mbuf, &hdr.hdr);
    write_bytes(&p, &hdr, hdr_len);
    for (; mbuf; mbuf = mbuf->next) {
        write_bytes(&p, rte_pktmbuf_mtod(mbuf, void *), mbuf->data_len);
    }
    return n;
}

/* Writes the header of a packet without offloads in one buffer.  Usually, the
 * same bytes are there already, in a cache line of their own, which then stays
 * clean. */
static inline void ALWAYS_INLINE
write_plain_header(uint8_t *dst, size_t hdr_len)
{
    static const struct virtio_net_hdr_mrg_rxbuf plain = { .num_buffers = 1 };
    uint64_t old_start, start;
    uint32_t old_end, end;

    memcpy(&start, &plain, sizeof start);
    memcpy(&old_start, dst, sizeof old_start);
    memcpy(&end, (const uint8_t *) &plain + 8, sizeof end);
    if (OVS_LIKELY(hdr_len == sizeof plain)) {
        memcpy(&old_end, dst + 8, sizeof old_end);
        if (OVS_UNLIKELY(start != old_start || end != old_end)) {
            memcpy(dst, &plain, sizeof plain);
        }
    } else {
        memcpy(dst, &plain, sizeof plain.hdr);
    }
}

/* Writes the packet in 'mbuf' and its header to 'buffer', if it is the usual
 * packet, which needs one buffer and no offload.  Returns false if it is not:
 * write_packet() is for the others. */
static inline bool
write_simple_packet(struct virtq_buffer *buffer, size_t hdr_len,
                    const struct rte_mbuf *mbuf)
{
    uint32_t len = hdr_len + mbuf->pkt_len;
    uint8_t *dst = buffer->first.data;

    if (OVS_UNLIKELY(mbuf->nb_segs > 1 || len > buffer->first.len
                     || mbuf->ol_flags & VHOST_OFFLOAD_FLAGS)) {
        return false;
    }
    write_plain_header(dst, hdr_len);
    copy_bytes(dst + hdr_len, rte_pktmbuf_mtod(mbuf, void *), mbuf->pkt_len);
    buffer->written = len;
    return true;
}

/* Is 'mbuf' too large for 'buffer', if buffers cannot be joined? */
static bool
is_too_large(const struct vhost_device *device,
             const struct virtq_buffer *buffer, size_t hdr_len,
             const struct rte_mbuf *mbuf)
{
    return (!vhost_device_has(device, VIRTIO_NET_F_MRG_RXBUF)
            && hdr_len + mbuf->pkt_len > buffer->len);
}

/* Sends up to 'n' mbufs to 'vq' of 'q'.  Returns how many were sent, or
 * dropped because they can never be sent. */
static inline uint16_t ALWAYS_INLINE
enqueue(struct vhost_device *device, struct vhost_queue *q, struct virtq *vq,
        struct rte_mbuf **mbufs, uint16_t n, struct vhost_counters *counters)
{
    size_t hdr_len = header_len(device);
    unsigned int max_buffers = n;
    uint16_t n_packets = 0, n_dropped = 0;
    struct virtq_burst burst;
    uint64_t n_bytes = 0;

    while (n_packets + n_dropped < n) {
        unsigned int n_buffers = virtq_fetch(vq, &burst, max_buffers);
        unsigned int n_used = 0;

        while (n_used < n_buffers && n_packets + n_dropped < n) {
            struct rte_mbuf *mbuf = mbufs[n_packets + n_dropped];
            struct virtq_buffer *buffer = &burst.buffers[n_used];
            unsigned int n_taken = 1;

            if (OVS_UNLIKELY(!write_simple_packet(buffer, hdr_len, mbuf))) {
                if (is_too_large(device, buffer, hdr_len, mbuf)) {
                    vhost_count(counters, tx_small_buffer_drops, 1);
                    n_dropped++;
                    n_used += !buffer->len;     /* No packet ever fits. */
                    continue;
                }
                n_taken = write_packet(device, &burst, n_used, hdr_len, mbuf);
                if (!n_taken) {
                    break;
                }
            }
            count_packet(q, mbuf->pkt_len, rte_pktmbuf_mtod(mbuf, uint8_t *));
            n_bytes += mbuf->pkt_len;
            n_packets++;
            n_used += n_taken;
        }
        if (n_used) {
            if (OVS_UNLIKELY(vq->log)) {
                virtq_log_written(vq, &burst, n_used);
            }
            virtq_take(vq, &burst, n_used);
            virtq_return(vq, burst.buffers, n_used);
        } else if (n_buffers < max_buffers
                   || max_buffers == VIRTQ_MAX_BUFFERS) {
            break;
        }
        max_buffers = VIRTQ_MAX_BUFFERS;
    }
    if (n_packets) {
        call_guest(q, vq);
        count(q, VHOST_VRING_good_packets, n_packets);
        count(q, VHOST_VRING_good_bytes, n_bytes);
    }
    update_fault(q, vq);
    return n_packets + n_dropped;
}

uint16_t
vhost_native_enqueue(struct vhost_device *device, struct vhost_queue *q,
                     struct rte_mbuf **mbufs, uint16_t n,
                     struct vhost_counters *counters)
{
    struct virtq *vq;

    vhost_use_begin(&q->use);
    vq = running_virtq(q);
    if (OVS_LIKELY(vq)) {
        n = enqueue(device, q, vq, mbufs, n, counters);
        check_memory(device, q, NULL);
    } else {
        n = 0;
    }
    vhost_use_end(&q->use);
    return n;
}
