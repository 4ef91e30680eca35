/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Split virtqueues: virtio 1.2, 2.7. */

#include <config.h>

#include "virtq-private.h"

#define USED_ENTRY_SIZE sizeof(struct vring_used_elem)

/* With VIRTIO_RING_F_EVENT_IDX, the ring of each side ends with the index at
 * which the other wants a notification. */
static const uint16_t *
used_event(const struct virtq *vq)
{
    return (const uint16_t *) &vq->avail->ring[vq->size];
}

static uint16_t *
avail_event(const struct virtq *vq)
{
    return (uint16_t *) &vq->used->ring[vq->size];
}

static uint64_t *
used_entry(const struct virtq *vq, uint16_t index)
{
    return (uint64_t *) &vq->used->ring[index & (vq->size - 1)];
}

static uint64_t
read_used(const struct virtq *vq, uint16_t index)
{
    return get_unaligned_u64(used_entry(vq, index));
}

/* What the entry of the used ring at 'index', the next one to be written, has
 * if buffers behind it in the available ring were used before one that is
 * not.  No buffer has that identifier. */
static uint64_t
out_of_order_mark(uint16_t index)
{
    return (uint64_t) index << 32 | UINT32_MAX;
}

/* Leaves word for a switch that continues with the ring after this one was
 * killed: it would take buffers that were used for available ones.  The guest
 * does not look at the entry before it is used. */
static void
mark_out_of_order(struct virtq *vq, uint16_t index)
{
    put_unaligned_u64(used_entry(vq, index), out_of_order_mark(index));
    if (vq->log) {
        virtq_log_write(vq, used_entry(vq, index), USED_ENTRY_SIZE);
    }
}

/* As virtq_init(), for what is particular to split rings. */
const char *
virtq_split_init(struct virtq *vq, const struct virtq_config *config)
{
    size_t event_size = config->event_idx ? sizeof(uint16_t) : 0;
    size_t size = config->size;

    vq->desc = config->desc;
    vq->avail = config->driver;
    vq->used = config->device;
    if (!IS_POW2(size)) {
        return "its size is not a power of 2";
    }
    if ((uintptr_t) vq->desc % 16 || (uintptr_t) vq->avail % 2
        || (uintptr_t) vq->used % 4) {
        return "a part of it is not aligned";
    }
    if (!guest_memory_contains(vq->memory, vq->desc,
                               size * sizeof(struct vring_desc))
        || !guest_memory_contains(vq->memory, vq->avail,
                                  sizeof(struct vring_avail)
                                  + size * sizeof(uint16_t) + event_size)
        || !guest_memory_contains(vq->memory, vq->used,
                                  sizeof(struct vring_used)
                                  + size * USED_ENTRY_SIZE + event_size)) {
        return "it is not entirely inside guest memory";
    }
    if (config->avail_base == config->used_base
        && (read_used(vq, config->used_base)
            == out_of_order_mark(config->used_base))) {
        return "its buffers were out of order when the switch ended";
    }
    vq->next_avail = config->avail_base;
    vq->next_used = config->used_base;

    __atomic_store_n(&vq->used->flags, VRING_USED_F_NO_NOTIFY,
                     __ATOMIC_RELAXED);
    if (vq->event_idx) {
        /* An index that the guest has passed: no notification until it comes
         * round again. */
        __atomic_store_n(avail_event(vq), vq->next_avail - 1,
                         __ATOMIC_RELAXED);
    }
    return NULL;
}

unsigned int
virtq_split_n_available(const struct virtq *vq)
{
    uint16_t next_avail = __atomic_load_n(&vq->next_avail, __ATOMIC_RELAXED);

    /* Pairs with the guest's barrier between filling the ring and moving the
     * index. */
    return (uint16_t) (__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE)
                       - next_avail);
}

/* Makes '*buffer' the chain that begins with the descriptor whose halves are
 * 'low' and 'high'. */
static const char *
fetch_chain(const struct virtq *vq, struct virtq_burst *burst,
            struct virtq_buffer *buffer, uint64_t low, uint64_t high)
{
    virtq_begin_buffer(buffer);
    for (;;) {
        uint32_t len = high;
        uint16_t flags = high >> 32;
        uint16_t next = high >> 48;
        const char *fault;

        fault = (flags & VRING_DESC_F_INDIRECT
                 ? virtq_add_table(vq, burst, buffer, low, len, flags)
                 : virtq_add_segment(vq, burst, buffer, low, len, flags));
        if (fault || !(flags & VRING_DESC_F_NEXT)) {
            return fault;
        }
        if (next >= vq->size) {
            return "a next index is out of range";
        }
        low = virtq_read_half(&vq->desc[next].addr);
        high = virtq_read_half(&vq->desc[next].len);
    }
}

static inline const char *
fetch_buffer(const struct virtq *vq, struct virtq_burst *burst,
             struct virtq_buffer *buffer, uint16_t head)
{
    uint64_t low = virtq_read_half(&vq->desc[head].addr);
    uint64_t high = virtq_read_half(&vq->desc[head].len);
    uint16_t flags = high >> 32;

    buffer->id = head;
    buffer->written = 0;
    buffer->n_descs = 1;
    buffer->n_more = 0;
    buffer->more = burst->n_segments;
    if (OVS_LIKELY(flags == vq->direction
                   && virtq_set_simple(vq, buffer, low, high))) {
        return NULL;
    }
    return fetch_chain(vq, burst, buffer, low, high);
}

/* As virtq_fetch(), of a split ring: reads all heads first, so that
 * descriptors are in the cache when they are read. */
unsigned int
virtq_split_fetch(struct virtq *vq, struct virtq_burst *burst,
                  unsigned int max)
{
    unsigned int n = virtq_split_n_available(vq);
    uint16_t heads[VIRTQ_MAX_BUFFERS];
    const char *fault = NULL;
    unsigned int i;

    virtq_begin_fetch(burst);
    if (OVS_UNLIKELY(n > vq->size)) {
        virtq_end_fetch(vq, burst, 0, "it has more entries than fit");
        return 0;
    }
    n = MIN(n, max);
    for (i = 0; i < n; i++) {
        uint16_t slot = (vq->next_avail + i) & (vq->size - 1);

        heads[i] = __atomic_load_n(&vq->avail->ring[slot], __ATOMIC_RELAXED);
        if (OVS_UNLIKELY(heads[i] >= vq->size)) {
            fault = "an entry names a descriptor that does not exist";
            n = i;
            break;
        }
        OVS_PREFETCH(&vq->desc[heads[i]]);
    }
    for (i = 0; i < n; i++) {
        const char *problem = fetch_buffer(vq, burst, &burst->buffers[i],
                                           heads[i]);

        if (OVS_UNLIKELY(problem)) {
            fault = problem;
            break;
        }
    }
    virtq_end_fetch(vq, burst, i, fault);
    return i;
}

/* As virtq_return(), of a split ring: writes the entries, then the index. */
void
virtq_split_return(struct virtq *vq, const struct virtq_buffer *buffers,
                   unsigned int n)
{
    uint16_t first = vq->next_used;

    for (unsigned int i = 0; i < n; i++) {
        uint16_t slot = (first + i) & (vq->size - 1);

        put_unaligned_u64(used_entry(vq, slot),
                          (uint64_t) buffers[i].written << 32
                          | buffers[i].id);
        if (OVS_UNLIKELY(vq->log)) {
            virtq_log_write(vq, &vq->used->ring[slot], USED_ENTRY_SIZE);
        }
    }

    if (OVS_UNLIKELY(vq->out_of_order)) {
        mark_out_of_order(vq, first + n);
    }

    /* Pairs with the guest's barrier between looking at the index and at the
     * ring or the buffers. */
    vq->next_used = first + n;
    __atomic_store_n(&vq->used->idx, vq->next_used, __ATOMIC_RELEASE);
    if (OVS_UNLIKELY(vq->log)) {
        virtq_log_write(vq, &vq->used->idx, sizeof vq->used->idx);
    }
    vq->n_uncalled += MIN(n, UINT32_MAX - vq->n_uncalled);
}

bool
virtq_split_wants_call(const struct virtq *vq)
{
    if (vq->event_idx) {
        uint16_t event = __atomic_load_n(used_event(vq), __ATOMIC_RELAXED);

        return (uint16_t) (vq->next_used - event - 1) < vq->n_uncalled;
    }
    return !(__atomic_load_n(&vq->avail->flags, __ATOMIC_RELAXED)
             & VRING_AVAIL_F_NO_INTERRUPT);
}
