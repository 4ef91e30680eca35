/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "virtq-fixture.h"

#include <stdlib.h>
#include <string.h>

#include "test-vhost.h"
#include "util.h"
#include "virtq-driver.h"
#include "virtq.h"

struct guest guest;
struct driver driver;
struct virtq vq;
struct virtq_burst burst;

void
start_guest(void)
{
    guest_init(&guest);
    guest_add_region(&guest, BORDER - GUEST_START);
    guest_add_region(&guest, 8 << 20);
}

void
start_virtq(const struct driver_options *o)
{
    struct virtq_config config;

    start_guest();
    driver_init(&driver, &guest, o);
    config = driver_config(&driver);
    CHECK_STR(virtq_init(&vq, &config), NULL);
}

void
finish_virtq(void)
{
    CHECK(!virtq_is_faulty(&vq));
    driver_destroy(&driver);
    guest_destroy(&guest);
}

static uint32_t seed;

static unsigned int
pick(unsigned int n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 16) % n;
}

/* A buffer that the driver has made available. */
struct expected {
    int id;
    struct driver_piece pieces[4];
    unsigned int n_pieces;
    uint32_t len, written;
};

static uint8_t
byte_of(unsigned int number, unsigned int i)
{
    return number * 31 + i * 7 + 1;
}

/* Makes buffer 'number' available, if there is room. */
static bool
make_available(struct expected *e, const struct shape *shape,
               unsigned int number)
{
    unsigned int slot = number % (2 * driver.options.size);
    uint64_t address = (shape->across ? BORDER - 100
                        : BORDER + 4096 + slot * 100 % (7 << 20));
    uint32_t max = shape->across ? 50 : 25;

    e->len = e->written = 0;
    e->n_pieces = 1 + pick(shape->max_pieces);
    if (!shape->indirect) {
        e->n_pieces = MIN(e->n_pieces, driver.options.size);
    }
    for (unsigned int i = 0; i < e->n_pieces; i++) {
        uint32_t len = 1 + pick(max);

        if (shape->across && !i) {
            len = 101 + pick(90);
        }
        e->pieces[i] = (struct driver_piece) { address, len };
        address += len;
        e->len += len;
    }
    e->id = driver_add(&driver, e->pieces, e->n_pieces, shape->indirect);
    if (e->id < 0) {
        return false;
    }
    address = e->pieces[0].address;
    for (unsigned int i = 0; i < e->len; i++) {
        uint8_t c = driver.options.writable ? 0 : byte_of(number, i);

        guest_write(&guest, address + i, &c, 1);
    }
    return true;
}

/* Copies between a buffer and 'bytes'. */
static void
copy(struct virtq_buffer *b, uint8_t *bytes, unsigned int n, bool write)
{
    const struct virtq_segment *s = &b->first;

    for (unsigned int i = 0; n; i++) {
        unsigned int chunk = MIN(n, s->len);

        memcpy(write ? s->data : bytes, write ? bytes : s->data, chunk);
        bytes += chunk;
        n -= chunk;
        s = &burst.segments[b->more + i];
        CHECK(!n || i < b->n_more);
    }
}

/* Uses buffer '*b', which is number 'number'. */
static void
use(struct virtq_buffer *b, struct expected *e, unsigned int number)
{
    uint8_t bytes[512];

    CHECK_INT(b->id, e->id);
    CHECK_INT(b->len, e->len);
    if (!driver.options.writable) {
        copy(b, bytes, b->len, false);
        for (unsigned int i = 0; i < b->len; i++) {
            CHECK_INT(bytes[i], byte_of(number, i));
        }
        return;
    }
    e->written = b->written = pick(b->len + 1);
    for (unsigned int i = 0; i < b->written; i++) {
        bytes[i] = byte_of(number, i);
    }
    copy(b, bytes, b->written, true);
}

static void
check_used(const struct expected *e, unsigned int number)
{
    uint32_t written;
    uint8_t c;

    CHECK_INT(driver_get(&driver, &written), e->id);
    CHECK_INT(written, e->written);
    for (unsigned int i = 0; driver.options.writable && i < e->len; i++) {
        guest_read(&guest, e->pieces[0].address + i, &c, 1);
        CHECK_INT(c, i < written ? byte_of(number, i) : 0);
    }
}

void
transfer(const struct shape *shape, unsigned int total)
{
    unsigned int window = MIN(driver.options.size, shape->across ? 1 : 512);
    struct expected *e = xcalloc(window, sizeof *e);
    struct virtq_buffer *taken = xcalloc(window, sizeof *taken);
    unsigned int n_added = 0, n_taken = 0, n_returned = 0, n_got = 0;

    seed = driver.options.size;
    while (n_got < total) {
        unsigned int n, m;

        n = pick(window + 1);
        while (n-- && n_added - n_got < window
               && make_available(&e[n_added % window], shape, n_added)) {
            n_added++;
        }
        CHECK_INT(virtq_n_available(&vq), n_added - n_taken);

        m = 1 + pick(VIRTQ_MAX_BUFFERS);
        n = virtq_fetch(&vq, &burst, m);
        CHECK_INT(n, MIN(m, n_added - n_taken));
        CHECK_INT(burst.n_buffers, n);
        n = pick(n + 1);
        for (unsigned int i = 0; i < n; i++) {
            use(&burst.buffers[i], &e[n_taken % window], n_taken);
            taken[n_taken++ % window] = burst.buffers[i];
        }
        virtq_take(&vq, &burst, n);

        n = pick(n_taken - n_returned + 1);
        n = MIN(n, window - n_returned % window);
        virtq_return(&vq, &taken[n_returned % window], n);
        n_returned += n;

        for (n = pick(n_returned - n_got + 1); n; n--) {
            check_used(&e[n_got % window], n_got);
            n_got++;
        }
    }
    free(e);
    free(taken);
}

void
transfer_all(bool packed, unsigned int size, uint16_t base)
{
    static const struct shape shapes[] = {
        { 1, false, false },
        { 4, false, false },
        { 1, true, false },
        { 4, true, false },
        { 3, false, true },
        { 3, true, true },
    };

    for (int i = 0; i < ARRAY_SIZE(shapes) * 4; i++) {
        struct driver_options o = {
            .packed = packed, .size = size, .base = base,
            .writable = i & 1, .event_idx = i & 2,
        };
        start_virtq(&o);
        transfer(&shapes[i / 4], MIN(4 * size + 200, 40000));
        finish_virtq();
    }
}

void
take(unsigned int n, unsigned int n_segments)
{
    CHECK_INT(virtq_fetch(&vq, &burst, 64), n);
    CHECK_INT(burst.n_buffers, n);
    CHECK_INT(burst.buffers[n - 1].n_more, n_segments - 1);
    CHECK(!virtq_is_faulty(&vq));
    virtq_take(&vq, &burst, n);
}

void
pass_buffers(unsigned int n, unsigned int cuts)
{
    unsigned int first = 0;

    for (unsigned int i = 0; i < n; i++) {
        CHECK(driver_add_simple(&driver, GUEST_START, 1) >= 0);
    }
    CHECK_INT(virtq_fetch(&vq, &burst, 64), n);
    virtq_take(&vq, &burst, n);
    for (unsigned int i = 1; i <= n; i++) {
        if (i == n || cuts & 1u << i) {
            virtq_return(&vq, &burst.buffers[first], i - first);
            first = i;
        }
    }
}

void
get_all(void)
{
    uint32_t written;

    while (driver_get(&driver, &written) >= 0) {
        continue;
    }
}
