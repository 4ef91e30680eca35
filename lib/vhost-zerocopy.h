/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_ZEROCOPY_H
#define VHOST_ZEROCOPY_H 1

/* Packets that stay in the guest's memory while the switch has them.
 *
 *
 * Concept
 * =======
 *
 * A packet that the guest sends need not be copied: an mbuf can point to it.
 * The buffer that it is in goes back to the guest when the mbuf is freed.  The
 * zero-copy state of a receive queue is about what is on its way:
 *
 *     vhost_zerocopy_attach()   Attaches an mbuf to a packet.  Takes a slot.
 *     vhost_zerocopy_add()      The packet's buffer is to go back later.
 *     vhost_zerocopy_collect()  Which buffers can go back now?
 *
 * Any thread that frees the mbuf marks the slot.  Only the queue's own thread,
 * which looks for marks, touches the virtqueue.
 *
 *
 * Starvation
 * ==========
 *
 * Packets may be held for long: a NIC that frees what it sent when it has
 * more to send, the defragmentation of connection tracking.  The guest must be
 * able to continue all the same:
 *
 *   - At most half of the buffers of a ring are out at a time.  When these are
 *     used up, packets are copied.
 *
 *   - Buffers go back in the order in which they came, because a switch that
 *     is killed and started again can then continue with the ring where the
 *     guest says that it was.  When the oldest one is held for longer than
 *     VHOST_ZEROCOPY_PATIENCE, or a quarter of the ring waits after it, the
 *     others overtake it, and continue to do so.  That is why such a port does
 *     not offer VIRTIO_F_IN_ORDER.
 *
 *
 * Lifetime
 * ========
 *
 * The state belongs to a virtqueue of one connection, from when that is
 * started until the guest stops it, and to one mapping of the guest's memory.
 * When the memory changes in between, a new state takes the old one's place,
 * which is kept as its 'previous' until all of its buffers went back.
 *
 * When the ring stops, its buffers go back at once, after a moment of waiting,
 * whether the mbufs were freed or not: the guest would not get them later.
 * A packet that is still on its way may then change; it stays in the guest's
 * memory, which stays mapped until it has gone.
 *
 * State that is no longer needed is retired, and freed when no mbuf refers
 * to it: see vhost_zerocopy_sweep().
 *
 *
 * Physical ports
 * ==============
 *
 * A device that reads packets itself has to be told about the guest's memory:
 * see vhost-dma.h.  As long as there is one that cannot be told, all packets
 * are copied. */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "ovs-atomic.h"
#include "util.h"
#include "vhost-mapping.h"
#include "virtq.h"

/* Shorter packets are copied, which costs less. */
#define VHOST_ZEROCOPY_MIN_LEN 1024

/* Room in front of a packet, where the guest has its virtio header: enough for
 * a VLAN tag.  More would be dangerous: Open vSwitch's connection tracking
 * makes an FTP command up to 8 bytes longer if there are 8 bytes more in the
 * buffer than in the packet, wherever they are, and what follows it need not
 * be the guest's. */
#define VHOST_ZEROCOPY_HEADROOM 4

/* Room that must be after a packet in an mbuf's own buffer. */
#define VHOST_ZEROCOPY_TAILROOM 64

/* For how long others wait for the oldest buffer, in microseconds. */
#define VHOST_ZEROCOPY_PATIENCE 1000

/* For how long rings that stop together wait for their packets, in
 * microseconds. */
#define VHOST_ZEROCOPY_STOP_TIME 10000

/* At most this many packets of a queue are out at a time. */
#define VHOST_ZEROCOPY_MAX_SLOTS 4096

/* At most this many former mappings of a running guest are referred to. */
#define VHOST_ZEROCOPY_MAX_PREVIOUS 8

/* As long as there is retired state of this many queues in all, packets are
 * copied on queues that start. */
#define VHOST_ZEROCOPY_MAX_RETIRED 64

/* Of a buffer whose packet was copied. */
#define VHOST_ZEROCOPY_NO_SLOT UINT16_MAX

struct vhost_zerocopy_slot {
    struct rte_mbuf_ext_shared_info shinfo;
    atomic_bool busy;           /* Does an mbuf point to the buffer? */
};

/* A buffer that is to go back. */
struct vhost_zerocopy_buffer {
    uint16_t id;                /* As in struct virtq_buffer. */
    uint16_t n_descs;
    uint16_t slot;
    bool overtaken;             /* Did younger ones go back before it? */
};

struct vhost_zerocopy {
    struct vhost_mapping *mapping;
    struct vhost_zerocopy *previous;    /* With a former mapping, or NULL. */
    struct vhost_zerocopy *next_retired;
    rte_iova_t no_iova;         /* See vhost_zerocopy_attach(). */
    uint64_t blocked_since;     /* TSC, or 0: the oldest buffer is held. */

    /* Buffers that are to go back, the oldest one first. */
    struct vhost_zerocopy_buffer *buffers;
    uint32_t head, tail;        /* Modulo 'capacity', a power of 2. */
    unsigned int n_overtaken;   /* Of those that wait. */
    uint32_t capacity;          /* At least 'ring_size'. */
    uint32_t ring_size;

    struct vhost_zerocopy_slot *slots;
    uint16_t *free_slots;
    atomic_uint16_t n_free;     /* Written by the queue's user alone. */
    uint16_t n_slots;
};

/* For the thread that uses the queue. */
bool vhost_zerocopy_is_idle(const struct vhost_zerocopy *);
bool vhost_zerocopy_is_out_of_order(const struct vhost_zerocopy *);
unsigned int vhost_zerocopy_room(const struct vhost_zerocopy *);
void vhost_zerocopy_add(struct vhost_zerocopy *, const struct virtq_buffer *,
                        const uint16_t slots[], unsigned int n);
unsigned int vhost_zerocopy_collect(struct vhost_zerocopy *,
                                    struct virtq_buffer *, unsigned int max,
                                    unsigned int *n_packets);

/* For the control plane, while no thread uses the queue. */
struct vhost_zerocopy *vhost_zerocopy_renew(struct vhost_zerocopy *,
                                            struct vhost_mapping *,
                                            unsigned int ring_size);
uint64_t vhost_zerocopy_deadline(void);
unsigned int vhost_zerocopy_stop(struct vhost_zerocopy *, struct virtq *,
                                 uint64_t deadline);
void vhost_zerocopy_retire(struct vhost_zerocopy *);

/* For the main thread. */
unsigned int vhost_zerocopy_n_out(const struct vhost_zerocopy *);
void vhost_zerocopy_sweep(void);
bool vhost_zerocopy_has_retired(void);
void vhost_zerocopy_get_pinned(const char *owner, unsigned int *n_packets,
                               uint64_t *size);

/* Makes 'mbuf', a new one, the packet of 'len' bytes at 'data', with
 * 'headroom' (at most VHOST_ZEROCOPY_HEADROOM) bytes in front of it.  Returns
 * the slot, or VHOST_ZEROCOPY_NO_SLOT if too much is out already.
 *
 * The address for devices is that of the process, unless devices use physical
 * ones: then it is none at all, 'no_iova', should one come before the packet
 * has gone. */
static inline uint16_t
vhost_zerocopy_attach(struct vhost_zerocopy *zc, struct rte_mbuf *mbuf,
                      uint8_t *data, uint16_t headroom, uint16_t len)
{
    struct vhost_zerocopy_slot *slot;
    uint16_t n_free, i;

    atomic_read_relaxed(&zc->n_free, &n_free);
    if (OVS_UNLIKELY(!n_free || vhost_dma_obstacle(&zc->mapping->dma))) {
        return VHOST_ZEROCOPY_NO_SLOT;
    }
    i = zc->free_slots[--n_free];
    atomic_store_relaxed(&zc->n_free, n_free);
    slot = &zc->slots[i];
    rte_mbuf_ext_refcnt_set(&slot->shinfo, 1);
    atomic_store_relaxed(&slot->busy, true);
    data -= headroom;
    rte_pktmbuf_attach_extbuf(mbuf, data, (uintptr_t) data | zc->no_iova,
                              headroom + len, &slot->shinfo);
    mbuf->data_off = headroom;
    mbuf->data_len = mbuf->pkt_len = len;
    return i;
}

#endif /* vhost-zerocopy.h */
