/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "fuzz-guest.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define WRAP_BIT (1 << VRING_PACKED_EVENT_F_WRAP_CTR)

/* Mapped once, at the start. */
static struct guest guest;

void
fuzz_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: this is not so: %s\n", file, line, condition);
    abort();
}

/* Input.  Behind its end are zeros. */

bool
fuzz_has_input(const struct fuzz_guest *g)
{
    return g->input < g->end;
}

unsigned int
fuzz_byte(struct fuzz_guest *g)
{
    return fuzz_has_input(g) ? *g->input++ : 0;
}

static unsigned int
get_u16(struct fuzz_guest *g)
{
    unsigned int low = fuzz_byte(g);

    return fuzz_byte(g) << 8 | low;
}

/* An address near or in the memory, or anywhere. */
static uint64_t
get_address(struct fuzz_guest *g)
{
    unsigned int region = fuzz_byte(g);
    uint64_t offset = get_u16(g);

    if (region >= 250) {
        return UINT64_MAX - offset;
    }
    /* Half of them count from the end. */
    region %= 2 * FUZZ_N_REGIONS;
    return (guest.memory.regions[region / 2].address
            + (region & 1 ? FUZZ_REGION_SIZE - offset % 256
               : offset % (FUZZ_REGION_SIZE + 16)));
}

static uint32_t
get_len(struct fuzz_guest *g)
{
    uint32_t len = get_u16(g);

    return len >= 0xff00 ? UINT32_MAX - (len & 0xff) : len % 12288;
}

/* The thread that changes what was read already. */

#ifdef FUZZ_RACE
static void *
race(void *aux OVS_UNUSED)
{
    uint32_t seed = 1;

    for (;;) {
        for (unsigned int i = 0; i < FUZZ_N_REGIONS; i++) {
            uint8_t *p;

            seed = seed * 1664525 + 1013904223;
            p = guest.memory.regions[i].mapping
                + (seed >> 16) % (seed & 0x8000 ? 256 : FUZZ_REGION_SIZE);
            __atomic_store_n(p, seed >> 24 & (seed & 0x4000 ? 0x87 : 0xff),
                             __ATOMIC_RELAXED);
        }
    }
    return NULL;
}
#endif

static void
init_memory(void)
{
    guest_init(&guest);
    for (unsigned int i = 0; i < FUZZ_N_REGIONS; i++) {
        guest_add_region(&guest, FUZZ_REGION_SIZE);
    }
#ifdef FUZZ_RACE
    pthread_t thread;

    FUZZ_CHECK(!pthread_create(&thread, NULL, race, NULL));
#endif
}

void
fuzz_guest_start(struct fuzz_guest *g, const uint8_t *input, size_t n)
{
    if (!guest.memory.n_regions) {
        init_memory();
    }
    *g = (struct fuzz_guest) { .input = input, .end = input + n };
    for (unsigned int i = 0; i < FUZZ_N_REGIONS; i++) {
        memset(guest.memory.regions[i].mapping, 0, FUZZ_REGION_SIZE);
    }
    fuzz_guest_set_up(g);
}

/* A part of the ring: mostly where it should be. */
static void *
get_part(struct fuzz_guest *g, size_t offset)
{
    unsigned int where = fuzz_byte(g);
    uint8_t *start = guest.memory.regions[0].mapping;

    return (where < 224 ? start + offset
            : start + (int) (get_u16(g) << (where & 3)) - 32768);
}

void
fuzz_guest_set_up(struct fuzz_guest *g)
{
    static const uint16_t sizes[] = {
        64, 32, 16, 8, 4, 2, 1, 3, 7, 63, 0, 128, 256, 24, 32768, 65535
    };
    unsigned int flags = fuzz_byte(g);
    bool packed = flags & 1;

    /* A table with holes, or in another order. */
    g->memory = guest.memory;
    if (flags & 0x10) {
        g->memory.n_regions--;
    }
    if (flags & 0x20) {
        g->memory.regions[1].address += UINT64_C(1) << 40;
    }
    if (flags & 0x40) {
        g->memory.regions[0] = guest.memory.regions[1];
        g->memory.regions[1] = guest.memory.regions[0];
    }
    g->config = (struct virtq_config) {
        .memory = &g->memory,
        .packed = packed,
        .event_idx = flags & 2,
        .writable = flags & 4,
        .size = sizes[fuzz_byte(g) % ARRAY_SIZE(sizes)],
        .desc = get_part(g, 0),
        .driver = get_part(g, 4096),
        .device = get_part(g, 5120),
        .avail_base = packed ? WRAP_BIT : 0,
        .used_base = packed ? WRAP_BIT : 0,
    };
    if (flags & 8) {
        g->config.avail_base = get_u16(g);
        g->config.used_base = g->config.avail_base + (flags & 0x80);
    }
    g->next_avail = packed ? g->config.avail_base & ~WRAP_BIT
                           : g->config.avail_base;
    g->avail_wrap = (g->config.avail_base & WRAP_BIT) != 0;
}

/* Operations.  What the guest writes is written only where it is mapped. */

static void
put(void *p_, const void *src_, size_t n)
{
    uint8_t *p = p_;
    const uint8_t *src = src_;

    for (size_t i = 0; i < n; i++) {
        if (guest_memory_contains(&guest.memory, p + i, 1)) {
            p[i] = src[i];
        }
    }
}

static uint16_t
get_flags(struct fuzz_guest *g)
{
    unsigned int bits = fuzz_byte(g);
    uint16_t flags = g->config.writable ? VRING_DESC_F_WRITE : 0;

    flags ^= bits & 0x80 ? VRING_DESC_F_WRITE : 0;
    flags |= bits & 1 ? VRING_DESC_F_NEXT : 0;
    return flags | (bits & 6 ? 0 : VRING_DESC_F_INDIRECT);
}

/* Writes a descriptor to 'p'. */
static void
put_desc(struct fuzz_guest *g, void *p, unsigned int index, bool in_table)
{
    uint64_t addr = get_address(g);
    uint32_t len = get_len(g);
    uint16_t flags = get_flags(g), next = fuzz_byte(g);

    flags &= in_table && next < 240 ? ~VRING_DESC_F_INDIRECT : 0xffff;
    if (flags & VRING_DESC_F_INDIRECT && next < 240) {
        len = ROUND_UP(len % 512, 16);
        addr = ROUND_UP(addr, 16);
    }
    if (g->config.packed) {
        struct vring_packed_desc desc = {
            .addr = addr, .len = len, .id = next, .flags = flags
        };

        put(p, &desc, sizeof desc);
    } else {
        struct vring_desc desc = {
            .addr = addr, .len = len, .flags = flags,
            .next = next & 1 ? index + 1 : next / 2,
        };

        put(p, &desc, sizeof desc);
    }
}

/* Makes the descriptor at 'head' (split), or the next one (packed),
 * available. */
static void
make_available(struct fuzz_guest *g, unsigned int head)
{
    uint8_t *desc = g->config.desc, *avail = g->config.driver;
    unsigned int size = MAX(g->config.size, 1);
    uint16_t value;

    if (g->config.packed) {
        uint8_t *flags = (desc + 16 * (g->next_avail % size)
                          + offsetof(struct vring_packed_desc, flags));

        if (guest_memory_contains(&guest.memory, flags, 2)) {
            memcpy(&value, flags, sizeof value);
            value &= (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE
                      | VRING_DESC_F_INDIRECT);
            value |= g->avail_wrap << VRING_PACKED_DESC_F_AVAIL;
            value |= !g->avail_wrap << VRING_PACKED_DESC_F_USED;
            put(flags, &value, sizeof value);
        }
        if (++g->next_avail >= size) {
            g->next_avail = 0;
            g->avail_wrap = !g->avail_wrap;
        }
    } else {
        value = head;
        put(avail + 4 + 2 * (g->next_avail++ % size), &value,
            sizeof value);
        put(avail + 2, &g->next_avail, sizeof g->next_avail);
    }
}

static unsigned int
get_index(struct fuzz_guest *g)
{
    return fuzz_byte(g) % MIN(MAX(g->config.size, 1), 64);
}

void
fuzz_guest_do(struct fuzz_guest *g, unsigned int op)
{
    uint8_t *desc = g->config.desc;
    unsigned int index;

    switch (op) {
    case 0:                     /* A descriptor. */
        index = get_index(g);
        put_desc(g, desc + 16 * index, index, false);
        break;

    case 1:                     /* It is available. */
        make_available(g, get_index(g));
        break;

    case 2: {                   /* A descriptor that is available. */
        index = g->config.packed ? g->next_avail : get_index(g);
        put_desc(g, desc + 16 * index, index, false);
        make_available(g, index);
        break;
    }
    case 3: {                   /* A descriptor of a table. */
        uint64_t address = ROUND_UP(get_address(g), 16);
        uint8_t *p = guest_memory_at(&guest.memory, address, 16);

        if (p) {
            put_desc(g, p, fuzz_byte(g), true);
        }
        break;
    }
    case 4: {                   /* Any bytes, anywhere. */
        uint8_t *p = guest_memory_at(&guest.memory, get_address(g), 1);

        for (unsigned int n = fuzz_byte(g) % 32; p && n; n--) {
            uint8_t c = fuzz_byte(g);

            put(p++, &c, 1);
        }
        break;
    }
    case 5: {                   /* Where a notification is wanted. */
        uint16_t event = get_u16(g);

        put((uint8_t *) g->config.driver
               + (g->config.packed ? event & 2 : 4 + 2 * g->config.size),
            &event, sizeof event);
        break;
    }
    }
}

void
fuzz_guest_save(const struct fuzz_guest *g OVS_UNUSED, uint8_t *copy)
{
    for (unsigned int i = 0; i < FUZZ_N_REGIONS; i++) {
        memcpy(copy + i * FUZZ_REGION_SIZE, guest.memory.regions[i].mapping,
               FUZZ_REGION_SIZE);
    }
}

size_t
fuzz_guest_offset(const struct fuzz_guest *g OVS_UNUSED, const void *p)
{
    uint64_t address;

    FUZZ_CHECK(guest_memory_address_of(&guest.memory, p, &address));
    return address - GUEST_START;
}
