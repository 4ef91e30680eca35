/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Packed virtqueues: virtio 1.2, 2.8. */

#include <config.h>

#include <limits.h>

#include "virtq-private.h"

#define DESC_F_AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define DESC_F_USED (1 << VRING_PACKED_DESC_F_USED)
#define WRAP_BIT (1 << VRING_PACKED_EVENT_F_WRAP_CTR)

/* The address in all slots of used buffers, until the driver writes another
 * one there.  No buffer has such an address. */
#define MARK (~UINT64_C(1))
#define MARK_OUT_OF_ORDER UINT64_C(1)

static void
advance_in(unsigned int size, uint16_t *index, bool *wrap, unsigned int n)
{
    unsigned int next = *index + n;

    if (next >= size) {
        next -= size;
        *wrap = !*wrap;
    }
    *index = next;
}

static void
advance(const struct virtq *vq, uint16_t *index, bool *wrap, unsigned int n)
{
    advance_in(vq->size, index, wrap, n);
}

static inline bool
is_available(uint16_t flags, bool wrap)
{
    return (!!(flags & DESC_F_AVAIL) == wrap
            && !!(flags & DESC_F_USED) != wrap);
}

static void
retreat(const struct virtq_config *config, uint16_t *index, bool *wrap)
{
    if (!*index) {
        *index = config->size;
        *wrap = !*wrap;
    }
    --*index;
}

static uint16_t
read_flags(const struct virtq_config *config, uint16_t index)
{
    const struct vring_packed_desc *desc = config->desc;

    return __atomic_load_n(&desc[index].flags, __ATOMIC_RELAXED);
}

/* Finds where the driver makes the next buffer available.  In each lap, it
 * writes the same to bit AVAIL of all descriptors, and so does the device. */
static void
find_driver(const struct virtq_config *config, uint16_t *index, bool *wrap)
{
    bool first = read_flags(config, 0) & DESC_F_AVAIL;
    unsigned int i = 1;

    while (i < config->size
           && !!(read_flags(config, i) & DESC_F_AVAIL) == first) {
        i++;
    }
    *index = i % config->size;
    *wrap = i < config->size ? first : !first;
}

/* How many slots are there from 'base' to the driver's position 'index' and
 * 'wrap'?  UINT_MAX if it cannot be there. */
static unsigned int
distance(const struct virtq_config *config, uint16_t base, uint16_t index,
         bool wrap)
{
    uint16_t start = base & ~WRAP_BIT;

    return (!!(base & WRAP_BIT) != wrap ? config->size - start + index
            : start <= index ? index - start : UINT_MAX);
}

/* Is the slot at 'index' available, in the lap of 'wrap', and not one that we
 * have used since the driver wrote it? */
static bool
is_outstanding(const struct virtq_config *config, uint16_t index, bool wrap)
{
    const struct vring_packed_desc *desc = config->desc;

    return (is_available(read_flags(config, index), wrap)
            && (virtq_read_half(&desc[index].addr) & MARK) != MARK);
}

/* Corrects '*base', which is where to continue.  A front end knows that only
 * from a back end that has told it (VHOST_USER_GET_VRING_BASE), not if that
 * was killed or lost its connection.  There is no index in the guest's memory
 * as in split rings, but the flags of the descriptors say it: before the
 * driver's position are available buffers, and before these is the last used
 * one, unless the ring is full.
 *
 * If the used buffer has more than one slot, the others still look available,
 * but we have left marks in them.  Another back end leaves none; then what the
 * front end tells is right if the slot before it is the last one of the used
 * buffer.
 *
 * Returns NULL if successful, otherwise why that is impossible. */
static const char *
find_base(const struct virtq_config *config, uint16_t *base)
{
    const struct vring_packed_desc *desc = config->desc, *last;
    unsigned int before = (*base & ~WRAP_BIT) + config->size - 1;
    unsigned int n_told, n = 0;
    uint16_t index;
    bool wrap;

    find_driver(config, &index, &wrap);
    n_told = distance(config, *base, index, wrap);
    do {
        retreat(config, &index, &wrap);
    } while (is_outstanding(config, index, wrap) && ++n < config->size);

    if (n < config->size) {
        uint64_t mark = virtq_read_half(&desc[index].addr);

        last = &desc[before % config->size];
        if ((mark & MARK) != MARK && n_told < n
            && (__atomic_load_n(&last->id, __ATOMIC_RELAXED)
                == __atomic_load_n(&desc[index].id, __ATOMIC_RELAXED))) {
            return NULL;
        }
        if ((mark & MARK) == MARK && mark & MARK_OUT_OF_ORDER) {
            return "its buffers were out of order when the switch ended";
        }
        advance_in(config->size, &index, &wrap, 1);
    }
    *base = index | (wrap ? WRAP_BIT : 0);
    return NULL;
}

/* As virtq_init(), for what is particular to packed rings. */
const char *
virtq_packed_init(struct virtq *vq, const struct virtq_config *config)
{
    uint16_t avail = config->avail_base, used = config->used_base;

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
    if ((avail & ~WRAP_BIT) >= vq->size || (used & ~WRAP_BIT) >= vq->size) {
        return "its start index is out of range";
    }
    if (avail == used) {
        const char *problem = find_base(config, &avail);

        if (problem) {
            return problem;
        }
        used = avail;
    }
    vq->next_avail = avail & ~WRAP_BIT;
    vq->next_used = used & ~WRAP_BIT;
    vq->avail_wrap = (avail & WRAP_BIT) != 0;
    vq->used_wrap = (used & WRAP_BIT) != 0;
    __atomic_store_n(&vq->device_event->flags,
                     VRING_PACKED_EVENT_FLAG_DISABLE, __ATOMIC_RELAXED);
    return NULL;
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

/* A descriptor, to be written at once. */
typedef uint64_t __attribute__((vector_size(16), may_alias)) whole_desc;

/* Marks the further slots of '*buffer', whose first one is at 'index'.  Not
 * inlined, so that write_used() can be. */
static void __attribute__((noinline))
mark_further_slots(struct virtq *vq, uint16_t index,
                   const struct virtq_buffer *buffer, uint64_t mark)
{
    bool wrap = false;

    for (unsigned int i = 1; i < buffer->n_descs; i++) {
        advance(vq, &index, &wrap, 1);
        __atomic_store_n((virtq_half_desc *) &vq->packed_desc[index].addr,
                         mark, __ATOMIC_RELAXED);
        if (OVS_UNLIKELY(vq->log)) {
            virtq_log_write(vq, &vq->packed_desc[index].addr, sizeof mark);
        }
    }
}

/* Makes the descriptor at 'index' the used one of '*buffer'.  Pairs with the
 * guest's barrier between looking at the flags and at the rest, or the
 * buffer.
 *
 * The driver does not look at the address of a used descriptor (virtio 1.2,
 * 2.8.5), so that there is room for a mark: see find_base().  Each half of the
 * descriptor is written whole, even where both at once are not. */
static inline void ALWAYS_INLINE
write_used(struct virtq *vq, uint16_t index, bool wrap,
           const struct virtq_buffer *buffer)
{
    uint64_t mark = MARK | (vq->out_of_order ? MARK_OUT_OF_ORDER : 0);
    uint64_t flags = ((wrap ? DESC_F_AVAIL | DESC_F_USED : 0)
                      | (buffer->written ? VRING_DESC_F_WRITE : 0));

    if (OVS_UNLIKELY(buffer->n_descs > 1)) {
        mark_further_slots(vq, index, buffer, mark);
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile whole_desc *) &vq->packed_desc[index] = (whole_desc) {
        mark, flags << 48 | (uint64_t) buffer->id << 32 | buffer->written
    };
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
