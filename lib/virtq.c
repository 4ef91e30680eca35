/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "virtq.h"

#include "virtq-private.h"

const char virtq_burst_is_full[] = "a buffer is in too many pieces";

/* Initializes '*vq'.  The guest is told that it need not notify us.  Returns
 * NULL if successful, otherwise what is wrong with '*config'. */
const char *
virtq_init(struct virtq *vq, const struct virtq_config *config)
{
    *vq = (struct virtq) {
        .memory = config->memory,
        .size = config->size,
        .direction = config->writable ? VRING_DESC_F_WRITE : 0,
        .packed = config->packed,
        .event_idx = config->event_idx,
        .n_uncalled = UINT32_MAX,
        .log = config->log,
        .fault = NULL,
    };
    if (!config->size || config->size > VIRTQ_MAX_SIZE) {
        return "its size is invalid";
    }
    return (config->packed ? virtq_packed_init(vq, config)
            : virtq_split_init(vq, config));
}

/* Stores where a successor of 'vq' is to continue. */
void
virtq_get_base(const struct virtq *vq, uint16_t *avail, uint16_t *used)
{
    *avail = vq->next_avail | vq->avail_wrap << 15;
    *used = vq->next_used | vq->used_wrap << 15;
}

unsigned int
virtq_n_available(const struct virtq *vq)
{
    return (virtq_is_faulty(vq) ? 0
            : vq->packed ? virtq_packed_n_available(vq)
            : virtq_split_n_available(vq));
}

unsigned int
virtq_fetch(struct virtq *vq, struct virtq_burst *burst, unsigned int max)
{
    if (OVS_UNLIKELY(virtq_is_faulty(vq))) {
        return 0;
    }
    return (vq->packed ? virtq_packed_fetch(vq, burst, max)
            : virtq_split_fetch(vq, burst, max));
}

void
virtq_take(struct virtq *vq, const struct virtq_burst *burst, unsigned int n)
{
    if (vq->packed) {
        virtq_packed_take(vq, burst, n);
    } else {
        vq->next_avail += n;
    }
}

void
virtq_return(struct virtq *vq, const struct virtq_buffer *buffers,
             unsigned int n)
{
    if (vq->packed) {
        virtq_packed_return(vq, buffers, n);
    } else {
        virtq_split_return(vq, buffers, n);
    }
}

bool
virtq_wants_call(struct virtq *vq)
{
    bool all = vq->n_uncalled > vq->size;
    bool wants_call;

    if (!vq->n_uncalled) {
        return false;
    }
    /* Pairs with the guest's barrier between asking for a notification and its
     * last look for used buffers (virtio 1.2, 2.7.7 and 2.8.10): either we see
     * that it asks, or it sees the buffers. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    wants_call = (vq->packed ? virtq_packed_wants_call(vq)
                  : virtq_split_wants_call(vq));
    vq->n_uncalled = 0;
    return wants_call || (all && vq->event_idx);
}

/* Adds the 'len' bytes at 'address', of a descriptor with 'flags', to the end
 * of '*buffer'.  Returns NULL if successful, otherwise what is wrong.
 *
 * A descriptor may be empty; wherever it points, nothing is there to be read
 * or written.  The numbers of segments and of empty descriptors are limited,
 * so a chain without end fails here, too. */
const char *
virtq_add_segment(const struct virtq *vq, struct virtq_burst *burst,
                  struct virtq_buffer *buffer, uint64_t address,
                  uint32_t len, uint16_t flags)
{
    if ((flags & VRING_DESC_F_WRITE) != vq->direction) {
        return "a descriptor has the wrong direction";
    }
    if (!len && burst->n_empty_descs++ >= VIRTQ_MAX_EMPTY_DESCS) {
        return virtq_burst_is_full;
    }
    if (len > UINT32_MAX - buffer->len) {
        return "a buffer is longer than 4 GiB";
    }
    while (len) {
        uint64_t piece = len;
        uint8_t *data = guest_memory_piece(vq->memory, address, &piece);
        struct virtq_segment segment = { .data = data, .len = piece };

        if (!data) {
            return "a descriptor points outside of the guest's memory";
        }
        if (!buffer->len) {
            buffer->first = segment;
        } else {
            if (burst->n_segments >= VIRTQ_MAX_SEGMENTS) {
                return virtq_burst_is_full;
            }
            burst->segments[burst->n_segments++] = segment;
            buffer->n_more++;
        }
        buffer->len += piece;
        address += piece;
        len -= piece;
    }
    return NULL;
}

/* Adds the descriptors of an indirect table (virtio 1.2, 2.7.5.3 and 2.8.7):
 * in split rings, these are linked; in packed rings, all of them count. */
const char *
virtq_add_table(const struct virtq *vq, struct virtq_burst *burst,
                struct virtq_buffer *buffer, uint64_t address, uint32_t len,
                uint16_t flags)
{
    unsigned int n = len / sizeof(struct vring_desc);
    unsigned int i = 0;

    if (flags & VRING_DESC_F_NEXT) {
        return "a descriptor has both an indirect table and a successor";
    }
    if (!n || len % sizeof(struct vring_desc)) {
        return "an indirect table has an invalid length";
    }
    do {
        const uint8_t *desc = guest_memory_at(vq->memory, address + 16 * i,
                                              sizeof(struct vring_desc));
        uint64_t low, high;
        uint16_t desc_flags;
        const char *fault;

        if (!desc || (uintptr_t) desc % sizeof low) {
            return "an indirect table is outside of the guest's memory";
        }
        low = virtq_read_half(desc);
        high = virtq_read_half(desc + 8);
        desc_flags = vq->packed ? high >> 48 : high >> 32;
        if (desc_flags & VRING_DESC_F_INDIRECT) {
            return "an indirect table has an indirect table";
        }
        fault = virtq_add_segment(vq, burst, buffer, low, high, desc_flags);
        if (fault) {
            return fault;
        }
        if (vq->packed) {
            i++;
        } else if (!(desc_flags & VRING_DESC_F_NEXT)) {
            return NULL;
        } else {
            i = high >> 48;
        }
    } while (i < n);
    return vq->packed ? NULL : "a next index is out of range";
}

/* Ends a fetch that got 'n' buffers and stopped because of 'fault', if that
 * is not null.  A burst that is full continues with the next fetch. */
void
virtq_end_fetch(struct virtq *vq, struct virtq_burst *burst, unsigned int n,
                const char *fault)
{
    burst->n_buffers = n;
    if (fault && (fault != virtq_burst_is_full || !n)) {
        atomic_store_relaxed(&vq->fault, fault);
    }
}

/* Logs that the device wrote 'len' bytes to 'p', in the guest's memory. */
void
virtq_log_write(const struct virtq *vq, const void *p, uint32_t len)
{
    uint64_t address;

    if (len && guest_memory_address_of(vq->memory, p, &address)) {
        vq->log->write(vq->log->aux, address, len);
    }
}

static void
log_segment(const struct virtq *vq, const struct virtq_segment *segment,
            uint32_t *left)
{
    uint32_t len = MIN(segment->len, *left);

    virtq_log_write(vq, segment->data, len);
    *left -= len;
}

void
virtq_log_written(const struct virtq *vq, const struct virtq_burst *burst,
                  unsigned int n)
{
    for (unsigned int i = 0; i < n; i++) {
        const struct virtq_buffer *buffer = &burst->buffers[i];
        uint32_t left = buffer->written;

        log_segment(vq, &buffer->first, &left);
        for (unsigned int j = 0; j < buffer->n_more; j++) {
            log_segment(vq, &burst->segments[buffer->more + j], &left);
        }
    }
}
