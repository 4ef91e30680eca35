/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>

#include <rte_vhost.h>

#include "dp-packet.h"
#include "native-fixture.h"
#include "netdev-provider.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "vhost-rxtx.h"

/* A ring that is never empty, but from which no packet comes, because all are
 * dropped, has no fault. */

/* More polls than there are between two looks at an empty queue.  Time passes
 * so fast that these take more than a second. */
#define N_POLLS (4 * 4096)
#define TSC_DIVISOR 100000

static void
send_runts(void)
{
    uint32_t written;

    while (driver_get(&driver, &written) >= 0) {
        continue;
    }
    while (driver_add_simple(&driver, PAGE, hdr_len) >= 0) {
        continue;
    }
}

static void
test_native(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (size_t i = 0; i < N_FEATURES; i++) {
        struct dp_packet_batch batch;
        struct vhost_rx_params params = {
            .counters = &counters, .port = "vhu0",
        };
        const char *fault;

        stub_memory.tsc_divisor = 0;
        start(1, all_features[i], 256);
        stub_memory.tsc_divisor = TSC_DIVISOR;
        params.mp = pool->mp;
        for (int j = 0; j < N_POLLS; j++) {
            send_runts();
            dp_packet_batch_init(&batch);
            CHECK_INT(vhost_rx_burst(&device, q, &params, &batch, NULL),
                      EAGAIN);
        }
        CHECK(counters.rx_runt_drops >= 10000);
        CHECK_INT(counters.rx_ring_faults, 0);
        atomic_read_relaxed(&q->fault, &fault);
        CHECK_STR(fault, NULL);
        stop();
    }
    stub_memory.tsc_divisor = 0;
    finish();
}
VHOST_TEST(test_native, "false-fault-native",
           "packets: all are dropped, native", TEST_DPDK);

/* Polls receive queue 0 of 'netdev', of whose guest 'vid' librte_vhost drops
 * 'n_drops' packets at each poll. */
static void
poll_in_vain(struct netdev *netdev, int vid, int n_drops)
{
    struct netdev_rxq *rxq;

    CHECK_INT(netdev_rxq_open(netdev, &rxq, 0), 0);
    for (int i = 0; i < N_POLLS; i++) {
        struct dp_packet_batch batch;
        uint16_t avail, used;

        dp_packet_batch_init(&batch);
        CHECK_INT(netdev_rxq_recv(rxq, &batch, NULL), EAGAIN);
        CHECK_INT(rte_vhost_get_vring_base(vid, 1, &avail, &used), 0);
        CHECK_INT(rte_vhost_set_vring_base(vid, 1, avail + n_drops,
                                           used + n_drops), 0);
    }
    netdev_rxq_close(rxq);
}

static void
test_library(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint8_t packet[60];
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    int vid = guest_connect(path_of("s0"));

    guest_start(vid, 1);
    CHECK(reconfigure(netdev));
    stub_memory.tsc_divisor = TSC_DIVISOR;
    guest_send(vid, 1, packet, sizeof packet);
    guest_set_broken(vid, 1, true);
    poll_in_vain(netdev, vid, 1);
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 0);
    CHECK_STR(status_of(netdev, "ring_fault"), NULL);

    /* It stands, and goes on. */
    poll_in_vain(netdev, vid, 0);
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 1);
    CHECK_HAS(status_of(netdev, "ring_fault"), "its descriptors are invalid");
    poll_in_vain(netdev, vid, 1);
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 1);
    CHECK_STR(status_of(netdev, "ring_fault"), NULL);
    stub_memory.tsc_divisor = 0;

    netdev_close(netdev);
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}
VHOST_TEST(test_library, "false-fault-library",
           "packets: all are dropped, librte_vhost", TEST_DPDK);
