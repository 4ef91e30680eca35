/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VIRTQ_DRIVER_H
#define VIRTQ_DRIVER_H 1

/* The driver's side of a virtqueue, and a guest's memory for it, so that
 * tests can play an honest guest (virtio 1.2, 2.7 and 2.8) or a hostile one:
 * all parts of the rings are open to them.
 *
 * The memory is in regions that follow each other in the guest's addresses,
 * but not in ours, where an inaccessible page is before and behind each of
 * them.  Whoever leaves a region dies. */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "guest-memory.h"
#include "virtq.h"

#define GUEST_START UINT64_C(0x40000000)
#define GUEST_MAX_REGION (8 << 20)

struct guest {
    struct guest_memory memory;
    uint64_t end;               /* Behind the last region. */
    uint64_t next;              /* What guest_alloc() has not given away. */
};

void guest_init(struct guest *);
void guest_add_region(struct guest *, size_t size);
void guest_destroy(struct guest *);
uint64_t guest_alloc(struct guest *, size_t size, size_t align);
void *guest_at(const struct guest *, uint64_t address);

/* Copies from or to memory of the guest that may be in several regions. */
void guest_read(const struct guest *, uint64_t address, void *, size_t n);
void guest_write(const struct guest *, uint64_t address, const void *,
                 size_t n);

/* What a test wants of a virtqueue. */
struct driver_options {
    bool packed;
    bool event_idx;
    bool writable;              /* Does the device write the buffers? */
    unsigned int size;
    uint16_t base;              /* Index to start at.  With packed rings, bit
                                 * 15 is the wrap counter. */
};

struct driver {
    struct guest *guest;
    struct driver_options options;

    /* The ring, as we see it. */
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

    uint64_t tables;            /* An indirect table for each identifier. */
    uint16_t next_avail, next_used;
    bool avail_wrap, used_wrap;
    unsigned int n_free;        /* Descriptors. */
    uint16_t *free_ids;         /* Queue of them. */
    unsigned int free_head, free_tail;
    uint16_t *n_descs;          /* That a buffer has, by its identifier. */
    uint16_t *next;             /* Split: the next one of a chain. */
};

#define DRIVER_MAX_PIECES 300

/* One descriptor. */
struct driver_piece {
    uint64_t address;
    uint32_t len;
};

void driver_init(struct driver *, struct guest *,
                 const struct driver_options *);
void driver_destroy(struct driver *);

/* Returns what the driver's end tells the device, as control messages do. */
struct virtq_config driver_config(const struct driver *);

/* Makes a buffer of 'n' pieces available and returns its identifier, or -1 if
 * there is no room. */
int driver_add(struct driver *, const struct driver_piece *, unsigned int n,
               bool indirect);
int driver_add_simple(struct driver *, uint64_t address, uint32_t len);

/* Gets back a used buffer.  Returns its identifier, or -1 if there is none. */
int driver_get(struct driver *, uint32_t *written);

/* Asks for a notification with the next used buffer, or for none.  Without
 * VIRTIO_RING_F_EVENT_IDX, "next" is any. */
void driver_want_call(struct driver *, bool);

#endif /* virtq-driver.h */
