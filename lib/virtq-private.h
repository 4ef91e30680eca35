/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VIRTQ_PRIVATE_H
#define VIRTQ_PRIVATE_H 1

/* What the two layouts of a virtqueue have in common, and virtq.c needs of
 * them. */

#include <linux/virtio_ring.h>

#include "guest-memory.h"
#include "unaligned.h"
#include "virtq.h"

/* The fields of rings are little-endian, and used as they are. */
BUILD_ASSERT_DECL(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

/* Says that a burst has no room for the buffer.  Compared by address. */
extern const char virtq_burst_is_full[];

/* An aligned 64-bit half of a descriptor. */
typedef uint64_t __attribute__((may_alias)) virtq_half_desc;

/* Reads half of a descriptor exactly once. */
static inline uint64_t
virtq_read_half(const void *p)
{
    return __atomic_load_n((const virtq_half_desc *) p, __ATOMIC_RELAXED);
}

/* Fetches the cache line at 'p' to be written.  A prefetch for reading could
 * get it in shared state, and the write would then have to request it again.
 * The compiler does not assume PREFETCHW, which does nothing on a processor
 * without it. */
static inline void
virtq_prefetch_write(const void *p)
{
#ifdef __x86_64__
    asm volatile("prefetchw %0" : : "m" (*(const uint8_t *) p));
#else
    OVS_PREFETCH_WRITE(p);
#endif
}

/* Begins a look for buffers. */
static inline void
virtq_begin_fetch(struct virtq_burst *burst)
{
    burst->n_segments = 0;
    burst->n_empty_descs = 0;
}

/* Prepares '*buffer' for virtq_add_segment(). */
static inline void
virtq_begin_buffer(struct virtq_buffer *buffer)
{
    buffer->first = (struct virtq_segment) { .data = NULL };
    buffer->len = 0;
}

/* Tries to make '*buffer' the 'len' bytes at 'address'.  This is the usual
 * case: one descriptor, in one region. */
static inline bool
virtq_set_simple(const struct virtq *vq, struct virtq_buffer *buffer,
                 uint64_t address, uint32_t len)
{
    uint8_t *data = guest_memory_at(vq->memory, address, len);

    if (OVS_UNLIKELY(!data || !len)) {
        return false;
    }
    /* The header, which is not looked at in buffers from the guest, and the
     * packet are often in different cache lines. */
    if (vq->direction) {
        OVS_PREFETCH(data);
        virtq_prefetch_write(data + CACHE_LINE_SIZE - 1);
    } else {
        OVS_PREFETCH(data + CACHE_LINE_SIZE - 1);
    }
    buffer->first.data = data;
    buffer->first.len = buffer->len = len;
    return true;
}

const char *virtq_add_segment(const struct virtq *, struct virtq_burst *,
                              struct virtq_buffer *, uint64_t address,
                              uint32_t len, uint16_t flags);
const char *virtq_add_table(const struct virtq *, struct virtq_burst *,
                            struct virtq_buffer *, uint64_t address,
                            uint32_t len, uint16_t flags);
void virtq_end_fetch(struct virtq *, struct virtq_burst *, unsigned int n,
                     const char *fault);

void virtq_log_write(const struct virtq *, const void *, uint32_t len);

const char *virtq_split_init(struct virtq *, const struct virtq_config *);
unsigned int virtq_split_fetch(struct virtq *, struct virtq_burst *,
                               unsigned int max);
void virtq_split_return(struct virtq *, const struct virtq_buffer *,
                        unsigned int n);
bool virtq_split_wants_call(const struct virtq *);
unsigned int virtq_split_n_available(const struct virtq *);

const char *virtq_packed_init(struct virtq *, const struct virtq_config *);
unsigned int virtq_packed_fetch(struct virtq *, struct virtq_burst *,
                                unsigned int max);
void virtq_packed_take(struct virtq *, const struct virtq_burst *,
                       unsigned int n);
void virtq_packed_return(struct virtq *, const struct virtq_buffer *,
                         unsigned int n);
bool virtq_packed_wants_call(const struct virtq *);
unsigned int virtq_packed_n_available(const struct virtq *);

#endif /* virtq-private.h */
