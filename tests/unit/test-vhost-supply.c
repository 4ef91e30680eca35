/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "stub-memory.h"
#include "test-vhost.h"
#include "timeval.h"
#include "vhost-numa.h"
#include "vhost-supply.h"

/* A guest with 'n' queue pairs on 'node' is there.  Returns true if the
 * port is to take what it wants. */
static bool
want(struct vhost_supply *supply, unsigned int n, int node)
{
    vhost_supply_arrive(supply, node);
    return vhost_supply_want(supply, n, n, 4);
}

/* The port takes 'n' queues on 'node'. */
static void
check_taken(struct vhost_supply *supply, unsigned int n, int node)
{
    struct vhost_demand demand;

    vhost_supply_take(supply, &demand);
    CHECK_INT(demand.n_rxqs, n);
    CHECK_INT(demand.n_txqs, n);
    CHECK_INT(demand.node, node);
}

static void
test_queues(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_supply supply;

    stub_memory.time = time_msec();
    vhost_supply_init(&supply);
    CHECK(!vhost_supply_is_due(&supply));
    check_taken(&supply, 1, VHOST_NODE_UNKNOWN);

    /* More comes at once, and all of it... */
    CHECK(want(&supply, 2, 0));
    check_taken(&supply, 4, 0);
    CHECK(!want(&supply, 4, 0));

    /* ...less after a while, during which nobody has to look. */
    CHECK(!want(&supply, 1, 0));
    check_taken(&supply, 4, 0);
    stub_memory.time += VHOST_SETTLE_TIME - 1;
    CHECK(!vhost_supply_is_due(&supply));
    stub_memory.time += 1;
    CHECK(vhost_supply_is_due(&supply));
    check_taken(&supply, 1, 0);
    CHECK(!vhost_supply_is_due(&supply));

    /* The same for the guest itself. */
    vhost_supply_leave(&supply);
    CHECK(!vhost_supply_is_due(&supply));
    stub_memory.time += VHOST_SETTLE_TIME;
    CHECK(vhost_supply_is_due(&supply));
    check_taken(&supply, 1, 0);
    CHECK(!supply.taken.has_guest);
    CHECK(want(&supply, 1, 0));
    vhost_supply_destroy(&supply);
}
VHOST_TEST(test_queues, "supply-queues", "supply: queues", 0);

/* A guest that changes nodes all the time is followed, but does not keep the
 * datapath busy. */
static void
test_moves(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_supply supply;
    int n, node = 0;

    stub_memory.time = time_msec();
    vhost_supply_init(&supply);
    for (n = 0; want(&supply, 1, !node) && n < 100; n++) {
        node = !node;
        check_taken(&supply, 1, node);
    }
    CHECK_INT(n, VHOST_MAX_MOVES);

    /* Other changes do not move it... */
    check_taken(&supply, 1, node);
    CHECK(want(&supply, 2, !node));
    check_taken(&supply, 4, node);

    /* ...nor does its return; time does. */
    CHECK(!want(&supply, 4, node));
    CHECK(!want(&supply, 4, !node));
    stub_memory.time += VHOST_MOVE_TIME - 1;
    CHECK(!vhost_supply_is_due(&supply));
    stub_memory.time += 1;
    CHECK(vhost_supply_is_due(&supply));
    CHECK(vhost_supply_is_due(&supply));
    check_taken(&supply, 4, !node);
    CHECK(!vhost_supply_is_due(&supply) && !want(&supply, 4, node));

    /* A guest that has gone is not followed. */
    stub_memory.time += VHOST_MOVE_TIME;
    vhost_supply_leave(&supply);
    CHECK(!vhost_supply_is_due(&supply));

    /* One that moves now and then is followed each time. */
    for (int i = 0; i < 100; i++) {
        stub_memory.time += VHOST_MOVE_TIME;
        CHECK(want(&supply, 4, node) || supply.taken.node == node);
        check_taken(&supply, 4, node);
        node = !node;
    }
    vhost_supply_destroy(&supply);
}
VHOST_TEST(test_moves, "supply-moves", "supply: moves to another node", 0);
