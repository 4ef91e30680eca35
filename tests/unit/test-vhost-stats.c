/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-stats.h"

#include <string.h>

#include "netdev-provider.h"
#include "test-vhost.h"
#include "util.h"

static long long int
value_of(const struct netdev_custom_stats *custom, const char *name)
{
    for (int i = 0; i < custom->size; i++) {
        if (!strcmp(custom->counters[i].name, name)) {
            return custom->counters[i].value;
        }
    }
    return -1;
}

/* Each reason to drop is in rx_dropped or tx_dropped; what is no reason is
 * not. */
static void
test_drop_sums(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct vhost_vring_stats none = { .good_packets = 0 };
    struct netdev_custom_stats custom = { .size = 0 };
    struct vhost_counters counters;
    struct netdev_stats stats;

    memset(&counters, 0xff, sizeof counters);
    vhost_counters_init(&counters, "vhu0");
    CHECK_STR(counters.port, "vhu0");
    vhost_stats_add_counters(&counters, &custom);
    for (int i = 0; i < custom.size; i++) {
        CHECK_INT(custom.counters[i].value, 0);
    }
    netdev_free_custom_stats_counters(&custom);

    vhost_count(&counters, tx_retries, 1);
    vhost_count(&counters, rx_no_mbuf_events, 2);
    vhost_count(&counters, rx_ring_faults, 4);
    vhost_count(&counters, rx_qos_drops, 8);
    vhost_count(&counters, tx_failure_drops, 16);
    vhost_count(&counters, tx_mtu_exceeded_drops, 32);
    vhost_count(&counters, tx_qos_drops, 64);
    vhost_count(&counters, tx_invalid_hwol_drops, 128);
    vhost_count(&counters, tx_disconnected_drops, 256);
    vhost_count(&counters, tx_no_mbuf_drops, 512);
    vhost_count(&counters, tx_small_buffer_drops, 1024);
    vhost_count(&counters, tx_held, 2048);
    vhost_count(&counters, tx_held_drops, 4096);
    vhost_count(&counters, rx_runt_drops, 8192);
    vhost_count(&counters, rx_oversize_drops, 16384);
    vhost_count(&counters, rx_invalid_hwol_drops, 32768);
    vhost_count(&counters, rx_completed_csums, 65536);
    vhost_count(&counters, tx_ring_faults, 131072);
    vhost_stats_to_netdev(&none, &none, &counters, &stats);
    CHECK_INT(stats.rx_dropped, 8 + 8192 + 16384 + 32768);
    CHECK_INT(stats.tx_dropped,
              16 + 32 + 64 + 128 + 256 + 512 + 1024 + 4096);
    CHECK_INT(stats.rx_errors + stats.tx_errors, 0);

    vhost_stats_add_counters(&counters, &custom);
    CHECK_INT(value_of(&custom, "ovs_tx_retries"), 1);
    CHECK_INT(value_of(&custom, "ovs_rx_no_mbuf_events"), 2);
    CHECK_INT(value_of(&custom, "ovs_rx_ring_faults"), 4);
    CHECK_INT(value_of(&custom, "ovs_rx_qos_drops"), 8);
    CHECK_INT(value_of(&custom, "ovs_tx_failure_drops"), 16);
    CHECK_INT(value_of(&custom, "ovs_tx_mtu_exceeded_drops"), 32);
    CHECK_INT(value_of(&custom, "ovs_tx_qos_drops"), 64);
    CHECK_INT(value_of(&custom, "ovs_tx_invalid_hwol_drops"), 128);
    CHECK_INT(value_of(&custom, "ovs_tx_disconnected_drops"), 256);
    CHECK_INT(value_of(&custom, "ovs_tx_no_mbuf_drops"), 512);
    CHECK_INT(value_of(&custom, "ovs_tx_held"), 2048);
    CHECK_INT(value_of(&custom, "ovs_tx_ring_faults"), 131072);
    netdev_free_custom_stats_counters(&custom);
}
VHOST_TEST(test_drop_sums, "stats-drop-sums",
           "statistics: reasons to drop", 0);

/* What virtqueues counted, by the names that librte_vhost gives it, for each
 * virtqueue and in sum. */
static void
test_vrings(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev_custom_stats custom = { .size = 0 };
    struct vhost_vring_stats rx, tx, other;
    struct vhost_counters counters;
    struct netdev_stats stats;

    memset(&rx, 0, sizeof rx);
    memset(&tx, 0, sizeof tx);
    memset(&other, 0, sizeof other);
    CHECK(vhost_vring_stats_set(&rx, "rx_q0_good_packets", 5));
    CHECK(vhost_vring_stats_set(&rx, "rx_q127_undersize_packets", 1));
    CHECK(vhost_vring_stats_set(&rx, "rx_q0_size_64_packets", 2));
    CHECK(vhost_vring_stats_set(&rx, "rx_q0_multicast_packets", 3));
    CHECK(vhost_vring_stats_set(&other, "good_packets", 20));
    CHECK(vhost_vring_stats_set(&other, "size_1519_max_packets", 30));
    CHECK(!vhost_vring_stats_set(&rx, "rx_q0_good", 9));
    CHECK(!vhost_vring_stats_set(&rx, "rx_q0_", 9));
    CHECK(!vhost_vring_stats_set(&rx, "rx_q0", 9));
    CHECK(!vhost_vring_stats_set(&rx, "", 9));
    CHECK_INT(rx.good_packets, 5);
    vhost_vring_stats_add(&rx, &other);
    CHECK_INT(rx.good_packets, 25);
    CHECK_INT(other.good_packets, 20);
    CHECK(vhost_vring_stats_set(&tx, "tx_q0_good_bytes", 77));

    vhost_counters_init(&counters, NULL);
    vhost_stats_to_netdev(&rx, &tx, &counters, &stats);
    CHECK_INT(stats.rx_packets, 25);
    CHECK_INT(stats.multicast, 3);
    CHECK_INT(stats.rx_1_to_64_packets, 3);
    CHECK_INT(stats.rx_1523_to_max_packets, 30);
    CHECK_INT(stats.tx_packets, 0);
    CHECK_INT(stats.tx_bytes, 77);
    CHECK(stats.rx_crc_errors == UINT64_MAX);

    /* Odd virtqueues are the switch's receive queues. */
    vhost_stats_add_vring(7, &rx, &custom);
    vhost_stats_add_vring(254, &tx, &custom);
    CHECK_INT(custom.size, 2 * VHOST_N_VRING_STATS);
    CHECK_INT(value_of(&custom, "rx_q3_good_packets"), 25);
    CHECK_INT(value_of(&custom, "rx_q3_size_1519_max_packets"), 30);
    CHECK_INT(value_of(&custom, "tx_q127_good_bytes"), 77);
    CHECK_INT(value_of(&custom, "tx_q127_good_packets"), 0);
    netdev_free_custom_stats_counters(&custom);
}
VHOST_TEST(test_vrings, "stats-vrings", "statistics: of virtqueues", 0);
