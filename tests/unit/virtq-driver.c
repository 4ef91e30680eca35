/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "virtq-driver.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util.h"

#define WRAP_BIT (1 << VRING_PACKED_EVENT_F_WRAP_CTR)

/* Memory. */

void
guest_init(struct guest *guest)
{
    *guest = (struct guest) { .end = GUEST_START, .next = GUEST_START };
}

static size_t
guard_size(void)
{
    return sysconf(_SC_PAGESIZE);
}

void
guest_add_region(struct guest *guest, size_t size)
{
    size_t guard = guard_size();
    size_t mapped = ROUND_UP(size, guard);
    uint8_t *p = mmap(NULL, mapped + 2 * guard, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ovs_assert(p != MAP_FAILED);
    ovs_assert(!mprotect(p + guard, mapped, PROT_READ | PROT_WRITE));
    /* A region that is no multiple of a page ends where one does. */
    p += guard + mapped - size;
    ovs_assert(guest_memory_add(&guest->memory, guest->end, size, p));
    guest->end += size;
}

void
guest_destroy(struct guest *guest)
{
    size_t guard = guard_size();

    for (unsigned int i = 0; i < guest->memory.n_regions; i++) {
        const struct guest_memory_region *r = &guest->memory.regions[i];
        size_t mapped = ROUND_UP(r->size, guard);

        munmap(r->mapping + r->size - mapped - guard, mapped + 2 * guard);
    }
    guest_init(guest);
}

/* Returns the address of 'size' bytes, in one region. */
uint64_t
guest_alloc(struct guest *guest, size_t size, size_t align)
{
    for (unsigned int i = 0; i < guest->memory.n_regions; i++) {
        const struct guest_memory_region *r = &guest->memory.regions[i];
        uint64_t address = ROUND_UP(MAX(guest->next, r->address), align);

        if (address >= r->address && address + size <= r->address + r->size) {
            guest->next = address + size;
            return address;
        }
    }
    OVS_NOT_REACHED();
}

void *
guest_at(const struct guest *guest, uint64_t address)
{
    for (unsigned int i = 0; i < guest->memory.n_regions; i++) {
        const struct guest_memory_region *r = &guest->memory.regions[i];

        if (address >= r->address && address < r->address + r->size) {
            return r->mapping + (address - r->address);
        }
    }
    OVS_NOT_REACHED();
}

void
guest_read(const struct guest *guest, uint64_t address, void *dst_, size_t n)
{
    uint8_t *dst = dst_;

    while (n--) {
        *dst++ = *(uint8_t *) guest_at(guest, address++);
    }
}

void
guest_write(const struct guest *guest, uint64_t address, const void *src_,
            size_t n)
{
    const uint8_t *src = src_;

    while (n--) {
        *(uint8_t *) guest_at(guest, address++) = *src++;
    }
}

/* The ring. */

static void
alloc_ring(struct driver *d)
{
    const struct driver_options *o = &d->options;
    struct guest *guest = d->guest;
    size_t size = o->size;

    d->desc = guest_at(guest, guest_alloc(guest, 16 * size, 16));
    if (o->packed) {
        d->driver_event = guest_at(guest, guest_alloc(guest, 4, 4));
        d->device_event = guest_at(guest, guest_alloc(guest, 4, 4));
    } else {
        size_t event = o->event_idx ? 2 : 0;

        d->avail = guest_at(guest, guest_alloc(guest, 4 + 2 * size + event,
                                               2));
        d->used = guest_at(guest, guest_alloc(guest, 4 + 8 * size + event,
                                              4));
    }
    d->tables = guest_alloc(guest, size * 16 * (size > 256 ? 8
                                                : DRIVER_MAX_PIECES), 16);
}

void
driver_init(struct driver *d, struct guest *guest,
            const struct driver_options *o)
{
    *d = (struct driver) {
        .guest = guest,
        .options = *o,
        .next_avail = o->packed ? o->base & ~WRAP_BIT : o->base,
        .avail_wrap = (o->base & WRAP_BIT) != 0,
        .n_free = o->size,
        .free_ids = xcalloc(o->size, sizeof *d->free_ids),
        .n_descs = xcalloc(o->size, sizeof *d->n_descs),
        .next = xcalloc(o->size, sizeof *d->next),
    };
    d->next_used = d->next_avail;
    d->used_wrap = d->avail_wrap;
    for (unsigned int i = 0; i < o->size; i++) {
        d->free_ids[i] = o->size - 1 - i;
    }
    alloc_ring(d);
    if (!o->packed) {
        d->avail->idx = d->used->idx = o->base;
        return;
    }
    /* As if the last round's descriptors were all used. */
    for (unsigned int i = 0; i < o->size; i++) {
        bool wrap = d->avail_wrap ^ (i >= d->next_avail);

        d->packed_desc[i].flags = (wrap << VRING_PACKED_DESC_F_AVAIL
                                   | wrap << VRING_PACKED_DESC_F_USED);
    }
}

void
driver_destroy(struct driver *d)
{
    free(d->free_ids);
    free(d->n_descs);
    free(d->next);
}

struct virtq_config
driver_config(const struct driver *d)
{
    return (struct virtq_config) {
        .memory = &d->guest->memory,
        .packed = d->options.packed,
        .event_idx = d->options.event_idx,
        .writable = d->options.writable,
        .size = d->options.size,
        .desc = d->desc,
        .driver = d->avail,
        .device = d->used,
        .avail_base = d->options.base,
        .used_base = d->options.base,
    };
}

static uint16_t
get_id(struct driver *d)
{
    return d->free_ids[d->free_head++ % d->options.size];
}

static void
put_id(struct driver *d, uint16_t id)
{
    d->free_ids[d->free_tail++ % d->options.size] = id;
}

static uint64_t
table_of(const struct driver *d, uint16_t id)
{
    unsigned int n = d->options.size > 256 ? 8 : DRIVER_MAX_PIECES;

    return d->tables + 16 * n * id;
}

static struct driver_piece
fill_table(struct driver *d, uint16_t id, const struct driver_piece *pieces,
           unsigned int n)
{
    uint64_t address = table_of(d, id);
    uint16_t write = d->options.writable ? VRING_DESC_F_WRITE : 0;

    for (unsigned int i = 0; i < n; i++) {
        if (d->options.packed) {
            struct vring_packed_desc *t = guest_at(d->guest, address);

            t[i] = (struct vring_packed_desc) {
                .addr = pieces[i].address, .len = pieces[i].len,
                .flags = write,
            };
        } else {
            struct vring_desc *t = guest_at(d->guest, address);

            /* Backwards, because it is allowed. */
            t[i ? n - i : 0] = (struct vring_desc) {
                .addr = pieces[i].address, .len = pieces[i].len,
                .flags = write | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
                .next = n - i - 1,
            };
        }
    }
    return (struct driver_piece) { .address = address, .len = 16 * n };
}

static int
add_split(struct driver *d, const struct driver_piece *pieces, unsigned int n,
          uint16_t flags)
{
    uint16_t ids[DRIVER_MAX_PIECES];

    for (unsigned int i = 0; i < n; i++) {
        ids[i] = get_id(d);
    }
    for (unsigned int i = 0; i < n; i++) {
        d->desc[ids[i]] = (struct vring_desc) {
            .addr = pieces[i].address, .len = pieces[i].len,
            .flags = flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
            .next = i + 1 < n ? ids[i + 1] : 0,
        };
        d->next[ids[i]] = i + 1 < n ? ids[i + 1] : 0;
    }
    d->n_descs[ids[0]] = n;
    d->avail->ring[d->next_avail++ % d->options.size] = ids[0];
    __atomic_store_n(&d->avail->idx, d->next_avail, __ATOMIC_RELEASE);
    return ids[0];
}

static void
advance(const struct driver *d, uint16_t *index, bool *wrap, unsigned int n)
{
    unsigned int next = *index + n;

    *wrap ^= next >= d->options.size;
    *index = next % d->options.size;
}

static int
add_packed(struct driver *d, const struct driver_piece *pieces,
           unsigned int n, uint16_t flags)
{
    struct vring_packed_desc *head = &d->packed_desc[d->next_avail];
    uint16_t id = get_id(d), head_flags = 0;

    for (unsigned int i = 0; i < n; i++) {
        struct vring_packed_desc *desc = &d->packed_desc[d->next_avail];
        uint16_t f = (flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0)
                      | d->avail_wrap << VRING_PACKED_DESC_F_AVAIL
                      | !d->avail_wrap << VRING_PACKED_DESC_F_USED);

        desc->addr = pieces[i].address;
        desc->len = pieces[i].len;
        desc->id = id;
        if (i) {
            desc->flags = f;
        } else {
            head_flags = f;
        }
        advance(d, &d->next_avail, &d->avail_wrap, 1);
    }
    d->n_descs[id] = n;
    __atomic_store_n(&head->flags, head_flags, __ATOMIC_RELEASE);
    return id;
}

int
driver_add(struct driver *d, const struct driver_piece *pieces,
           unsigned int n, bool indirect)
{
    uint16_t flags = d->options.writable ? VRING_DESC_F_WRITE : 0;
    struct driver_piece table;

    if (d->n_free < (indirect ? 1 : n)) {
        return -1;
    }
    if (indirect) {
        /* That of the identifier that is taken next. */
        table = fill_table(d, d->free_ids[d->free_head % d->options.size],
                           pieces, n);
        pieces = &table;
        flags = VRING_DESC_F_INDIRECT;
        n = 1;
    }
    d->n_free -= n;
    return (d->options.packed ? add_packed(d, pieces, n, flags)
            : add_split(d, pieces, n, flags));
}

int
driver_add_simple(struct driver *d, uint64_t address, uint32_t len)
{
    return driver_add(d, &(struct driver_piece) { address, len }, 1, false);
}

static int
get_split(struct driver *d, uint32_t *written)
{
    const struct vring_used_elem *e;
    uint16_t id;

    if (__atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) == d->next_used) {
        return -1;
    }
    e = &d->used->ring[d->next_used++ % d->options.size];
    ovs_assert(e->id < d->options.size && d->n_descs[e->id]);
    *written = e->len;
    id = e->id;
    for (unsigned int i = 0; i < d->n_descs[e->id]; i++) {
        put_id(d, id);
        id = d->next[id];
    }
    return e->id;
}

static int
get_packed(struct driver *d, uint32_t *written)
{
    const struct vring_packed_desc *desc = &d->packed_desc[d->next_used];
    uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);

    if (!!(flags & 1 << VRING_PACKED_DESC_F_AVAIL) != d->used_wrap
        || !!(flags & 1 << VRING_PACKED_DESC_F_USED) != d->used_wrap) {
        return -1;
    }
    ovs_assert(desc->id < d->options.size && d->n_descs[desc->id]);
    /* Without the flag, the length means nothing. */
    *written = flags & VRING_DESC_F_WRITE ? desc->len : 0;
    put_id(d, desc->id);
    advance(d, &d->next_used, &d->used_wrap, d->n_descs[desc->id]);
    return desc->id;
}

int
driver_get(struct driver *d, uint32_t *written)
{
    int id = d->options.packed ? get_packed(d, written)
                               : get_split(d, written);

    if (id >= 0) {
        d->n_free += d->n_descs[id];
        d->n_descs[id] = 0;
    }
    return id;
}

void
driver_want_call(struct driver *d, bool want)
{
    bool event_idx = d->options.event_idx;

    if (d->options.packed) {
        d->driver_event->off_wrap = d->next_used | d->used_wrap << 15;
        d->driver_event->flags = (!want ? VRING_PACKED_EVENT_FLAG_DISABLE
                                  : event_idx ? VRING_PACKED_EVENT_FLAG_DESC
                                  : VRING_PACKED_EVENT_FLAG_ENABLE);
    } else if (event_idx) {
        d->avail->ring[d->options.size] = d->next_used - !want;
    } else {
        d->avail->flags = want ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
    }
}
