/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_net.h>

#include "netdev-provider.h"
#include "port-fixture.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "svec.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-mempool.h"
#include "vhost-supply.h"

/* Connects a guest with 'features' and checks whether the port has enough of
 * them for 'mtu'. */
static void
check_jumbo_frames(struct netdev *netdev, int mtu, uint64_t features,
                   bool enough)
{
    int vid = guest_connect(path_of("s0"));
    uint64_t seq;

    CHECK_INT(netdev_set_mtu(netdev, mtu), 0);
    guest_set_features(vid, features);
    guest_start(vid, 1);
    reconfigure(netdev);
    forget_log();
    seq = netdev_get_change_seq(netdev);
    pass_time(1000);
    CHECK_INT(netdev_get_change_seq(netdev) != seq, !enough);
    if (enough) {
        CHECK_NOT_LOGGED("mergeable");
        CHECK_STR(status_of(netdev, "jumbo_frames"), NULL);
    } else {
        CHECK_LOGGED("vhu0: the MTU is 9000, but the guest has no mergeable");
        CHECK_HAS(status_of(netdev, "jumbo_frames"),
                  "the guest has no mergeable receive buffers");
        forget_log();
        pass_time(1000);
        CHECK_NOT_LOGGED("mergeable");
    }
    guest_disconnect(vid);
    pass_time(1000);
}

static void
test_jumbo_frames(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));

    check_jumbo_frames(netdev, 1500, 0, true);
    check_jumbo_frames(netdev, 9000, 0, false);
    check_jumbo_frames(netdev, 9000,
                       UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF, true);
    check_jumbo_frames(netdev, 9000,
                       UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4, true);
    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_jumbo_frames, "port-jumbo-frames",
           "port: jumbo frames", TEST_DPDK);

/* Lets the ports be looked at once to see what is where. */
static void
look_at_placement(void)
{
    pass_time(1000);
    pass_time(1000);
}

static void
test_placement(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));

    /* What is remote at one look may have been on its way... */
    stub_memory.n_free_mbufs[0] = 0;
    attach_guest(path_of("s0"), 1);
    CHECK(reconfigure(netdev));
    look_at_placement();
    CHECK_STR(status_of(netdev, "placement"), NULL);
    look_at_placement();
    CHECK_HAS(status_of(netdev, "placement"), "there is no memory for any");
    CHECK_LOGGED("vhu0: placement: the guest is on NUMA node 0");

    /* ...but what is local has arrived. */
    stub_memory.n_free_mbufs[0] = vhost_mempool_size(64);
    retry_pools();
    CHECK(reconfigure(netdev));
    look_at_placement();
    CHECK_STR(status_of(netdev, "placement"), "local");

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_placement, "port-placement", "port: placement", TEST_DPDK);

/* Checks that 'netdev' has these keys in its status, separated by spaces. */
static void
check_status_keys(const struct netdev *netdev, const char *keys)
{
    char *copy = xstrdup(keys), *save_ptr;

    for (char *key = strtok_r(copy, " ", &save_ptr); key;
         key = strtok_r(NULL, " ", &save_ptr)) {
        if (!status_of(netdev, key)) {
            ovs_fatal(0, "no \"%s\" in status", key);
        }
    }
    free(copy);
}

/* Checks that 'netdev' shows nothing of a guest. */
static void
check_no_guest(const struct netdev *netdev)
{
    static const char *const keys[] = {
        "data_path", "features", "mtu", "numa", "num_of_vrings",
        "vring_0_size", "n_rxq", "n_txq", "mempool", "mempool_numa",
        "mempool_mbufs", "memory",
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        CHECK_STR(status_of(netdev, keys[i]), NULL);
    }
    CHECK_STR(status_of(netdev, "status"), "disconnected");
}

static void
test_status(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdevs[2];

    init_config(NULL);
    netdevs[0] = open_client("vhu0", path_of("vhu0"));
    netdevs[1] = open_port("vhu1", "dpdkvhostuser");
    CHECK(reconfigure(netdevs[1]));
    CHECK_STR(status_of(netdevs[0], "mode"), "client");
    CHECK_STR(status_of(netdevs[1], "mode"), "server");
    for (int i = 0; i < 2; i++) {
        struct netdev *netdev = netdevs[i];
        int vid;

        check_no_guest(netdev);
        CHECK_STR(status_of(netdev, "socket"),
                  path_of(netdev_get_name(netdev)));

        vid = guest_connect(path_of(netdev_get_name(netdev)));
        guest_set_features(vid, UINT64_C(1) << VIRTIO_NET_F_MTU);
        guest_set_mtu(vid, 1280);
        guest_start(vid, 2);
        CHECK(reconfigure(netdev));
        check_status_keys(netdev, "data_path features mempool mempool_mbufs "
                          "mempool_numa mode mtu n_rxq n_txq num_of_vrings "
                          "numa socket status vring_0_size vring_1_size "
                          "vring_2_size vring_3_size");
        CHECK_STR(status_of(netdev, "memory"), NULL);
        CHECK_STR(status_of(netdev, "config_error"), NULL);
        CHECK_STR(status_of(netdev, "ring_fault"), NULL);
        CHECK_STR(status_of(netdev, "status"), "connected");
        CHECK_STR(status_of(netdev, "features"), "0x0000000000000008");
        CHECK_STR(status_of(netdev, "data_path"), "librte_vhost");
        CHECK_STR(status_of(netdev, "mtu"), "1280");
        CHECK_STR(status_of(netdev, "n_rxq"), "2");
        CHECK_STR(status_of(netdev, "n_txq"), "2");
        CHECK_STR(status_of(netdev, "num_of_vrings"), "4");
        CHECK_STR(status_of(netdev, "numa"), "0");
        CHECK_STR(status_of(netdev, "vring_3_size"), "256");
        CHECK_STR(status_of(netdev, "mempool_numa"), "0");

        /* What is not known is not shown. */
        guest_disconnect(vid);
        vid = guest_connect(path_of(netdev_get_name(netdev)));
        guest_set_node(vid, 0, -1);
        guest_set_node(vid, 1, -1);
        guest_start(vid, 1);
        reconfigure(netdev);
        CHECK_STR(status_of(netdev, "mtu"), NULL);
        CHECK_STR(status_of(netdev, "numa"), NULL);

        guest_disconnect(vid);
        pass_time(VHOST_SETTLE_TIME);
        CHECK(reconfigure(netdev));
        check_no_guest(netdev);
        netdev_close(netdev);
    }
    check_all_closed();
}
VHOST_TEST(test_status, "port-status", "port: status", TEST_DPDK);

static char *
custom_names(const struct netdev *netdev)
{
    struct svec names = SVEC_EMPTY_INITIALIZER;
    struct netdev_custom_stats custom;
    char *s;

    CHECK_INT(netdev_get_custom_stats(netdev, &custom), 0);
    for (int i = 0; i < custom.size; i++) {
        svec_add(&names, custom.counters[i].name);
    }
    s = svec_join(&names, " ", "");
    svec_destroy(&names);
    netdev_free_custom_stats_counters(&custom);
    return s;
}

#define PORT_NAMES                                                          \
    "ovs_tx_retries ovs_tx_failure_drops ovs_tx_mtu_exceeded_drops "        \
    "ovs_tx_qos_drops ovs_rx_qos_drops ovs_tx_invalid_hwol_drops "          \
    "ovs_tx_disconnected_drops ovs_tx_no_mbuf_drops "                       \
    "ovs_tx_small_buffer_drops ovs_tx_held ovs_tx_held_drops "              \
    "ovs_rx_runt_drops ovs_rx_oversize_drops "                              \
    "ovs_rx_invalid_hwol_drops ovs_rx_completed_csums "                     \
    "ovs_rx_no_mbuf_events ovs_rx_ring_faults ovs_tx_ring_faults"
#define QUEUE_NAMES(Q)                                                      \
    " " Q "good_packets " Q "good_bytes " Q "multicast_packets "            \
    Q "broadcast_packets " Q "undersize_packets " Q "size_64_packets "      \
    Q "size_65_127_packets " Q "size_128_255_packets "                      \
    Q "size_256_511_packets " Q "size_512_1023_packets "                    \
    Q "size_1024_1518_packets " Q "size_1519_max_packets "                  \
    Q "guest_notifications " Q "iotlb_hits " Q "iotlb_misses "              \
    Q "inflight_submitted " Q "inflight_completed" NEW_QUEUE_NAMES(Q)
#if VHOST_HAS_NEW_VRING_STATS
#define NEW_QUEUE_NAMES(Q)                                                  \
    " " Q "guest_notifications_offloaded " Q "guest_notifications_error "   \
    Q "guest_notifications_suppressed " Q "mbuf_alloc_failed"
#else
#define NEW_QUEUE_NAMES(Q) ""
#endif

static void
test_stats(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint8_t broadcast[60] = { 255, 255, 255, 255, 255, 255 };
    static const uint8_t multicast[64] = { 1 };
    static const uint8_t other[2000] = { 2 };
    struct netdev *netdevs[2];

    init_config(NULL);
    netdevs[0] = open_client("vhu0", path_of("vhu0"));
    netdevs[1] = open_port("vhu1", "dpdkvhostuser");
    CHECK(reconfigure(netdevs[1]));
    for (int i = 0; i < 2; i++) {
        struct netdev *netdev = netdevs[i];
        struct netdev_stats stats;
        char *names;
        int vid;

        names = custom_names(netdev);
        CHECK_STR(names, PORT_NAMES);
        free(names);
        CHECK_INT(netdev_get_stats(netdev, &stats), 0);
        CHECK_INT(stats.rx_packets, 0);
        CHECK_INT(stats.tx_bytes, 0);
        CHECK_INT(stats.rx_dropped, 0);
        CHECK_INT(stats.rx_errors, 0);
        CHECK_INT(stats.tx_errors, 0);
        CHECK(stats.rx_crc_errors == UINT64_MAX);

        vid = attach_guest(path_of(netdev_get_name(netdev)), 2);
        CHECK(reconfigure(netdev));
        names = custom_names(netdev);
        CHECK_STR(names, PORT_NAMES QUEUE_NAMES("tx_q0_")
                  QUEUE_NAMES("rx_q0_") QUEUE_NAMES("tx_q1_")
                  QUEUE_NAMES("rx_q1_"));
        free(names);

        guest_send(vid, 1, broadcast, 60);
        guest_send(vid, 1, multicast, 64);
        guest_send(vid, 1, other, 127);
        guest_send(vid, 1, other, 255);
        guest_send(vid, 1, other, 511);
        guest_send(vid, 1, other, 1023);
        guest_send(vid, 1, other, 1518);
        guest_send(vid, 1, other, 1519);
        receive_from(netdev, 8);
        send_to(netdev, 0, 60);
        send_to(netdev, 0, 128);
        send_to(netdev, 1, 256);
        send_to(netdev, 2, 512);
        send_to(netdev, 3, 1024);

        CHECK_INT(netdev_get_stats(netdev, &stats), 0);
        CHECK_INT(stats.rx_packets, 8);
        CHECK_INT(stats.rx_bytes,
                  60 + 64 + 127 + 255 + 511 + 1023 + 1518 + 1519);
        CHECK_INT(stats.multicast, 1);
        CHECK_INT(stats.rx_broadcast_packets, 1);
        CHECK_INT(stats.rx_1_to_64_packets, 2);
        CHECK_INT(stats.rx_65_to_127_packets, 1);
        CHECK_INT(stats.rx_128_to_255_packets, 1);
        CHECK_INT(stats.rx_256_to_511_packets, 1);
        CHECK_INT(stats.rx_512_to_1023_packets, 1);
        CHECK_INT(stats.rx_1024_to_1522_packets, 1);
        CHECK_INT(stats.rx_1523_to_max_packets, 1);
        CHECK_INT(stats.tx_packets, 5);
        CHECK_INT(stats.tx_bytes, 60 + 128 + 256 + 512 + 1024);
        CHECK_INT(stats.tx_1_to_64_packets, 1);
        CHECK_INT(stats.tx_65_to_127_packets, 0);
        CHECK_INT(stats.tx_128_to_255_packets, 1);
        CHECK_INT(stats.tx_256_to_511_packets, 1);
        CHECK_INT(stats.tx_512_to_1023_packets, 1);
        CHECK_INT(stats.tx_1024_to_1522_packets, 1);
        CHECK_INT(stats.tx_1523_to_max_packets, 0);
        CHECK_INT(stats.tx_multicast_packets, 0);
        CHECK_INT(stats.tx_broadcast_packets, 0);
        CHECK_INT(counter_of(netdev, "rx_q0_good_packets"), 8);
        CHECK_INT(counter_of(netdev, "rx_q0_undersize_packets"), 1);
        CHECK_INT(counter_of(netdev, "rx_q0_size_64_packets"), 1);
        CHECK_INT(counter_of(netdev, "rx_q0_size_1519_max_packets"), 1);
        CHECK_INT(counter_of(netdev, "rx_q0_broadcast_packets"), 1);
        CHECK_INT(counter_of(netdev, "rx_q1_good_packets"), 0);
        CHECK_INT(counter_of(netdev, "tx_q0_good_packets"), 3);
        CHECK_INT(counter_of(netdev, "tx_q1_good_bytes"), 256 + 1024);

        /* With and after the guest's end. */
        guest_disconnect(vid);
        pass_time(VHOST_SETTLE_TIME);
        CHECK(reconfigure(netdev));
        CHECK_INT(netdev_get_stats(netdev, &stats), 0);
        CHECK_INT(stats.rx_packets, 8);
        CHECK_INT(stats.tx_packets, 5);

        /* All that is dropped is in the sum. */
        send_to(netdev, 0, 60);
        CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 1);
        CHECK_INT(netdev_get_stats(netdev, &stats), 0);
        CHECK_INT(stats.tx_dropped, 1);
        netdev_close(netdev);
    }
    check_all_closed();
}
VHOST_TEST(test_stats, "port-stats", "port: statistics", TEST_DPDK);
