/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "test-vhost.h"
#include "util.h"
#include "virtq-driver.h"
#include "virtq-fixture.h"
#include "virtq.h"

static void
test_transfer(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const unsigned int sizes[] = { 1, 2, 4, 256, 32768 };

    for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
        transfer_all(false, sizes[i], 0);
        transfer_all(false, sizes[i], 65536 - sizes[i] / 2);
    }
}
VHOST_TEST(test_transfer, "virtq-split-transfer", "virtqueues: split", 0);

/* All indices of a split ring, once round, which the sizes above do not
 * reach. */
static void
test_indices(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct shape shape = { 1, false, false };
    struct driver_options o = { .size = 64, .base = 65000 };

    start_virtq(&o);
    transfer(&shape, 70000);
    finish_virtq();
}
VHOST_TEST(test_indices, "virtq-indices", "virtqueues: all indices", 0);

/* Split rings: every size up to 8, every number of entries, returned in every
 * way, every position before the index's wrap-around, every event. */
static void
test_split_calls(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (unsigned int size = 1; size <= 8; size *= 2) {
        struct driver_options o = {
            .size = size, .event_idx = true, .base = 65536 - 2 * size,
        };

        start_virtq(&o);
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
        finish_virtq();
    }
}
VHOST_TEST(test_split_calls, "virtq-split-calls",
           "virtqueues: notifications, split", 0);

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

    start_virtq(&o);
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
    finish_virtq();
}
VHOST_TEST(test_out_of_order, "virtq-out-of-order",
           "virtqueues: split, out of order at the end", 0);
