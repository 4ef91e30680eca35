/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <linux/virtio_config.h>
#include <rte_cycles.h>
#include <rte_mempool.h>

#include "rxtx-fixture.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-hold.h"

/* Polls the port after 20 microseconds: packets that wait are looked at every
 * 10. */
static void
poll_for_held(void)
{
    uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 50000;

    while (rte_rdtsc() < end) {
        continue;
    }
    receive_n(0);
}

/* With an IOMMU, packets wait for the translation of addresses. */
static void
test_hold(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start_port(1, 0);
    guest_set_room(vid, 0, 0);
    send_n(0, 1, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 1);
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 0);

    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
    guest_start(vid, 1);

    /* They stay in their order, with those that come later. */
    guest_set_room(vid, 0, 2);
    send_n(0, 5, 60);
    check_received(0, 2, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 3);
    guest_set_room(vid, 0, 1);
    poll_for_held();
    check_received(0, 1, 60);
    send_n(0, 1, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 4);
    guest_set_room(vid, 0, 10);
    poll_for_held();
    check_received(0, 3, 60);
    send_n(0, 1, 90);
    check_received(0, 1, 90);
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 4);
    CHECK_INT(counter_of(netdev, "ovs_tx_held_drops"), 0);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 1);

    /* There is room for so many... */
    guest_set_room(vid, 0, 0);
    for (int i = 0; i < 9; i++) {
        send_n(0, 32, 60);
    }
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 4 + VHOST_HOLD_SIZE);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 1 + 32);

    /* ...and for so long. */
    stub_memory.tsc_divisor = 100000;
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_tx_held_drops"), VHOST_HOLD_SIZE);
    stub_memory.tsc_divisor = 1;
    guest_set_room(vid, 0, 10);
    send_n(0, 1, 70);
    check_received(0, 1, 70);

    /* What waits when the guest stops is dropped and counted. */
    guest_set_room(vid, 0, 0);
    send_n(0, 3, 60);
    guest_stop(vid);
    CHECK_INT(counter_of(netdev, "ovs_tx_held_drops"), VHOST_HOLD_SIZE + 3);
    guest_start(vid, 1);

    /* What waits when the port goes away is given back. */
    send_n(0, 3, 60);
    CHECK_INT(rte_mempool_in_use_count(port->mp), 3);
    close_port();
}
VHOST_TEST(test_hold, "rxtx-hold",
           "packets: waiting for an address", TEST_DPDK);
