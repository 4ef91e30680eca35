/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Virtqueues that an honest driver uses.  test-virtq-hostile.c has others. */

#include <config.h>
#undef NDEBUG

#include <string.h>

#include <linux/virtio_ring.h>

#include "guest-memory.h"
#include "test-vhost.h"
#include "util.h"
#include "virtq-driver.h"
#include "virtq-fixture.h"
#include "virtq.h"

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

        start_virtq(&o);
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
        finish_virtq();
    }
}
VHOST_TEST(test_init, "virtq-init", "virtqueues: what is refused", 0);

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

        start_virtq(&o);
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
        finish_virtq();
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
        start_virtq(&o);
        for (int j = 0; j < 5; j++) {
            CHECK(driver_add(&driver, pieces, 101, indirect) >= 0);
        }
        for (unsigned int left = 5; left; left -= MIN(left, 2)) {
            take(MIN(left, 2), 1);
            CHECK_INT(burst.buffers[0].len, 60);
            virtq_return(&vq, burst.buffers, burst.n_buffers);
        }
        finish_virtq();
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

        start_virtq(&o);
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

        start_virtq(&o);
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
        finish_virtq();
    }
}
VHOST_TEST(test_resume, "virtq-resume", "virtqueues: stopped and resumed", 0);

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

        start_virtq(&o);
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
        finish_virtq();
    }
}
VHOST_TEST(test_log, "virtq-log", "virtqueues: dirty log", 0);

/* Notifications.
 *
 * virtio 1.2, 2.7.7.2 and 2.8.10: with VIRTIO_RING_F_EVENT_IDX, the device
 * must notify if it has put an entry where the driver says, and should not
 * otherwise. */

/* Notifications are wanted or not, whatever is where. */
static void
test_plain_calls(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        struct driver_options o = {
            .packed = i, .size = 4, .base = i ? WRAP_BIT : 65530,
        };

        start_virtq(&o);
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
        finish_virtq();
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
