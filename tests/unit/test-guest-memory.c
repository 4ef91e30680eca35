/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "guest-memory.h"
#include "test-vhost.h"
#include "util.h"

static void
test_memory(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static uint8_t a[200], b[100];
    struct guest_memory m = { .n_regions = 0 };
    uint64_t address, len;

    /* What cannot be added. */
    CHECK(!guest_memory_add(&m, 0, 0, a));
    CHECK(!guest_memory_add(&m, UINT64_MAX, 2, a));
    CHECK(!guest_memory_add(&m, 0, 2, (void *) UINTPTR_MAX));
    CHECK_INT(m.n_regions, 0);
    CHECK(!guest_memory_at(&m, 0, 0));
    CHECK(!guest_memory_contains(&m, a, 0));

    CHECK(guest_memory_add(&m, 1000, 100, a + 100));
    CHECK(guest_memory_add(&m, 1100, 100, b));
    CHECK(guest_memory_add(&m, 900, 100, a));

    /* A range is in one region or not at all. */
    CHECK(guest_memory_at(&m, 1000, 100) == a + 100);
    CHECK(guest_memory_at(&m, 1099, 1) == a + 199);
    CHECK(guest_memory_at(&m, 1100, 100) == b);
    CHECK(guest_memory_at(&m, 900, 100) == a);
    CHECK(!guest_memory_at(&m, 1000, 101));
    CHECK(!guest_memory_at(&m, 1099, 2));
    CHECK(!guest_memory_at(&m, 899, 1));
    CHECK(!guest_memory_at(&m, 1200, 1));
    CHECK(!guest_memory_at(&m, 1000, UINT64_MAX));
    CHECK(!guest_memory_at(&m, 1050, UINT64_MAX - 1000));
    CHECK(!guest_memory_at(&m, UINT64_MAX, 1));

    /* Pieces end with their region. */
    len = 150;
    CHECK(guest_memory_piece(&m, 1010, &len) == a + 110);
    CHECK_INT(len, 90);
    len = UINT64_MAX;
    CHECK(guest_memory_piece(&m, 1199, &len) == b + 99);
    CHECK_INT(len, 1);
    len = 5;
    CHECK(guest_memory_piece(&m, 1100, &len) == b);
    CHECK_INT(len, 5);
    CHECK(!guest_memory_piece(&m, 1200, &len));
    CHECK(!guest_memory_piece(&m, 899, &len));

    /* The other way. */
    CHECK(guest_memory_contains(&m, b, 100));
    CHECK(guest_memory_contains(&m, b + 99, 1));
    CHECK(!guest_memory_contains(&m, b, 101));
    CHECK(!guest_memory_contains(&m, b + 1, UINT64_MAX));
    CHECK(!guest_memory_contains(&m, b + 100, 0));
    CHECK(!guest_memory_contains(&m, NULL, 1));
    CHECK(guest_memory_address_of(&m, a + 5, &address));
    CHECK_INT(address, 905);
    CHECK(guest_memory_address_of(&m, b + 99, &address));
    CHECK_INT(address, 1199);
    CHECK(!guest_memory_address_of(&m, b + 100, &address));

    /* The last bytes that there can be. */
    m.n_regions = 0;
    CHECK(guest_memory_add(&m, UINT64_MAX - 100, 100, a));
    CHECK(guest_memory_at(&m, UINT64_MAX - 1, 1) == a + 99);
    CHECK(!guest_memory_at(&m, UINT64_MAX - 1, 2));

    /* As many as there may be. */
    m.n_regions = 0;
    for (int i = 0; i < GUEST_MEMORY_MAX_REGIONS; i++) {
        CHECK(guest_memory_add(&m, i, 1, a + i));
    }
    CHECK(!guest_memory_add(&m, 100, 1, b));
    CHECK(guest_memory_at(&m, 7, 1) == a + 7);
}
VHOST_TEST(test_memory, "virtq-memory", "virtqueues: the guest's memory", 0);
