/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* The data path over our own virtqueues: packets of the guest to mbufs, and
 * back.  virtq.h has the rings. */

#include <config.h>

#include "vhost-datapath.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <rte_arp.h>
#include <rte_malloc.h>
#include <rte_memcpy.h>
#include <rte_vhost.h>

#include "dp-packet.h"
#include "openvswitch/usdt-probes.h"
#include "vhost-device.h"
#include "vhost-guard.h"
#include "vhost-mapping.h"
#include "vhost-offload.h"
#include "vhost-zerocopy.h"

/* Packets up to this length are copied in line; for longer ones, the C library
 * knows the widest moves of this machine. */
#define MAX_INLINE_COPY 256

static uint16_t receive_rarp(struct vhost_device *, struct rte_mempool *,
                             struct rte_mbuf **);

static inline void ALWAYS_INLINE
copy_bytes(void *dst, const void *src, size_t n)
{
    if (OVS_LIKELY(n <= MAX_INLINE_COPY)) {
        rte_memcpy(dst, src, n);
    } else {
        memcpy(dst, src, n);
    }
}

/* Statistics.  Only the queue's user writes them. */

static inline void
count(struct vhost_queue *q, unsigned int counter, uint64_t n)
{
    uint64_t value;

    atomic_read_relaxed(&q->native.counters[counter], &value);
    atomic_store_relaxed(&q->native.counters[counter], value + n);
}

static inline void
count_packet(struct vhost_queue *q, uint32_t len, const uint8_t *dst_address)
{
    unsigned int bin;

    if (len < 64) {
        bin = VHOST_VRING_undersize_packets;
    } else if (len == 64) {
        bin = VHOST_VRING_size_64_packets;
    } else if (len < 1024) {
        bin = VHOST_VRING_size_65_127_packets + log_2_floor(len) - 6;
    } else if (len < 1519) {
        bin = VHOST_VRING_size_1024_1518_packets;
    } else {
        bin = VHOST_VRING_size_1519_max_packets;
    }
    count(q, bin, 1);
    if (OVS_UNLIKELY(dst_address[0] & 1)) {
        static const uint8_t broadcast[] = {
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff
        };

        count(q, memcmp(dst_address, broadcast, sizeof broadcast)
                 ? VHOST_VRING_multicast_packets
                 : VHOST_VRING_broadcast_packets, 1);
    }
}

static inline size_t
header_len(const struct vhost_device *device)
{
    return (device->features & (UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF
                                | UINT64_C(1) << VIRTIO_F_VERSION_1
                                | UINT64_C(1) << VIRTIO_F_RING_PACKED)
            ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
            : sizeof(struct virtio_net_hdr));
}

/* Notes a fault of 'vq' in 'q', where it is seen. */
static inline void
pass_fault_on(struct vhost_queue *q, struct virtq *vq)
{
    const char *fault;

    atomic_read_relaxed(&vq->fault, &fault);
    if (OVS_UNLIKELY(fault)) {
        atomic_store_relaxed(&q->fault, fault);
    }
}

/* Has 'q' stand still if memory that was accessed is lost: that of 'device',
 * or the mapping of its zero-copy state 'zc', which may be NULL. */
static inline void
check_memory(const struct vhost_device *device, struct vhost_queue *q,
             const struct vhost_zerocopy *zc)
{
    if (OVS_UNLIKELY(vhost_guard_is_lost(device->vid)
                     || (zc && vhost_mapping_is_lost(zc->mapping)))) {
        ovsrcu_set_hidden(&q->native.virtq, NULL);
        atomic_store_relaxed(&q->fault, vhost_guard_fault);
    }
}

/* Notifies the guest of what was returned to it, if it wants that. */
static inline void
call_guest(struct vhost_queue *q, struct virtq *vq)
{
    if (OVS_UNLIKELY(virtq_wants_call(vq))) {
        int fd;

        atomic_read_relaxed(&q->native.callfd, &fd);
        if (fd >= 0) {
            eventfd_write(fd, 1);
            count(q, VHOST_VRING_guest_notifications, 1);
        }
    }
}

/* From the guest. */

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

static void
free_large_buffer(void *addr OVS_UNUSED, void *buffer)
{
    rte_free(buffer);
}

/* Gives 'mbuf', which is empty, a buffer of its own for 'len' bytes. */
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

/* Makes 'mbuf' point to the packet in 'buffer', if it is in one piece and
 * worth it.  Returns its slot, or VHOST_ZEROCOPY_NO_SLOT if it is to be
 * copied.
 *
 * The packet must fit into the mbuf's own buffer, with room around it: that is
 * where it moves when the switch adds to it.  It must be at an even address,
 * as everybody expects of headers.  What 'hdr' asks for must neither change
 * the packet nor have it cut into segments: the switch would look at its
 * lengths again. */
static inline uint16_t
attach_packet(const struct vhost_device *device, struct vhost_zerocopy *zc,
              const struct virtq_burst *burst,
              const struct virtq_buffer *buffer, size_t hdr_len,
              const struct virtio_net_hdr *hdr, struct rte_mbuf *mbuf)
{
    const struct virtq_segment *segment = &buffer->first;
    uint32_t len = buffer->len - hdr_len;
    size_t offset = hdr_len;

    if (buffer->n_more == 1 && segment->len == hdr_len) {
        segment = &burst->segments[buffer->more];
        offset = 0;
    }
    return (len >= VHOST_ZEROCOPY_MIN_LEN && segment->len == offset + len
            && !((uintptr_t) (segment->data + offset) % 2)
            && len + VHOST_ZEROCOPY_TAILROOM <= rte_pktmbuf_tailroom(mbuf)
            && (!vhost_offload_is_requested(hdr)
                || vhost_offload_leaves_packet_alone(
                    hdr, device->features, segment->data + offset, len))
            ? vhost_zerocopy_attach(zc, mbuf, segment->data + offset,
                                    MIN(offset, VHOST_ZEROCOPY_HEADROOM), len)
            : VHOST_ZEROCOPY_NO_SLOT);
}

/* Makes 'mbuf' the packet in 'buffer', of which the slot is stored in '*slot'
 * unless 'zc' is NULL.  Returns false if it is dropped. */
static inline bool ALWAYS_INLINE
receive_packet(const struct vhost_device *device, struct vhost_queue *q,
               const struct virtq_burst *burst,
               const struct virtq_buffer *buffer, size_t hdr_len,
               struct rte_mbuf *mbuf, struct vhost_counters *counters,
               struct vhost_zerocopy *zc, uint16_t *slot)
{
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
        *slot = attach_packet(device, zc, burst, buffer, hdr_len, &hdr, mbuf);
        if (*slot == VHOST_ZEROCOPY_NO_SLOT && len >= VHOST_ZEROCOPY_MIN_LEN) {
            OVS_USDT_PROBE(netdev_vhost, large_copied, device->vid, q->vring,
                           len, vhost_zerocopy_n_out(zc));
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
    count_packet(q, len, rte_pktmbuf_mtod(mbuf, uint8_t *));
    return true;
}

/* Gives buffers back to the guest whose packets have gone. */
static void
return_gone(struct vhost_queue *q, struct virtq *vq, struct vhost_zerocopy *zc,
            struct virtq_buffer *buffers)
{
    unsigned int n_packets;
    unsigned int n = vhost_zerocopy_collect(zc, buffers, VIRTQ_MAX_BUFFERS,
                                            &n_packets);

    if (n) {
        virtq_return(vq, buffers, n);
        call_guest(q, vq);
        count(q, VHOST_VRING_inflight_completed, n_packets);
    }
}

/* Gives the 'n' buffers of a burst back to the guest, at once if it can have
 * all of them. */
static inline void
return_later(struct vhost_queue *q, struct virtq *vq,
             struct vhost_zerocopy *zc, const struct virtq_buffer *buffers,
             const uint16_t *slots, uint16_t n)
{
    unsigned int n_packets = 0;

    for (uint16_t i = 0; i < n; i++) {
        n_packets += slots[i] != VHOST_ZEROCOPY_NO_SLOT;
    }
    if (!n_packets && vhost_zerocopy_is_idle(zc)) {
        virtq_return(vq, buffers, n);
    } else {
        vhost_zerocopy_add(zc, buffers, slots, n);
        count(q, VHOST_VRING_inflight_submitted, n_packets);
    }
}

/* 'zc' is the queue's, or NULL. */
static inline uint16_t ALWAYS_INLINE
dequeue(struct vhost_device *device, struct vhost_queue *q, struct virtq *vq,
        struct vhost_zerocopy *zc, struct rte_mempool *mp,
        struct rte_mbuf **mbufs, uint16_t n, struct vhost_counters *counters)
{
    size_t hdr_len = header_len(device);
    uint16_t slots[VIRTQ_MAX_BUFFERS];
    struct virtq_burst burst;
    uint64_t n_bytes = 0;
    uint16_t n_received = 0;
    uint64_t rarp;

    atomic_read_relaxed(&device->rarp_address, &rarp);
    if (OVS_UNLIKELY(rarp)) {
        return receive_rarp(device, mp, mbufs);
    }

    if (zc && !vhost_zerocopy_is_idle(zc)) {
        return_gone(q, vq, zc, burst.buffers);
        n = MIN(n, vhost_zerocopy_room(zc));
    }
    n = virtq_fetch(vq, &burst, n);
    if (!n) {
        pass_fault_on(q, vq);
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
        if (OVS_LIKELY(receive_packet(device, q, &burst, &burst.buffers[i],
                                      hdr_len, mbuf, counters, zc,
                                      &slots[i]))) {
            n_bytes += mbuf->pkt_len;
            mbufs[n_received++] = mbuf;
        } else {
            rte_pktmbuf_free(mbuf);
        }
    }
    virtq_take(vq, &burst, n);
    if (zc) {
        return_later(q, vq, zc, burst.buffers, slots, n);
    } else {
        virtq_return(vq, burst.buffers, n);
    }
    call_guest(q, vq);

    count(q, VHOST_VRING_good_packets, n_received);
    count(q, VHOST_VRING_good_bytes, n_bytes);
    return n_received;
}

static uint16_t
native_dequeue(struct vhost_device *device, struct vhost_queue *q,
               struct rte_mempool *mp, struct rte_mbuf **mbufs, uint16_t n,
               struct vhost_counters *counters)
{
    struct virtq *vq = ovsrcu_get(struct virtq *, &q->native.virtq);
    struct vhost_zerocopy *zc;

    if (OVS_UNLIKELY(!vq)) {
        return 0;
    }
    zc = q->native.zerocopy;    /* Changes only while 'virtq' is null. */
    n = (OVS_UNLIKELY(zc)
         ? dequeue(device, q, vq, zc, mp, mbufs, n, counters)
         : dequeue(device, q, vq, NULL, mp, mbufs, n, counters));
    check_memory(device, q, zc);
    return n;
}

/* "Receives" the RARP that makes the network learn where the guest lives. */
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

/* To the guest. */

/* Where to write next: 'offset' bytes into segment number 'segment' of
 * 'buffer'. */
struct position {
    struct virtq_burst *burst;
    struct virtq_buffer *buffer;
    unsigned int segment;
    uint32_t offset;
};

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

        copy_bytes(segment->data + p->offset, src, chunk);
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

/* Writes the header of a packet without offloads in one buffer.  Mostly it is
 * there already, in a cache line of its own, which then stays clean. */
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

/* The same for the usual packet, which needs one buffer and no offload.
 * Returns false if it is not that. */
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

/* Will 'mbuf' never fit into 'buffer', which cannot be joined with others? */
static bool
is_too_large(const struct vhost_device *device,
             const struct virtq_buffer *buffer, size_t hdr_len,
             const struct rte_mbuf *mbuf)
{
    return (!vhost_device_has(device, VIRTIO_NET_F_MRG_RXBUF)
            && hdr_len + mbuf->pkt_len > buffer->len);
}

static inline uint16_t ALWAYS_INLINE
enqueue(struct vhost_device *device, struct vhost_queue *q,
        struct rte_mbuf **mbufs, uint16_t n, struct vhost_counters *counters)
{
    struct virtq *vq = ovsrcu_get(struct virtq *, &q->native.virtq);
    size_t hdr_len = header_len(device);
    unsigned int max_buffers = n;
    uint16_t n_packets = 0, n_dropped = 0;
    struct virtq_burst burst;
    uint64_t n_bytes = 0;

    if (OVS_UNLIKELY(!vq)) {
        return 0;
    }
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
    pass_fault_on(q, vq);
    return n_packets + n_dropped;
}

static uint16_t
native_enqueue(struct vhost_device *device, struct vhost_queue *q,
               struct rte_mbuf **mbufs, uint16_t n,
               struct vhost_counters *counters)
{
    n = enqueue(device, q, mbufs, n, counters);
    check_memory(device, q, NULL);
    return n;
}

static int
native_n_pending(struct vhost_device *device OVS_UNUSED,
                 struct vhost_queue *q)
{
    const struct virtq *vq = ovsrcu_get(struct virtq *, &q->native.virtq);

    return vq ? virtq_n_available(vq) : 0;
}

static unsigned int
native_n_out(const struct vhost_queue *q)
{
    return vhost_zerocopy_n_out(q->native.zerocopy);
}

/* Is a message about the ring or the guest's memory being handled? */
static bool
native_is_stalled(struct vhost_device *device OVS_UNUSED,
                  struct vhost_queue *q)
{
    const char *fault;

    atomic_read_relaxed(&q->fault, &fault);
    return !fault && !ovsrcu_get(struct virtq *, &q->native.virtq);
}

/* Control. */

static void
log_write(void *q_, uint64_t address, uint64_t len)
{
    const struct vhost_queue *q = q_;

    rte_vhost_log_write(q->native.vid, address, len);
}

/* Returns a duplicate of 'fd', or -1.  It is for writing without waiting,
 * which only an eventfd can promise. */
static int
duplicate_callfd(int fd)
{
    fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd >= 0 && !vhost_guard_callfd(fd)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool
is_set_up(const struct vhost_queue *q)
{
    return q->native.storage.size != 0;
}

static void
native_stop(struct vhost_device *device OVS_UNUSED, struct vhost_queue *q,
            uint64_t deadline)
{
    if (q->native.zerocopy && is_set_up(q)) {
        unsigned int n = vhost_zerocopy_stop(q->native.zerocopy, &q->native.storage,
                                             deadline);

        call_guest(q, &q->native.storage);
        count(q, VHOST_VRING_inflight_completed, n);
    }
    vhost_zerocopy_retire(q->native.zerocopy);
    q->native.zerocopy = NULL;
}

/* Has 'q' receive without a copy, if that is possible: the ring is then used
 * where we have mapped it. */
static void
start_zerocopy(struct vhost_device *device, struct vhost_queue *q,
               struct virtq_config *config)
{
    struct vhost_mapping *mapping = device->mapping;
    struct vhost_zerocopy *zc;

    if (q->native.zerocopy && q->native.zerocopy->ring_size != config->size) {
        /* Another ring, which does not know the buffers of the last one. */
        native_stop(device, q, vhost_zerocopy_deadline());
    }
    zc = (mapping && q->vring & 1
          ? vhost_zerocopy_renew(q->native.zerocopy, mapping, config->size) : NULL);
    if (zc) {
        q->native.zerocopy = zc;
        config->memory = &mapping->memory;
        config->desc = vhost_mapping_translate(mapping, &device->memory,
                                               config->desc);
        config->driver = vhost_mapping_translate(mapping, &device->memory,
                                                 config->driver);
        config->device = vhost_mapping_translate(mapping, &device->memory,
                                                 config->device);
    }
}

static void
native_start(struct vhost_device *device, struct vhost_queue *q)
{
    uint64_t features = device->features;
    struct rte_vhost_vring vring;
    struct virtq_config config;
    const char *problem;

    if (is_set_up(q)) {
        return;
    }
    memset(&config, 0, sizeof config);
    if (rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)
        || rte_vhost_get_vring_base(device->vid, q->vring,
                                    &config.avail_base, &config.used_base)) {
        return;
    }
    q->native.vid = device->vid;
    q->native.log = (struct virtq_log) { .write = log_write, .aux = q };
    /* Whether there is a log may have changed since the device started. */
    rte_vhost_get_negotiated_features(device->vid, &features);
    config.log = features & UINT64_C(1) << VHOST_F_LOG_ALL ? &q->native.log : NULL;
    config.memory = &device->memory;
    config.packed = vhost_device_has(device, VIRTIO_F_RING_PACKED);
    config.event_idx = vhost_device_has(device, VIRTIO_RING_F_EVENT_IDX);
    config.writable = !(q->vring & 1);
    config.size = vring.size;
    config.desc = vring.desc;
    config.driver = vring.avail;
    config.device = vring.used;
    start_zerocopy(device, q, &config);
    problem = (vhost_guard_is_lost(device->vid) ? vhost_guard_fault
               : virtq_init(&q->native.storage, &config));
    atomic_store_relaxed(&q->fault, problem);
    if (problem) {
        q->native.storage.size = 0;
        return;
    }
    atomic_store_relaxed(&q->native.callfd, duplicate_callfd(vring.callfd));
    if (q->native.zerocopy && config.memory == &device->memory) {
        /* It was possible until now. */
        native_stop(device, q, vhost_zerocopy_deadline());
    }
    ovsrcu_set(&q->native.virtq, &q->native.storage);
}

static bool
native_suspend(struct vhost_device *device OVS_UNUSED, struct vhost_queue *q)
{
    ovsrcu_set(&q->native.virtq, NULL);
    return is_set_up(q);
}

/* Queues that were suspended are waited for with the RCU. */
static void
native_await(struct vhost_device *device OVS_UNUSED,
             struct vhost_queue *q OVS_UNUSED)
{
}

static void
close_virtq(struct vhost_queue *q)
{
    int fd;

    if (is_set_up(q)) {
        atomic_read_relaxed(&q->native.callfd, &fd);
        if (fd >= 0) {
            close(fd);
        }
        q->native.storage.size = 0;
    }
}

static void
native_release(struct vhost_queue *q)
{
    close_virtq(q);
    vhost_zerocopy_retire(q->native.zerocopy);
}

static void
native_hand_back(struct vhost_device *device, struct vhost_queue *q)
{
    if (is_set_up(q)) {
        uint16_t avail, used;

        virtq_get_base(&q->native.storage, &avail, &used);
        rte_vhost_set_vring_base(device->vid, q->vring, avail, used);
        close_virtq(q);
    }
}

static void
close_later(int *fd)
{
    close(*fd);
    free(fd);
}

static void
native_renew_call(struct vhost_device *device, struct vhost_queue *q)
{
    bool was_quiescent = ovsrcu_is_quiescent();
    struct rte_vhost_vring vring;
    int fd;

    if (!is_set_up(q)
        || rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)) {
        return;
    }
    fd = atomic_exchange_explicit(&q->native.callfd, duplicate_callfd(vring.callfd),
                                  memory_order_relaxed);
    if (fd >= 0) {
        int *old = xmalloc(sizeof *old);

        *old = fd;
        ovsrcu_postpone(close_later, old);
        if (was_quiescent) {
            ovsrcu_quiesce_start();
        }
    }
    /* The guest may have missed one in between. */
    atomic_read_relaxed(&q->native.callfd, &fd);
    if (fd >= 0) {
        eventfd_write(fd, 1);
    }
}

static bool
native_get_stats(struct vhost_device *device OVS_UNUSED,
                 struct vhost_queue *q, struct vhost_vring_stats *stats)
{
    uint64_t *values = (uint64_t *) stats;

    for (size_t i = 0; i < VHOST_N_VRING_STATS; i++) {
        atomic_read_relaxed(&q->native.counters[i], &values[i]);
    }
    return true;
}

/* The next device counts from zero. */
static bool
native_reset_stats(struct vhost_device *device OVS_UNUSED,
                   struct vhost_queue *q OVS_UNUSED)
{
    return true;
}

const struct vhost_datapath vhost_datapath_native = {
    .name = "native",
    .can_zero_copy = true,
    .receives_rarp = true,
    .dequeue = native_dequeue,
    .enqueue = native_enqueue,
    .n_pending = native_n_pending,
    .is_stalled = native_is_stalled,
    .n_out = native_n_out,
    .start = native_start,
    .suspend = native_suspend,
    .await = native_await,
    .stop = native_stop,
    .hand_back = native_hand_back,
    .renew_call = native_renew_call,
    .release = native_release,
    .get_stats = native_get_stats,
    .reset_stats = native_reset_stats,
};
