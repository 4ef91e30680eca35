/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VIRTQ_H
#define VIRTQ_H 1

/* The device's side of a virtqueue, split or packed (virtio 1.2, 2.7 and 2.8).
 *
 *
 * Concept
 * =======
 *
 * The guest makes buffers available, each a chain of descriptors; the device
 * fills or reads them and returns them as used.  A burst goes like this:
 *
 *     n = virtq_fetch(vq, &burst, max)   What is there?  Looks, takes nothing.
 *     ...read or write burst.buffers[]...
 *     virtq_take(vq, &burst, n_taken)    The first n_taken are ours now.
 *     virtq_return(vq, burst.buffers, n) Theirs again, with what was written.
 *     if (virtq_wants_call(vq)) ...      Once, after all returns.
 *
 * 'virtq_take' and 'virtq_return' are two steps, so that a buffer can be kept
 * for a while and returned later; buffers are returned in the order in which
 * they were taken, as VIRTIO_F_IN_ORDER asks for.
 *
 *
 * Hostile guests
 * ==============
 *
 * All that a guest can write is read once, then checked, then used.  A buffer
 * in a burst therefore consists of pointers into the guest's memory that are
 * good for their whole length, as long as the guest's memory is mapped.  What
 * they point to changes at the guest's will.
 *
 * A guest that breaks the rules (a descriptor outside of its memory, a chain
 * that does not end, ...) loses the virtqueue: 'fault' says why, and from then
 * on there is nothing to fetch until the virtqueue is initialized again, after
 * the guest has reset its device.
 *
 *
 * Thread-safety
 * =============
 *
 * One thread at a time uses a virtqueue; 'fault' and virtq_n_available() may
 * be read by others. */

#include <stdbool.h>
#include <stdint.h>

#include "ovs-atomic.h"
#include "util.h"

struct guest_memory;
struct vring_avail;
struct vring_desc;
struct vring_packed_desc;
struct vring_packed_desc_event;
struct vring_used;

/* At most this many buffers in a burst. */
#define VIRTQ_MAX_BUFFERS 64

/* At most this many segments in the buffers of a burst, beyond the first of
 * each. */
#define VIRTQ_MAX_SEGMENTS 256

/* At most this many descriptors of length 0 in the buffers of a burst.  They
 * are passed over. */
#define VIRTQ_MAX_EMPTY_DESCS 256

#define VIRTQ_MAX_SIZE 32768

/* Part of a buffer, contiguous for us. */
struct virtq_segment {
    uint8_t *data;
    uint32_t len;
};

struct virtq_buffer {
    struct virtq_segment first; /* Its 'len' is 0 if that of the buffer is. */
    uint32_t len;               /* Of all segments. */
    uint32_t written;           /* Set by the user before the return. */
    uint16_t id;                /* Which one, for the guest. */
    uint16_t n_descs;           /* In a packed ring: slots that it takes. */
    uint16_t n_more;            /* Further segments. */
    uint16_t more;              /* Where these start in 'segments'. */
};

struct virtq_burst {
    unsigned int n_buffers;
    unsigned int n_segments;
    unsigned int n_empty_descs; /* That were passed over. */
    struct virtq_buffer buffers[VIRTQ_MAX_BUFFERS];
    struct virtq_segment segments[VIRTQ_MAX_SEGMENTS];
};

/* Where to note what the device writes, while the guest migrates. */
struct virtq_log {
    void (*write)(void *aux, uint64_t address, uint64_t len);
    void *aux;
};

/* How to set up a virtqueue.  The ring's three parts are claims of the guest,
 * checked by virtq_init(). */
struct virtq_config {
    const struct guest_memory *memory;
    const struct virtq_log *log;    /* Or NULL. */
    bool packed;                /* VIRTIO_F_RING_PACKED. */
    bool event_idx;             /* VIRTIO_RING_F_EVENT_IDX. */
    bool writable;              /* Does the device write the buffers? */
    unsigned int size;
    void *desc;                 /* Descriptor area. */
    void *driver;               /* Driver area: what the driver writes. */
    void *device;               /* Device area: what the device writes. */

    /* Where to continue, as in VHOST_USER_SET_VRING_BASE.  In packed rings,
     * bit 15 is the wrap counter.  If both are the same there, the ring itself
     * may know better: see find_base() in virtq-packed.c. */
    uint16_t avail_base;
    uint16_t used_base;
};

struct virtq {
    union {
        struct vring_desc *desc;
        struct vring_packed_desc *packed_desc;
    };
    union {
        struct vring_avail *avail;
        struct vring_packed_desc_event *driver_event;
    };
    union {
        struct vring_used *used;
        struct vring_packed_desc_event *device_event;
    };
    const struct guest_memory *memory;
    uint16_t size;
    uint16_t next_avail;        /* To be looked at next. */
    uint16_t next_used;         /* To be returned next. */
    uint16_t direction;         /* Flags of a descriptor: writable or not. */
    bool packed;
    bool event_idx;

    /* Set by the user before virtq_return(): does it have a buffer that was
     * taken before one of those that it returns or has returned? */
    bool out_of_order;
    bool avail_wrap;            /* Packed: wrap counters. */
    bool used_wrap;

    /* Ring entries written since the last virtq_wants_call(), or more than
     * 'size' if the guest is to be notified in any case. */
    uint32_t n_uncalled;
    const struct virtq_log *log;
    ATOMIC(const char *) fault; /* What is wrong with it, or NULL. */
};

const char *virtq_init(struct virtq *, const struct virtq_config *);
void virtq_get_base(const struct virtq *, uint16_t *avail, uint16_t *used);
unsigned int virtq_n_available(const struct virtq *);

/* Looks at up to 'max' (at most VIRTQ_MAX_BUFFERS) available buffers, stores
 * them in '*burst' and returns their number. */
unsigned int virtq_fetch(struct virtq *, struct virtq_burst *burst,
                         unsigned int max);

/* Takes the first 'n' buffers of '*burst', which is the latest fetched. */
void virtq_take(struct virtq *, const struct virtq_burst *, unsigned int n);

/* Gives 'n' buffers, the oldest taken ones, back to the guest, which sees all
 * of them at once. */
void virtq_return(struct virtq *, const struct virtq_buffer *,
                  unsigned int n);

/* Logs what was written to the first 'n' buffers of '*burst'.  To be called
 * before these are returned, if there is a log. */
void virtq_log_written(const struct virtq *, const struct virtq_burst *,
                       unsigned int n);

/* Does the guest want to be notified of the buffers that were returned since
 * the last time that this was asked? */
bool virtq_wants_call(struct virtq *);

static inline bool
virtq_is_faulty(const struct virtq *vq)
{
    const char *fault;

    atomic_read_relaxed(&CONST_CAST(struct virtq *, vq)->fault, &fault);
    return fault != NULL;
}

#endif /* virtq.h */
