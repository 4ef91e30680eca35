/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "netdev-provider.h"
#include "session-fixture.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-numa.h"
#include "vhost-session.h"

static void
test_txq_map(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 4);

    /* Four queues serve as many of the switch's as there may be. */
    for (int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        CHECK_INT(txq_target(session, i), i % 4);
    }

    /* Holes are spread over those that are left. */
    guest_set_vring(vid, 2, false);
    CHECK_INT(txq_target(session, 0), 0);
    CHECK_INT(txq_target(session, 1), 0);
    CHECK_INT(txq_target(session, 2), 2);
    CHECK_INT(txq_target(session, 3), 3);
    CHECK_INT(txq_target(session, 4), 2);
    CHECK_INT(txq_target(session, 5), 3);
    guest_set_vring(vid, 0, false);
    CHECK_INT(txq_target(session, 0), 2);
    CHECK_INT(txq_target(session, 1), 3);
    CHECK_INT(txq_target(session, 2), 2);

    /* None is left. */
    guest_set_vring(vid, 4, false);
    guest_set_vring(vid, 6, false);
    for (int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        CHECK_INT(txq_target(session, i), -1);
    }
    guest_set_vring(vid, 6, true);
    CHECK_INT(txq_target(session, 0), 3);

    /* Receive queues have no part in it. */
    guest_set_vring(vid, 7, false);
    CHECK_INT(txq_target(session, 3), 3);

    close_last_session(session);
}
VHOST_TEST(test_txq_map, "session-txq-map",
           "session: queues with holes", TEST_DPDK);

static void
test_node(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const int nodes[] = { 0, 1, 1, 1, 0, 2 };
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(vhost_session_path(session));

    /* Most of the rings that are there when the device starts decide. */
    stub_memory.n_nodes = 3;
    for (int i = 0; i < 6; i++) {
        guest_set_node(vid, i, nodes[i]);
    }
    guest_set_vring(vid, 2, true);
    guest_set_vring(vid, 3, true);
    guest_set_vring(vid, 4, true);
    guest_start(vid, 3);
    CHECK_INT(vhost_session_device(session)->node, 1);
    CHECK_INT(stub_memory.last_block_node, 1);
    check_demand(session, true, 3, 3, 1);
    CHECK_LOGGED("has been added on numa node 1");
    CHECK(reconfigure(fixture_netdev));

    guest_stop(vid);
    for (int i = 0; i < 6; i++) {
        guest_set_node(vid, i, 2);
    }
    guest_start(vid, 3);
    CHECK(netdev_is_reconf_required(fixture_netdev));
    check_demand(session, true, 3, 3, 2);
    guest_disconnect(vid);

    /* Nobody knows. */
    vid = guest_connect(vhost_session_path(session));
    guest_set_node(vid, 0, -1);
    guest_set_node(vid, 1, -1);
    guest_start(vid, 1);
    CHECK(guest_is_running(vid));
    CHECK_INT(vhost_session_device(session)->node, VHOST_NODE_UNKNOWN);
    CHECK_INT(stub_memory.last_block_node, -1);
    CHECK_INT(vhost_numa_node_of(NULL), VHOST_NODE_UNKNOWN);

    close_last_session(session);
}
VHOST_TEST(test_node, "session-node",
           "session: NUMA node of the guest", TEST_DPDK);
