/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Packed virtqueues: virtio 1.2, 2.8. */

#include <config.h>

#include "virtq-private.h"

#define DESC_F_AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define DESC_F_USED (1 << VRING_PACKED_DESC_F_USED)
#define WRAP_BIT (1 << VRING_PACKED_EVENT_F_WRAP_CTR)

/* As virtq_init(), for what is particular to packed rings. */
const char *
virtq_packed_init(struct virtq *vq, const struct virtq_config *config)
{
    vq->packed_desc = config->desc;
    vq->driver_event = config->driver;
    vq->device_event = config->device;
    if ((uintptr_t) vq->packed_desc % 16
        || (uintptr_t) vq->driver_event % 4
        || (uintptr_t) vq->device_event % 4) {
        return "a part of it is not aligned";
    }
    if (!guest_memory_contains(vq->memory, vq->packed_desc,
                               config->size
                               * sizeof(struct vring_packed_desc))
        || !guest_memory_contains(vq->memory, vq->driver_event,
                                  sizeof *vq->driver_event)
        || !guest_memory_contains(vq->memory, vq->device_event,
                                  sizeof *vq->device_event)) {
        return "it is not entirely inside guest memory";
    }
    vq->next_avail = config->avail_base & ~WRAP_BIT;
    vq->next_used = config->used_base & ~WRAP_BIT;
    vq->avail_wrap = (config->avail_base & WRAP_BIT) != 0;
    vq->used_wrap = (config->used_base & WRAP_BIT) != 0;
    if (vq->next_avail >= vq->size || vq->next_used >= vq->size) {
        return "its start index is out of range";
    }
    __atomic_store_n(&vq->device_event->flags,
                     VRING_PACKED_EVENT_FLAG_DISABLE, __ATOMIC_RELAXED);
    return NULL;
}

static void
advance(const struct virtq *vq, uint16_t *index, bool *wrap, unsigned int n)
{
    unsigned int next = *index + n;

    if (next >= vq->size) {
        next -= vq->size;
        *wrap = !*wrap;
    }
    *index = next;
}

static inline bool
is_available(uint16_t flags, bool wrap)
{
    return (!!(flags & DESC_F_AVAIL) == wrap
            && !!(flags & DESC_F_USED) != wrap);
}

unsigned int
virtq_packed_n_available(const struct virtq *vq)
{
    uint16_t index = vq->next_avail;
    bool wrap = vq->avail_wrap;
    unsigned int n = 0;

    for (unsigned int i = 0; i < vq->size; i++) {
        uint16_t flags = __atomic_load_n(&vq->packed_desc[index].flags,
                                         __ATOMIC_RELAXED);

        if (!is_available(flags, wrap)) {
            break;
        }
        n += !(flags & VRING_DESC_F_NEXT);
        advance(vq, &index, &wrap, 1);
    }
    return n;
}

/* Makes '*buffer' the chain that begins with the descriptor at 'index', whose
 * halves are 'low' and 'high'.  The guest makes the first descriptor
 * of a chain available last, so that the others need no look at that. */
static const char *
fetch_chain(const struct virtq *vq, struct virtq_burst *burst,
            struct virtq_buffer *buffer, uint16_t index, uint64_t low,
            uint64_t high)
{
    bool wrap = false;

    virtq_begin_buffer(buffer);
    for (;;) {
        uint32_t len = high;
        uint16_t flags = high >> 48;
        const char *fault;

        buffer->id = high >> 32;
        fault = (flags & VRING_DESC_F_INDIRECT
                 ? virtq_add_table(vq, burst, buffer, low, len, flags)
                 : virtq_add_segment(vq, burst, buffer, low, len, flags));
        if (fault || !(flags & VRING_DESC_F_NEXT)) {
            return fault;
        }
        buffer->n_descs++;
        advance(vq, &index, &wrap, 1);
        low = virtq_read_half(&vq->packed_desc[index].addr);
        high = virtq_read_half(&vq->packed_desc[index].len);
    }
}

static inline const char *
fetch_buffer(const struct virtq *vq, struct virtq_burst *burst,
             struct virtq_buffer *buffer, uint16_t index)
{
    uint64_t low = virtq_read_half(&vq->packed_desc[index].addr);
    uint64_t high = virtq_read_half(&vq->packed_desc[index].len);
    uint16_t flags = high >> 48;
    const char *fault = NULL;

    buffer->id = high >> 32;
    buffer->written = 0;
    buffer->n_descs = 1;
    buffer->n_more = 0;
    buffer->more = burst->n_segments;
    if (OVS_UNLIKELY((flags & ~(DESC_F_AVAIL | DESC_F_USED)) != vq->direction
                     || !virtq_set_simple(vq, buffer, low, high))) {
        fault = fetch_chain(vq, burst, buffer, index, low, high);
    }
    return fault;
}

/* As virtq_fetch(), of a packed ring: reads descriptors until one is not
 * available. */
unsigned int
virtq_packed_fetch(struct virtq *vq, struct virtq_burst *burst,
                   unsigned int max)
{
    uint16_t index = vq->next_avail;
    bool wrap = vq->avail_wrap;
    unsigned int n_descs = 0;
    const char *fault = NULL;
    unsigned int n;

    virtq_begin_fetch(burst);
    for (n = 0; n < max && n_descs < vq->size; n++) {
        struct virtq_buffer *buffer = &burst->buffers[n];

        /* Pairs with the guest's barrier between filling a descriptor and
         * making it available. */
        if (!is_available(__atomic_load_n(&vq->packed_desc[index].flags,
                                          __ATOMIC_ACQUIRE), wrap)) {
            break;
        }
        fault = fetch_buffer(vq, burst, buffer, index);
        if (OVS_UNLIKELY(fault)) {
            break;
        }
        n_descs += buffer->n_descs;
        if (OVS_UNLIKELY(n_descs > vq->size)) {
            fault = "it has more entries than fit";
            break;
        }
        advance(vq, &index, &wrap, buffer->n_descs);
    }
    virtq_end_fetch(vq, burst, n, fault);
    return n;
}

void
virtq_packed_take(struct virtq *vq, const struct virtq_burst *burst,
                  unsigned int n)
{
    unsigned int n_descs = 0;   /* At most 'size'. */

    for (unsigned int i = 0; i < n; i++) {
        n_descs += burst->buffers[i].n_descs;
    }
    advance(vq, &vq->next_avail, &vq->avail_wrap, n_descs);
}

/* Makes the descriptor at 'index' the used one of '*buffer'.  Pairs with the
 * guest's barrier between looking at the flags and at the rest, or the
 * buffer. */
static void
write_used(struct virtq *vq, uint16_t index, bool wrap,
           const struct virtq_buffer *buffer)
{
    uint64_t flags = ((wrap ? DESC_F_AVAIL | DESC_F_USED : 0)
                      | (buffer->written ? VRING_DESC_F_WRITE : 0));

    __atomic_store_n((virtq_half_desc *) &vq->packed_desc[index].len,
                     flags << 48 | (uint64_t) buffer->id << 32
                     | buffer->written, __ATOMIC_RELEASE);
    if (OVS_UNLIKELY(vq->log)) {
        virtq_log_write(vq, &vq->packed_desc[index],
                        sizeof *vq->packed_desc);
    }
}

/* As virtq_return(), of a packed ring: the first used descriptor is written
 * last, because it is what the guest looks at. */
void
virtq_packed_return(struct virtq *vq, const struct virtq_buffer *buffers,
                    unsigned int n)
{
    uint16_t index = vq->next_used;
    bool wrap = vq->used_wrap;
    unsigned int n_descs = 0;

    for (unsigned int i = 0; i < n; i++) {
        if (i) {
            write_used(vq, index, wrap, &buffers[i]);
        }
        advance(vq, &index, &wrap, buffers[i].n_descs);
        n_descs += buffers[i].n_descs;
    }

    /* The guest looks at one after the other, thus now sees all of them. */
    if (n) {
        write_used(vq, vq->next_used, vq->used_wrap, &buffers[0]);
    }
    vq->next_used = index;
    vq->used_wrap = wrap;
    vq->n_uncalled += MIN(n_descs, UINT32_MAX - vq->n_uncalled);
}

bool
virtq_packed_wants_call(const struct virtq *vq)
{
    uint16_t flags = __atomic_load_n(&vq->driver_event->flags,
                                     __ATOMIC_RELAXED);
    uint16_t off_wrap, event;

    if (flags != VRING_PACKED_EVENT_FLAG_DESC || !vq->event_idx) {
        return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    }
    /* Pairs with the guest's barrier between the position and the flags. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    off_wrap = __atomic_load_n(&vq->driver_event->off_wrap, __ATOMIC_RELAXED);
    event = off_wrap & ~WRAP_BIT;
    if (vq->used_wrap != !!(off_wrap & WRAP_BIT)) {
        event -= vq->size;
    }
    return (uint16_t) (vq->next_used - event - 1) < vq->n_uncalled;
}
