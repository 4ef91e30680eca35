/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <linux/virtio_ring.h>

#include "random.h"
#include "test-vhost.h"
#include "util.h"
#include "virtq-driver.h"
#include "virtq-fixture.h"
#include "virtq.h"

static void
test_transfer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const unsigned int sizes[] = { 1, 3, 7, 250, 32768 };

    for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
        transfer_all(true, sizes[i], WRAP_BIT);
        transfer_all(true, sizes[i], sizes[i] - 1);
    }
}
VHOST_TEST(test_transfer, "virtq-packed-transfer", "virtqueues: packed", 0);

/* The identifiers of buffers in a packed ring are the driver's alone: they
 * need not be less than the ring's size (virtio 1.2, 2.8.6). */
static void
test_ids(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint16_t ids[] = { 7, 8, 255, 32768, 65535, 0 };
    const struct driver_options o = {
        .packed = true, .size = 8, .base = WRAP_BIT
    };

    start_virtq(&o);
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
    finish_virtq();
}
VHOST_TEST(test_ids, "virtq-ids", "virtqueues: packed, any identifier", 0);

/* Packed rings: the same, with every index and wrap counter. */
static void
test_packed_calls(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (unsigned int size = 1; size <= 7; size++) {
        struct driver_options o = {
            .packed = true, .size = size, .event_idx = true, .base = WRAP_BIT,
        };

        start_virtq(&o);
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
        finish_virtq();
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

    start_virtq(&o);
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
    finish_virtq();
}
VHOST_TEST(test_packed_chain_calls, "virtq-packed-chain-calls",
           "virtqueues: notifications, packed chains", 0);

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
    start_virtq(&o);
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
    finish_virtq();
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

    start_virtq(&o);
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
    finish_virtq();
}
VHOST_TEST(test_find_base_hard, "virtq-find-base-hard",
           "virtqueues: packed, the position cannot be known", 0);
