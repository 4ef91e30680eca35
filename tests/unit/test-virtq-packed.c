/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <linux/virtio_ring.h>

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
