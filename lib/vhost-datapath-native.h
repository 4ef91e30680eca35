/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_DATAPATH_NATIVE_H
#define VHOST_DATAPATH_NATIVE_H 1

/* What the two directions of vhost_datapath_native have in common: copying,
 * counting, notifying the guest, and looking for faults.
 *
 * All of it is inline, because it is used in each burst.  It is for the thread
 * that uses a queue, with the queue's lock if that is a transmit queue, and
 * for the control plane while no thread uses the queue. */

#include <string.h>
#include <sys/eventfd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_memcpy.h>

#include "vhost-device.h"
#include "vhost-guard.h"
#include "vhost-mapping.h"
#include "vhost-zerocopy.h"

uint16_t vhost_native_dequeue(struct vhost_device *, struct vhost_queue *,
                              struct rte_mempool *, struct rte_mbuf **,
                              uint16_t n, struct vhost_counters *);
uint16_t vhost_native_enqueue(struct vhost_device *, struct vhost_queue *,
                              struct rte_mbuf **, uint16_t n,
                              struct vhost_counters *);

/* Packets up to this length are copied in line; for longer ones, the C library
 * knows the widest moves of this machine. */
#define MAX_INLINE_COPY 256

/* Copies 'n' bytes from 'src' to 'dst', which do not overlap. */
static inline void ALWAYS_INLINE
copy_bytes(void *dst, const void *src, size_t n)
{
    if (OVS_LIKELY(n <= MAX_INLINE_COPY)) {
        rte_memcpy(dst, src, n);
    } else {
        memcpy(dst, src, n);
    }
}

/* Adds 'n' to a counter of 'q', which only the queue's user writes. */
static inline void
count(struct vhost_queue *q, unsigned int counter, uint64_t n)
{
    uint64_t value;

    atomic_read_relaxed(&q->native.counters[counter], &value);
    atomic_store_relaxed(&q->native.counters[counter], value + n);
}

/* Counts a packet of 'len' bytes to 'dst_address' in 'q', by length and kind
 * of address. */
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

/* Returns the length of the header before each packet (virtio 1.2, 5.1.6). */
static inline size_t
header_len(const struct vhost_device *device)
{
    return (device->features & (UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF
                                | UINT64_C(1) << VIRTIO_F_VERSION_1
                                | UINT64_C(1) << VIRTIO_F_RING_PACKED)
            ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
            : sizeof(struct virtio_net_hdr));
}

/* Notes a fault of 'vq' in 'q', which is reported to the user. */
static inline void
update_fault(struct vhost_queue *q, struct virtq *vq)
{
    const char *fault;

    atomic_read_relaxed(&vq->fault, &fault);
    if (OVS_UNLIKELY(fault)) {
        atomic_store_relaxed(&q->fault, fault);
    }
}

/* Returns the virtqueue of 'q', or NULL if that does not run.  It is used
 * between marks only: see vhost-use.h. */
static inline struct virtq *
running_virtq(struct vhost_queue *q)
{
    struct virtq *vq;

    /* Pairs with the release in native_start(). */
    atomic_read_explicit(&q->native.virtq, &vq, memory_order_acquire);
    return vq;
}

/* Stops 'q' if memory that was accessed is lost: that of 'device',
 * or the mapping of its zero-copy state 'zc', which may be NULL. */
static inline void
check_memory(const struct vhost_device *device, struct vhost_queue *q,
             const struct vhost_zerocopy *zc)
{
    if (OVS_UNLIKELY(vhost_guard_is_lost(device->vid)
                     || (zc && vhost_mapping_is_lost(zc->mapping)))) {
        atomic_store_relaxed(&q->native.virtq, NULL);
        atomic_store_relaxed(&q->fault, vhost_guard_fault);
    }
}

/* Notifies the guest of the buffers that were returned to it, if it wants
 * that. */
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

#endif /* vhost-datapath-native.h */
