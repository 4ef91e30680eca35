/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Fuzzer of virtqueues: see fuzz-guest.h.
 *
 * What must hold whatever the guest does: a buffer consists of bytes in the
 * guest's memory, of which all can be read or written; a call does a bounded
 * amount of work; only what was available is returned as used; beside that,
 * the device writes nothing but its part of the ring; all that it writes is
 * logged; and a virtqueue with a fault stands still. */

#include <config.h>
#undef NDEBUG

#include <string.h>

#include "fuzz-guest.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* What the device may change, and what it said that it did. */
static bool may_change[FUZZ_MEMORY_SIZE];
static bool logged[FUZZ_MEMORY_SIZE];
static uint64_t n_logged;
static uint8_t before[FUZZ_MEMORY_SIZE], after[FUZZ_MEMORY_SIZE];

static struct fuzz_guest guest;
static struct virtq vq;
static struct virtq_burst burst;

/* Taken, but not yet returned. */
static struct virtq_buffer taken[256];
static unsigned int n_taken;

/* The log. */

static void
log_write(void *aux, uint64_t address, uint64_t len)
{
    uint8_t *p = guest_memory_at(&guest.memory, address, len);

    FUZZ_CHECK(aux == &guest && p && len);
    n_logged += len;
    memset(&logged[fuzz_guest_offset(&guest, p)], true, len);
}

static const struct virtq_log the_log = { .write = log_write, .aux = &guest };

/* What the device changes. */

static void
begin_change(void)
{
    if (!FUZZ_IS_RACE) {
        memset(may_change, false, sizeof may_change);
        fuzz_guest_save(&guest, before);
    }
}

static void
allow(const void *p, size_t n)
{
    memset(&may_change[fuzz_guest_offset(&guest, p)], true, n);
}

/* Checks that only what 'allowed' says has changed. */
static void
check_changes(const bool *allowed)
{
    for (size_t i = 0; i < sizeof before; i += 64) {
        if (memcmp(&before[i], &after[i], 64)) {
            for (size_t j = i; j < i + 64; j++) {
                FUZZ_CHECK(before[j] == after[j] || allowed[j]);
            }
        }
    }
}

static void
end_change(void)
{
    if (FUZZ_IS_RACE) {
        return;
    }
    fuzz_guest_save(&guest, after);
    check_changes(may_change);
}

/* The device's operations. */

static bool
init(void)
{
    guest.config.log = &the_log;
    n_taken = 0;
    burst.n_buffers = 0;
    return !virtq_init(&vq, &guest.config);
}

/* Reads or writes all of 's'. */
static void
use_segment(const struct virtq_segment *s)
{
    FUZZ_CHECK(s->len
               && guest_memory_contains(&guest.memory, s->data, s->len));
    for (uint32_t i = 0; i < s->len; i += i + 64 < s->len ? 64 : 1) {
        if (guest.config.writable) {
            s->data[i] ^= 1;
        } else {
            (void) *(volatile uint8_t *) &s->data[i];
        }
    }
}

/* Looks at buffer '*b', which the guest made available 'ahead' of the next. */
static void
use_buffer(struct virtq_buffer *b, unsigned int ahead)
{
    uint64_t len = b->first.len;

    FUZZ_CHECK(guest.config.packed || b->id < guest.config.size);
    FUZZ_CHECK(b->n_descs >= 1 && b->n_descs <= guest.config.size);
    FUZZ_CHECK(b->more + b->n_more <= burst.n_segments);
    if (!FUZZ_IS_RACE && !guest.config.packed) {
        const struct vring_avail *avail = guest.config.driver;
        uint16_t slot = (vq.next_avail + ahead) % guest.config.size;

        FUZZ_CHECK(b->id == avail->ring[slot]);
    }
    for (unsigned int i = 0; i < b->n_more; i++) {
        len += burst.segments[b->more + i].len;
    }
    FUZZ_CHECK(b->len == len);
    FUZZ_CHECK(b->first.len || (!b->len && !b->n_more));
}

static void
fetch(unsigned int max)
{
    bool was_faulty = virtq_is_faulty(&vq);
    unsigned int n_available = virtq_n_available(&vq);
    unsigned int n;

    begin_change();
    n = virtq_fetch(&vq, &burst, max);
    end_change();
    FUZZ_CHECK(n <= max && (!was_faulty || !n));
    if (was_faulty) {
        burst.n_buffers = 0;
        FUZZ_CHECK(!n_available);
        return;
    }
    FUZZ_CHECK(burst.n_buffers == n);
    FUZZ_CHECK(burst.n_segments <= VIRTQ_MAX_SEGMENTS);
    FUZZ_CHECK(burst.n_empty_descs <= VIRTQ_MAX_EMPTY_DESCS + 1);
    /* In a packed ring, only a guess if the guest is not honest. */
    FUZZ_CHECK(FUZZ_IS_RACE || guest.config.packed || n <= n_available);
    for (unsigned int i = 0; i < n; i++) {
        use_buffer(&burst.buffers[i], i);
    }
    /* Last, because the buffers may be where the ring is. */
    for (unsigned int i = 0; i < n; i++) {
        const struct virtq_buffer *b = &burst.buffers[i];

        if (b->len) {
            use_segment(&b->first);
        }
        for (unsigned int j = 0; j < b->n_more; j++) {
            use_segment(&burst.segments[b->more + j]);
        }
    }
}

/* Takes some of the burst, writes to them, and logs it. */
static void
take(unsigned int n, unsigned int written)
{
    uint64_t n_written = 0;

    n = MIN(n, MIN(burst.n_buffers, ARRAY_SIZE(taken) - n_taken));
    n_logged = 0;
    for (unsigned int i = 0; i < n; i++) {
        struct virtq_buffer *b = &burst.buffers[i];

        b->written = guest.config.writable ? MIN(b->len, written) : 0;
        n_written += b->written;
        taken[n_taken++] = *b;
    }
    virtq_log_written(&vq, &burst, n);
    FUZZ_CHECK(n_logged == n_written);
    virtq_take(&vq, &burst, n);
    burst.n_buffers = 0;
}

/* Returns the oldest of those that were taken. */
static void
give_back(unsigned int n)
{
    struct vring_packed_desc *descs = guest.config.desc;
    struct vring_used *used = guest.config.device;
    uint16_t avail_base, used_base, next;

    n = MIN(n, n_taken);
    virtq_get_base(&vq, &avail_base, &used_base);
    next = guest.config.packed ? used_base & 0x7fff : used_base;
    begin_change();
    memset(logged, false, sizeof logged);
    for (unsigned int i = 0; i < n; i++) {
        if (guest.config.packed) {
            FUZZ_CHECK(next < guest.config.size);
            allow(&descs[next].len, 8);
            for (unsigned int j = 0; j < taken[i].n_descs; j++) {
                allow(&descs[next].addr, 8);
                next = (next + 1) % guest.config.size;
            }
        } else {
            allow(&used->ring[next++ % guest.config.size], 8);
        }
    }
    if (!guest.config.packed) {
        allow(&used->idx, 2);
    }
    virtq_return(&vq, taken, n);
    end_change();
    if (!FUZZ_IS_RACE) {
        check_changes(logged);
    }
    n_taken -= n;
    memmove(taken, &taken[n], n_taken * sizeof taken[0]);
}

/* Stops, and goes on where it was. */
static bool
resume(void)
{
    virtq_get_base(&vq, &guest.config.avail_base, &guest.config.used_base);
    return init();
}

/* Does something, and returns false if that was the end. */
static bool
step(unsigned int op)
{
    unsigned int n = fuzz_byte(&guest);

    switch (op) {
    case 0:
        fetch(n % (VIRTQ_MAX_BUFFERS + 1));
        return true;
    case 1:
        take(n % (VIRTQ_MAX_BUFFERS + 1), fuzz_byte(&guest) * 5);
        return true;
    case 2:
        give_back(n);
        return true;
    case 3:                     /* All of these. */
        fetch(VIRTQ_MAX_BUFFERS);
        take(burst.n_buffers, n);
        give_back(n_taken);
        return true;
    case 4:
        begin_change();
        virtq_wants_call(&vq);
        FUZZ_CHECK(!virtq_wants_call(&vq));
        end_change();
        return true;
    case 5:
        if (n < 240) {
            return resume();
        }
        fuzz_guest_set_up(&guest);
        return init();
    }
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
    fuzz_guest_start(&guest, input, n);
    if (!init()) {
        return 0;
    }
    while (fuzz_has_input(&guest)) {
        unsigned int op = fuzz_byte(&guest) % (FUZZ_N_GUEST_OPS + 6);

        if (op < FUZZ_N_GUEST_OPS) {
            fuzz_guest_do(&guest, op);
        } else if (!step(op - FUZZ_N_GUEST_OPS)) {
            break;
        }
    }
    return 0;
}
