/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Virtqueues that an honest driver uses.  test-virtq-hostile.c has others. */

#include <config.h>
#undef NDEBUG

#include <string.h>

#include "random.h"
#include "test-vhost.h"
#include "util.h"
#include "virtq-driver.h"

#define WRAP_BIT (1 << VRING_PACKED_EVENT_F_WRAP_CTR)

/* Where the first of two regions ends and the second begins. */
#define BORDER (GUEST_START + (6 << 20))

static struct guest guest;

static struct driver driver;
static struct virtq vq;
static struct virtq_burst burst;

static void
start_guest(void)
{
    guest_init(&guest);
    guest_add_region(&guest, BORDER - GUEST_START);
    guest_add_region(&guest, 8 << 20);
}

static void
start(const struct driver_options *o)
{
    struct virtq_config config;

    start_guest();
    driver_init(&driver, &guest, o);
    config = driver_config(&driver);
    CHECK_STR(virtq_init(&vq, &config), NULL);
}

static void
finish(void)
{
    CHECK(!virtq_is_faulty(&vq));
    driver_destroy(&driver);
    guest_destroy(&guest);
}

/* Rings that are refused. */

static const char *
init(const struct virtq_config *config)
{
    return virtq_init(&vq, config);
}

/* Checks that 'part', which has 'len' bytes, must be aligned to 'align' and be
 * wholly in one region. */
static void
check_part(struct virtq_config *config, void **part, size_t len, size_t align)
{
    const char *outside = "it is not entirely inside guest memory";
    uint8_t *end = guest.memory.regions[0].mapping
                   + guest.memory.regions[0].size;
    void *good = *part;

    *part = (uint8_t *) good + align / 2;
    CHECK_STR(init(config), "a part of it is not aligned");
    *part = NULL;
    CHECK_STR(init(config), outside);
    *part = guest.memory.regions[0].mapping - align;
    CHECK_STR(init(config), outside);
    *part = end - ROUND_UP(len, align);
    CHECK_STR(init(config), NULL);
    if (len > align) {
        *part = end - ROUND_UP(len, align) + align;
        CHECK_STR(init(config), outside);
    }
    *part = end;
    CHECK_STR(init(config), outside);
    *part = (void *) (UINTPTR_MAX - align + 1);
    CHECK_STR(init(config), outside);
    *part = good;
    CHECK_STR(init(config), NULL);
}

static void
test_init(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const unsigned int split_sizes[] = { 1, 2, 256, 32768 };
    static const unsigned int packed_sizes[] = { 1, 3, 255, 32768 };

    for (int i = 0; i < 2 * 2 * 4; i++) {
        bool packed = i & 1, event_idx = i & 2;
        unsigned int size = (packed ? packed_sizes : split_sizes)[i / 4];
        unsigned int event = event_idx ? 2 : 0;
        struct driver_options o = {
            .packed = packed, .event_idx = event_idx, .size = size,
            .base = packed ? WRAP_BIT : 0,
        };
        struct virtq_config config;
        uint16_t avail, used;

        start(&o);
        config = driver_config(&driver);
        check_part(&config, &config.desc, 16 * size, 16);
        check_part(&config, &config.driver,
                   packed ? 4 : 4 + 2 * size + event, packed ? 4 : 2);
        check_part(&config, &config.device,
                   packed ? 4 : 4 + 8 * size + event, 4);

        /* The guest need not notify us. */
        if (packed) {
            CHECK_INT(driver.device_event->flags,
                      VRING_PACKED_EVENT_FLAG_DISABLE);
        } else {
            CHECK_INT(driver.used->flags, VRING_USED_F_NO_NOTIFY);
        }
        virtq_get_base(&vq, &avail, &used);
        CHECK_INT(avail, o.base);
        CHECK_INT(used, o.base);

        config.size = 0;
        CHECK_STR(init(&config), "its size is invalid");
        config.size = 32769;
        CHECK_STR(init(&config), "its size is invalid");
        config.size = 65536 + size;
        CHECK_STR(init(&config), "its size is invalid");
        config.size = size;
        if (packed) {
            config.avail_base = size;
            CHECK_STR(init(&config), size < 32768
                      ? "its start index is out of range" : NULL);
            config.avail_base = 0;
            config.used_base = (size & ~WRAP_BIT) | WRAP_BIT;
            CHECK_STR(init(&config), size < 32768
                      ? "its start index is out of range" : NULL);
        } else {
            config.size = 24;
            CHECK_STR(init(&config), "its size is not a power of 2");
        }
        CHECK_STR((config = driver_config(&driver), init(&config)), NULL);
        finish();
    }
}
VHOST_TEST(test_init, "virtq-init", "virtqueues: what is refused", 0);

/* Transfers. */

static uint32_t seed;

static unsigned int
pick(unsigned int n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 16) % n;
}

/* What buffers look like. */
struct shape {
    unsigned int max_pieces;
    bool indirect;
    bool across;                /* In two regions? */
};

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

/* Moves 'total' buffers in steps of random size.  Buffers are returned as soon
 * as they are taken, or later. */
static void
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

static void
test_transfer_of(bool packed, unsigned int size, uint16_t base)
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
        start(&o);
        transfer(&shapes[i / 4], MIN(4 * size + 200, 40000));
        finish();
    }
}

static void
test_transfer(int argc, char *argv[])
{
    bool packed = argc > 1 && !strcmp(argv[1], "packed");
    static const unsigned int split_sizes[] = { 1, 2, 4, 256, 32768 };
    static const unsigned int packed_sizes[] = { 1, 3, 7, 250, 32768 };

    for (int i = 0; i < ARRAY_SIZE(split_sizes); i++) {
        unsigned int size = packed ? packed_sizes[i] : split_sizes[i];

        test_transfer_of(packed, size, packed ? WRAP_BIT : 0);
        test_transfer_of(packed, size, packed ? size - 1 : 65536 - size / 2);
    }
}
VHOST_TEST(test_transfer, "virtq-transfer split", "virtqueues: split", 0);
VHOST_TEST(test_transfer, "virtq-transfer packed", "virtqueues: packed", 0);

/* All indices of a split ring, once round, which the sizes above do not
 * reach. */
static void
test_indices(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct shape shape = { 1, false, false };
    struct driver_options o = { .size = 64, .base = 65000 };

    start(&o);
    transfer(&shape, 70000);
    finish();
}
VHOST_TEST(test_indices, "virtq-indices", "virtqueues: all indices", 0);

/* Makes a buffer of 'n' segments available, the last two of which are one
 * descriptor's if 'across'. */
static void
add_segments(unsigned int n, bool indirect, bool across)
{
    struct driver_piece pieces[VIRTQ_MAX_SEGMENTS + 2];

    n -= across;
    for (unsigned int i = 0; i < n; i++) {
        pieces[i] = (struct driver_piece) { GUEST_START + 16 * i, 16 };
    }
    if (across) {
        pieces[n - 1].address = BORDER - 8;
    }
    CHECK(driver_add(&driver, pieces, n, indirect) >= 0);
}

/* Fetches, checks that there are 'n' buffers, the last of 'n_segments'
 * segments, and takes them. */
static void
take(unsigned int n, unsigned int n_segments)
{
    CHECK_INT(virtq_fetch(&vq, &burst, 64), n);
    CHECK_INT(burst.n_buffers, n);
    CHECK_INT(burst.buffers[n - 1].n_more, n_segments - 1);
    CHECK(!virtq_is_faulty(&vq));
    virtq_take(&vq, &burst, n);
}

/* The identifiers of buffers in a packed ring are the driver's alone: they
 * need not be less than the ring's size (virtio 1.2, 2.8.6). */
static void
test_ids(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint16_t ids[] = { 7, 8, 255, 32768, 65535, 0 };
    const struct driver_options o = {
        .packed = true, .size = 8, .base = WRAP_BIT
    };

    start(&o);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct vring_packed_desc *desc = &driver.packed_desc[i];

        CHECK(driver_add_simple(&driver, GUEST_START + i, 1) >= 0);
        desc->id = ids[i];
        take(1, 1);
        CHECK_INT(burst.buffers[0].id, ids[i]);
        desc->id = 1;
        virtq_return(&vq, burst.buffers, 1);
        CHECK_INT(desc->id, ids[i]);
        CHECK(desc->flags & 1 << VRING_PACKED_DESC_F_USED);
    }
    finish();
}
VHOST_TEST(test_ids, "virtq-ids", "virtqueues: packed, any identifier", 0);

/* Descriptors of length 0 are passed over, wherever they point. */
static void
test_empty(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 8; i++) {
        bool packed = i & 1, indirect = i & 2, writable = i & 4;
        const struct driver_options o = {
            .packed = packed, .writable = writable, .size = 16,
            .base = packed ? WRAP_BIT : 0
        };
        const struct driver_piece pieces[] = {
            { 0, 0 }, { GUEST_START + 8, 12 }, { UINT64_MAX, 0 },
            { GUEST_START + 100, 60 }, { GUEST_START, 0 },
        };
        const struct virtq_buffer *b = burst.buffers;
        uint32_t written;
        int id;

        start(&o);
        id = driver_add(&driver, pieces, ARRAY_SIZE(pieces), indirect);
        CHECK(driver_add(&driver, pieces, 1, indirect) >= 0);
        CHECK(driver_add_simple(&driver, GUEST_START, 1) >= 0);
        take(3, 1);
        CHECK(b[0].first.data == guest_at(&guest, GUEST_START + 8));
        CHECK_INT(b[0].first.len, 12);
        CHECK_INT(b[0].n_more, 1);
        CHECK_INT(b[0].len, 72);
        CHECK(burst.segments[b[0].more].data
              == guest_at(&guest, GUEST_START + 100));
        CHECK_INT(b[1].len, 0);
        CHECK_INT(b[1].first.len, 0);
        CHECK_INT(b[1].n_more, 0);
        CHECK_INT(b[2].len, 1);

        virtq_return(&vq, burst.buffers, 3);
        CHECK_INT(driver_get(&driver, &written), id);
        CHECK(driver_get(&driver, &written) >= 0);
        CHECK(driver_get(&driver, &written) >= 0);
        finish();
    }
}
VHOST_TEST(test_empty, "virtq-empty", "virtqueues: empty descriptors", 0);

/* More empty descriptors than a burst passes over, each buffer with a few: it
 * ends before one that has too many. */
static void
test_empty_many(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 4; i++) {
        bool packed = i & 1, indirect = i & 2;
        const struct driver_options o = {
            .packed = packed, .size = indirect ? 16 : 1024,
            .base = packed ? WRAP_BIT : 0
        };
        struct driver_piece pieces[101] = { { 0, 0 } };

        pieces[100] = (struct driver_piece) { GUEST_START, 60 };
        start(&o);
        for (int j = 0; j < 5; j++) {
            CHECK(driver_add(&driver, pieces, 101, indirect) >= 0);
        }
        for (unsigned int left = 5; left; left -= MIN(left, 2)) {
            take(MIN(left, 2), 1);
            CHECK_INT(burst.buffers[0].len, 60);
            virtq_return(&vq, burst.buffers, burst.n_buffers);
        }
        finish();
    }
}
VHOST_TEST(test_empty_many, "virtq-empty-many",
           "virtqueues: many empty descriptors", 0);

/* Buffers in more pieces than a burst has room for: it ends before one that
 * does not fit.  One that never does is a fault. */
static void
test_segments(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 8; i++) {
        bool packed = i & 1, indirect = i & 2, across = i & 4;
        struct driver_options o = {
            .packed = packed, .size = indirect ? 256 : 2048,
            .base = packed ? WRAP_BIT : 0,
        };

        start(&o);
        add_segments(100, indirect, across);
        add_segments(100, indirect, across);
        add_segments(1, indirect, false);
        add_segments(60, indirect, across);
        add_segments(VIRTQ_MAX_SEGMENTS + 1, indirect, across);
        add_segments(VIRTQ_MAX_SEGMENTS + 2, indirect, across);
        take(3, 1);
        take(1, 60);
        take(1, VIRTQ_MAX_SEGMENTS + 1);
        CHECK_INT(virtq_fetch(&vq, &burst, 64), 0);
        CHECK(virtq_is_faulty(&vq));
        driver_destroy(&driver);
        guest_destroy(&guest);
    }
}
VHOST_TEST(test_segments, "virtq-segments", "virtqueues: many segments", 0);

/* Stopping and going on, with buffers taken but not returned. */
static void
test_resume(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        struct driver_options o = {
            .packed = i, .size = i ? 5 : 4, .base = i ? WRAP_BIT | 3 : 65534,
        };

        start(&o);
        for (int j = 0; j < 100; j++) {
            struct virtq_config config = driver_config(&driver);
            uint16_t avail, used;
            uint32_t written;
            int ids[3];

            for (int k = 0; k < 3; k++) {
                ids[k] = driver_add_simple(&driver, GUEST_START + k, 1);
            }
            CHECK_INT(virtq_fetch(&vq, &burst, 64), 3);
            virtq_take(&vq, &burst, 2);
            virtq_get_base(&vq, &avail, &used);
            CHECK(avail != used);
            virtq_return(&vq, burst.buffers, 2);
            virtq_get_base(&vq, &config.avail_base, &config.used_base);
            CHECK_INT(config.avail_base, avail);
            CHECK_INT(config.used_base, avail);

            memset(&vq, 0, sizeof vq);
            CHECK_STR(virtq_init(&vq, &config), NULL);
            CHECK_INT(virtq_n_available(&vq), 1);
            CHECK_INT(virtq_fetch(&vq, &burst, 64), 1);
            CHECK_INT(burst.buffers[0].id, ids[2]);
            virtq_take(&vq, &burst, 1);
            virtq_return(&vq, burst.buffers, 1);
            for (int k = 0; k < 3; k++) {
                CHECK_INT(driver_get(&driver, &written), ids[k]);
            }
        }
        finish();
    }
}
VHOST_TEST(test_resume, "virtq-resume", "virtqueues: stopped and resumed", 0);

/* Checks that a packed virtqueue continues at 'expected', or has 'fault', if
 * the front end tells 'told'. */
static void
check_found(uint16_t told, uint16_t expected, const char *fault)
{
    struct virtq_config config = driver_config(&driver);
    uint16_t avail, used;
    struct virtq other;

    config.avail_base = config.used_base = told;
    CHECK_STR(virtq_init(&other, &config), fault);
    if (!fault) {
        virtq_get_base(&other, &avail, &used);
        CHECK_INT(avail, expected);
        CHECK_INT(used, expected);
    }
}

/* Back ends that end without a word, again and again: each finds in the ring
 * where the one before was, whatever the front end tells. */
static void
test_find_base_of(unsigned int size, unsigned int max_pieces, bool indirect)
{
    const struct driver_options o = {
        .packed = true, .size = size, .base = WRAP_BIT
    };
    struct driver_piece pieces[8];
    unsigned int n_returned = 0;
    uint16_t stale = WRAP_BIT;

    for (unsigned int i = 0; i < ARRAY_SIZE(pieces); i++) {
        pieces[i] = (struct driver_piece) { GUEST_START + i, 1 };
    }
    start(&o);
    check_found(0, WRAP_BIT, NULL);
    for (int round = 0; round < 3000; round++) {
        unsigned int n_added = random_range(2 * size), n_taken;
        uint16_t avail, used;
        uint32_t written;

        while (n_added--) {
            driver_add(&driver, pieces, 1 + random_range(max_pieces),
                       indirect);
        }
        n_taken = virtq_fetch(&vq, &burst, 1 + random_range(64));
        virtq_take(&vq, &burst, n_taken);
        /* Some have not been returned when it ends. */
        n_taken = random_range(n_taken + 1);
        virtq_return(&vq, burst.buffers, n_taken);
        n_returned += n_taken;
        for (int i = random_range(3) * size; i--; ) {
            driver_get(&driver, &written);
        }

        virtq_get_base(&vq, &avail, &used);
        check_found(WRAP_BIT, used, NULL);
        check_found(0, used, NULL);
        check_found(stale, used, NULL);
        check_found(used, used, NULL);
        if (!random_range(20)) {
            stale = used;
        }
        vq.next_avail = vq.next_used;
        vq.avail_wrap = vq.used_wrap;
    }
    CHECK(n_returned > 300);
    finish();
}

static void
test_find_base(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const unsigned int sizes[] = { 1, 2, 3, 8, 50, 256 };

    for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
        test_find_base_of(sizes[i], 1, false);
        test_find_base_of(sizes[i], MIN(sizes[i], 8), false);
        test_find_base_of(sizes[i], 8, true);
    }
}
VHOST_TEST(test_find_base, "virtq-find-base",
           "virtqueues: packed, the position is lost", 0);

/* A back end that leaves no marks, and one that has returned buffers out of
 * order. */
static void
test_find_base_hard(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct driver_options o = {
        .packed = true, .size = 8, .base = WRAP_BIT
    };
    const struct driver_piece pieces[] = {
        { GUEST_START, 1 }, { GUEST_START, 1 }, { GUEST_START, 1 }
    };
    const char *fault = "its buffers were out of order when the switch ended";
    uint32_t written;

    start(&o);
    CHECK(driver_add(&driver, pieces, 3, false) >= 0);
    CHECK(driver_add(&driver, pieces, 2, false) >= 0);
    CHECK(driver_add(&driver, pieces, 1, false) >= 0);
    CHECK_INT(virtq_fetch(&vq, &burst, 64), 3);
    virtq_take(&vq, &burst, 3);
    virtq_return(&vq, burst.buffers, 1);
    check_found(WRAP_BIT, WRAP_BIT | 3, NULL);
    driver.packed_desc[0].addr = GUEST_START;
    check_found(WRAP_BIT | 3, WRAP_BIT | 3, NULL);
    CHECK(driver_get(&driver, &written) >= 0);

    vq.out_of_order = true;
    virtq_return(&vq, burst.buffers + 2, 1);
    check_found(WRAP_BIT | 4, WRAP_BIT | 4, fault);
    CHECK(driver_get(&driver, &written) >= 0);
    vq.out_of_order = false;
    virtq_return(&vq, burst.buffers + 1, 1);
    check_found(WRAP_BIT, WRAP_BIT | 6, NULL);
    CHECK(driver_get(&driver, &written) >= 0);
    finish();
}
VHOST_TEST(test_find_base_hard, "virtq-find-base-hard",
           "virtqueues: packed, the position cannot be known", 0);

/* A split ring continues after the last used buffer, unless the back end that
 * has ended had returned others before one that it still had. */
static void
test_out_of_order(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct driver_options o = { .size = 8, .base = 65530 };
    const struct driver_piece piece = { GUEST_START, 1 };
    struct virtq_config config;
    struct virtq other;
    uint32_t written;

    start(&o);
    for (int round = 0; round < 20; round++) {
        uint16_t avail, used;

        for (int i = 0; i < 8; i++) {
            CHECK(driver_add(&driver, &piece, 1, false) >= 0);
        }
        CHECK_INT(virtq_fetch(&vq, &burst, 64), 8);
        virtq_take(&vq, &burst, 8);
        for (int i = 0; i < 8; i++) {
            static const int order[] = { 0, 2, 1, 4, 5, 6, 7, 3 };

            vq.out_of_order = i != 0 && i != 2 && i != 7;
            virtq_return(&vq, &burst.buffers[order[i]], 1);
            virtq_get_base(&vq, &avail, &used);
            config = driver_config(&driver);
            config.avail_base = config.used_base = used;
            CHECK_STR(virtq_init(&other, &config),
                      (vq.out_of_order
                       ? "its buffers were out of order when the switch ended"
                       : NULL));

            /* The switch itself knows better. */
            config.avail_base = avail;
            CHECK_STR(vq.out_of_order ? virtq_init(&other, &config) : NULL,
                      NULL);
            CHECK_INT(driver_get(&driver, &written),
                      burst.buffers[order[i]].id);
        }
    }
    finish();
}
VHOST_TEST(test_out_of_order, "virtq-out-of-order",
           "virtqueues: split, out of order at the end", 0);

/* The log of what the device writes. */

static struct {
    bool memory[4096];          /* From 'BORDER' - 2048 on... */
    bool ring[512];             /* ...and from here on. */
    uint64_t ring_address;
} dirty;

static void
log_write(void *aux, uint64_t address, uint64_t len)
{
    CHECK(aux == &dirty);
    if (address - dirty.ring_address < sizeof dirty.ring) {
        address -= dirty.ring_address;
        CHECK(address + len <= sizeof dirty.ring);
        memset(&dirty.ring[address], true, len);
        return;
    }
    while (len--) {
        uint64_t offset = address++ - (BORDER - 2048);

        CHECK(offset < sizeof dirty.memory && !dirty.memory[offset]);
        dirty.memory[offset] = true;
    }
}

/* A buffer of three pieces, the second across two regions, is partly
 * written. */
static void
test_log(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct virtq_log log = { log_write, &dirty };

    for (int i = 0; i < 4 * 401; i++) {
        bool packed = i & 1, indirect = i & 2;
        struct driver_options o = {
            .packed = packed, .size = 4, .writable = true,
            .base = packed ? WRAP_BIT | 1 : 65535,
        };
        struct driver_piece pieces[] = {
            { BORDER + 1000, 100 }, { BORDER - 50, 200 }, { BORDER - 200, 100 }
        };
        unsigned int written = i / 4, left = written;
        struct virtq_config config;
        uint8_t *area, before[512];
        size_t n;

        start(&o);
        config = driver_config(&driver);
        config.log = &log;
        CHECK_STR(virtq_init(&vq, &config), NULL);
        driver_add(&driver, pieces, 3, indirect);
        CHECK_INT(virtq_fetch(&vq, &burst, 64), 1);
        burst.buffers[0].written = written;
        memset(&dirty, 0, sizeof dirty);
        area = packed ? (void *) driver.desc : (void *) driver.used;
        n = packed ? 16 * o.size : 4 + 8 * o.size;
        memcpy(before, area, n);
        CHECK(guest_memory_address_of(config.memory, area,
                                      &dirty.ring_address));

        virtq_log_written(&vq, &burst, 1);
        for (int j = 0; j < ARRAY_SIZE(pieces); j++) {
            for (unsigned int k = 0; k < pieces[j].len; k++) {
                bool *d = &dirty.memory[pieces[j].address + k
                                        - (BORDER - 2048)];

                CHECK_INT(*d, left > 0);
                *d = false;
                left -= left > 0;
            }
        }
        CHECK(!memchr(dirty.memory, true, sizeof dirty.memory));
        CHECK(!memchr(dirty.ring, true, sizeof dirty.ring));

        /* All that changes in the ring is logged; not the whole of it. */
        virtq_take(&vq, &burst, 1);
        virtq_return(&vq, burst.buffers, 1);
        for (size_t j = 0; j < n; j++) {
            CHECK(before[j] == area[j] || dirty.ring[j]);
        }
        n = 0;
        for (size_t j = 0; j < sizeof dirty.ring; j++) {
            n += dirty.ring[j];
        }
        CHECK_INT(n, packed ? 16 + (indirect ? 0 : 2 * 8) : 8 + 2);
        CHECK(dirty.ring[packed ? 16 : 2]);
        CHECK(dirty.ring[packed ? 31 : 3]);
        CHECK(dirty.ring[packed ? 16 : 4 + 8 * 3]);
        finish();
    }
}
VHOST_TEST(test_log, "virtq-log", "virtqueues: dirty log", 0);

/* Notifications.
 *
 * virtio 1.2, 2.7.7.2 and 2.8.10: with VIRTIO_RING_F_EVENT_IDX, the device
 * must notify if it has put an entry where the driver says, and should not
 * otherwise. */

/* Makes 'n' buffers available, takes them and returns them in pieces that the
 * bits of 'cuts' separate. */
static void
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

static void
get_all(void)
{
    uint32_t written;

    while (driver_get(&driver, &written) >= 0) {
        continue;
    }
}

/* Split rings: every size up to 8, every number of entries, returned in every
 * way, every position before the index's wrap-around, every event. */
static void
test_split_calls(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (unsigned int size = 1; size <= 8; size *= 2) {
        struct driver_options o = {
            .size = size, .event_idx = true, .base = 65536 - 2 * size,
        };

        start(&o);
        /* A new device may have missed something. */
        CHECK(virtq_wants_call(&vq));
        CHECK(!virtq_wants_call(&vq));
        for (unsigned int round = 0; round < 4 * size; round++) {
            for (unsigned int n = 1; n <= size; n++) {
                unsigned int cuts = round & ((1u << n) - 1);

                for (int event = -2 * (int) size; event < (int) (2 * size);
                     event++) {
                    uint16_t old = driver.next_avail;

                    driver.avail->ring[size] = old + event;
                    pass_buffers(n, cuts);
                    CHECK_INT(virtq_wants_call(&vq),
                              event >= 0 && event < n);
                    CHECK(!virtq_wants_call(&vq));
                    get_all();
                }
            }
        }
        for (unsigned int event = 0; event < 65536; event++) {
            uint16_t old = driver.next_avail;

            driver.avail->ring[size] = event;
            pass_buffers(size, 0);
            CHECK_INT(virtq_wants_call(&vq),
                      (uint16_t) (event - old) < size);
            get_all();
        }
        finish();
    }
}
VHOST_TEST(test_split_calls, "virtq-split-calls",
           "virtqueues: notifications, split", 0);

/* Packed rings: the same, with every index and wrap counter. */
static void
test_packed_calls(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (unsigned int size = 1; size <= 7; size++) {
        struct driver_options o = {
            .packed = true, .size = size, .event_idx = true, .base = WRAP_BIT,
        };

        start(&o);
        driver.driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
        CHECK(virtq_wants_call(&vq));
        CHECK(!virtq_wants_call(&vq));
        for (unsigned int round = 0; round < 8 * size; round++) {
            for (unsigned int n = 1; n <= size; n++) {
                unsigned int cuts = round & ((1u << n) - 1);

                for (unsigned int event = 0; event < 2 * size; event++) {
                    /* The wrap counter of this position, which counts only
                     * every other time. */
                    bool wrap = event / size;
                    unsigned int now = (driver.next_avail
                                        + (driver.avail_wrap ? size : 0));
                    unsigned int ahead = (event + 2 * size - now)
                                         % (2 * size);

                    driver.driver_event->off_wrap = event % size | wrap << 15;
                    pass_buffers(n, cuts);
                    CHECK_INT(virtq_wants_call(&vq), ahead < n);
                    CHECK(!virtq_wants_call(&vq));
                    get_all();
                }
            }
            /* To the next index. */
            pass_buffers(1, 0);
            virtq_wants_call(&vq);
            get_all();
        }
        finish();
    }
}
VHOST_TEST(test_packed_calls, "virtq-packed-calls",
           "virtqueues: notifications, packed", 0);

/* Packed rings, with two chains of two descriptors each: only the first of
 * each is written, but the device has passed all four. */
static void
test_packed_chain_calls(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    enum { SIZE = 7 };
    struct driver_options o = {
        .packed = true, .size = SIZE, .event_idx = true, .base = WRAP_BIT,
    };

    start(&o);
    driver.driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
    virtq_wants_call(&vq);
    for (unsigned int i = 0; i < 8 * SIZE; i++) {
        static const struct driver_piece pieces[] = {
            { GUEST_START, 1 }, { GUEST_START, 1 }
        };
        unsigned int ahead = i % (2 * SIZE);
        unsigned int event = (driver.next_avail
                              + (driver.avail_wrap ? 0 : SIZE) + ahead);
        bool wants_call, wrap = event / SIZE % 2 == 0;

        driver.driver_event->off_wrap = event % SIZE | wrap << 15;
        CHECK(driver_add(&driver, pieces, 2, false) >= 0);
        CHECK(driver_add(&driver, pieces, 2, false) >= 0);
        CHECK_INT(virtq_fetch(&vq, &burst, 64), 2);
        virtq_take(&vq, &burst, 2);
        virtq_return(&vq, burst.buffers, 2);
        wants_call = virtq_wants_call(&vq);
        CHECK(wants_call || (ahead != 0 && ahead != 2));
        CHECK(!wants_call || ahead < 4);
        get_all();
    }
    finish();
}
VHOST_TEST(test_packed_chain_calls, "virtq-packed-chain-calls",
           "virtqueues: notifications, packed chains", 0);

/* Notifications are wanted or not, whatever is where. */
static void
test_plain_calls(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        struct driver_options o = {
            .packed = i, .size = 4, .base = i ? WRAP_BIT : 65530,
        };

        start(&o);
        driver_want_call(&driver, false);
        CHECK(!virtq_wants_call(&vq));
        for (int j = 0; j < 40; j++) {
            driver_want_call(&driver, j % 3);
            CHECK(!virtq_wants_call(&vq));
            pass_buffers(1 + j % 4, j);
            CHECK_INT(virtq_wants_call(&vq), j % 3 != 0);
            CHECK(!virtq_wants_call(&vq));
            get_all();
        }
        if (o.packed) {
            /* Without VIRTIO_RING_F_EVENT_IDX, a position is not one. */
            driver.driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
            driver.driver_event->off_wrap = 3;
            pass_buffers(1, 0);
            CHECK(virtq_wants_call(&vq));
        }
        finish();
    }
}
VHOST_TEST(test_plain_calls, "virtq-plain-calls",
           "virtqueues: notifications, plain", 0);

/* Driver and device, step by step in every order.
 *
 * The driver fills the ring, gets all used buffers, asks for a notification,
 * looks once more and sleeps.  The device takes a buffer or all, returns them,
 * and looks whether it is to notify.  When the device has nothing left to do,
 * the driver must not sleep with used buffers in the ring. */

struct actors {
    enum { POLL, ASK, LOOK, SLEEP } driver;
    enum { FETCH, RETURN, CALL } device;
    bool greedy;                /* Does the device take all? */
    bool busy;                  /* Is there something for the device? */
    unsigned int n_sleeps;
};

static void
step_driver(struct actors *a)
{
    uint32_t written;
    bool got = false;

    switch (a->driver) {
    case POLL:
    case LOOK:
        while (driver_get(&driver, &written) >= 0) {
            got = true;
        }
        while (driver_add_simple(&driver, GUEST_START, 1) >= 0) {
            continue;
        }
        a->driver = got ? POLL : a->driver == POLL ? ASK : SLEEP;
        break;
    case ASK:
        driver_want_call(&driver, true);
        a->driver = LOOK;
        break;
    case SLEEP:
        a->n_sleeps++;
        break;
    }
}

static void
step_device(struct actors *a)
{
    switch (a->device) {
    case FETCH:
        a->busy = virtq_fetch(&vq, &burst, a->greedy ? 64 : 1) > 0;
        if (a->busy) {
            virtq_take(&vq, &burst, burst.n_buffers);
            a->device = RETURN;
        }
        break;
    case RETURN:
        virtq_return(&vq, burst.buffers, burst.n_buffers);
        a->device = CALL;
        break;
    case CALL:
        if (virtq_wants_call(&vq) && a->driver == SLEEP) {
            a->driver = POLL;
        }
        a->device = FETCH;
        break;
    }
}

static void
test_interleavings(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    enum { N_STEPS = 12 };
    unsigned int n_sleeps = 0;

    for (int i = 0; i < 2 * 2 * 2 * 3; i++) {
        unsigned int size = 1 + i / 8;
        bool packed = i & 1;
        struct driver_options o = {
            .packed = packed, .event_idx = i & 2,
            .size = packed ? size : 1 << (size - 1),
            .base = packed ? size - 1 : 65535,
        };

        start_guest();
        for (unsigned int order = 0; order < 1 << N_STEPS; order++) {
            struct actors a = { .greedy = i & 4, .busy = true };
            struct virtq_config config;

            guest.next = GUEST_START;
            driver_init(&driver, &guest, &o);
            driver_want_call(&driver, false);
            config = driver_config(&driver);
            CHECK_STR(virtq_init(&vq, &config), NULL);
            virtq_wants_call(&vq);
            for (int step = 0; step < N_STEPS; step++) {
                if (order & 1u << step) {
                    step_driver(&a);
                } else {
                    step_device(&a);
                }
            }
            do {
                step_device(&a);
            } while (a.device != FETCH || a.busy);
            if (a.driver == SLEEP) {
                uint32_t written;

                CHECK_INT(driver_get(&driver, &written), -1);
            }
            n_sleeps += a.n_sleeps;
            driver_destroy(&driver);
        }
        guest_destroy(&guest);
    }
    /* Not all the time, but often. */
    CHECK(n_sleeps > 1000);
}
VHOST_TEST(test_interleavings, "virtq-interleavings",
           "virtqueues: notifications, in every order", 0);
