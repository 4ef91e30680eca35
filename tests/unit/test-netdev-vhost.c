/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "port-fixture.h"
#include "rxtx-fixture.h"
#include "smap.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-device.h"
#include "vhost-port.h"

static void
test_send(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    enum netdev_flags flags;

    start_port(3, 0);
    send_n(0, 1, 60);
    check_received(0, 1, 60);
    send_n(1, NETDEV_MAX_BURST, 1500);
    check_received(2, NETDEV_MAX_BURST, 1500);

    /* More queues in the switch than in the guest, and a hole. */
    send_n(5, 2, 100);
    check_received(4, 2, 100);
    guest_set_vring(vid, 2, false);
    send_n(1, 2, 100);
    check_received(0, 2, 100);
    send_n(VHOST_MAX_QUEUE_PAIRS, 1, 100);
    check_received(0, 1, 100);

    /* Once for each queue of the guest. */
    CHECK_INT(stub_vhost.n_suppressions, 3);

    /* Nobody is there to take it: down, no queue, no device. */
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 0);
    CHECK_INT(vhost_port_update_flags(port, NETDEV_UP, 0, &flags), 0);
    send_n(0, 1, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 1);
    CHECK_INT(vhost_port_update_flags(port, 0, NETDEV_UP, &flags), 0);
    guest_set_vring(vid, 0, false);
    guest_set_vring(vid, 4, false);
    send_n(0, 2, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 3);
    guest_stop(vid);
    send_n(0, 4, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 7);
    guest_start(vid, 1);
    send_n(0, 1, 60);
    check_received(0, 1, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 7);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 0);
    finish_port();
}
VHOST_TEST(test_send, "rxtx-send", "packets: sent", TEST_DPDK);

/* The configuration of 'first' are its options, those that are not as
 * usual. */
static void
check_config_is_options(struct netdev *first)
{
    struct smap config = SMAP_INITIALIZER(&config);
    char *error;

    CHECK_INT(netdev_get_config(first, &config), 0);
    CHECK_INT(smap_count(&config), 1);
    CHECK_STR(smap_get(&config, "vhost-server-path"), path_of("s1"));
    CHECK_INT(set_options(first, &error, "vhost-server-path", path_of("s1"),
                          "tx-retries-max", "3", "vhost-iommu-support", "true",
                          "dq-zero-copy", "true", NULL), 0);
    CHECK_INT(netdev_get_config(first, &config), 0);
    CHECK_INT(smap_count(&config), 4);
    CHECK_STR(smap_get(&config, "tx-retries-max"), "3");
    CHECK_STR(smap_get(&config, "vhost-iommu-support"), "true");
    CHECK_STR(smap_get(&config, "dq-zero-copy"), "true");
    smap_destroy(&config);
}

static void
test_properties(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct eth_addr mac = ETH_ADDR_C(02,00,00,00,00,05);
    struct netdev *first = open_client("vhu0", path_of("s0"));
    struct netdev *other = open_client("vhu1", path_of("s1"));
    struct smap config = SMAP_INITIALIZER(&config);
    enum netdev_flags flags;
    struct eth_addr found;
    uint64_t seq;
    int ifindex;

    /* MTU: a frame of 9728 bytes with two VLAN tags and a check sum. */
    CHECK_INT(netdev_set_mtu(first, 67), EINVAL);
    CHECK_INT(netdev_set_mtu(first, 68), 0);
    CHECK_INT(netdev_set_mtu(first, 9728 - 14 - 8 - 4), 0);
    CHECK_INT(netdev_set_mtu(first, 9728 - 14 - 8 - 4 + 1), EINVAL);
    CHECK_LOGGED("vhu0: unsupported MTU 67");
    CHECK(reconfigure(first));
    CHECK_INT(netdev_set_mtu(first, 9702), 0);
    CHECK(!reconfigure(first));

    /* MAC address. */
    seq = netdev_get_change_seq(first);
    CHECK_INT(netdev_set_etheraddr(first, mac), 0);
    CHECK(netdev_get_change_seq(first) != seq);
    CHECK_INT(netdev_get_etheraddr(first, &found), 0);
    CHECK(eth_addr_equals(mac, found));
    seq = netdev_get_change_seq(first);
    CHECK_INT(netdev_set_etheraddr(first, mac), 0);
    CHECK(netdev_get_change_seq(first) == seq);

    /* Interface index. */
    ifindex = netdev_get_ifindex(first);
    CHECK(ifindex > 0 && ifindex < 1 << 24);
    CHECK_INT(netdev_get_ifindex(first), ifindex);
    CHECK(netdev_get_ifindex(other) != ifindex);

    /* Flags: the administrative state is the only one that there is. */
    CHECK_INT(netdev_get_flags(first, &flags), 0);
    CHECK_INT(flags, NETDEV_UP | NETDEV_PROMISC);
    CHECK_INT(vhost_port_update_flags(vhost_port_cast(first), 0,
                                      NETDEV_LOOPBACK, &flags), EINVAL);

    /* Configuration. */
    attach_guest(path_of("s1"), 3);
    CHECK(reconfigure(other));
    CHECK_INT(netdev_get_config(other, &config), 0);
    if (VHOST_CONFIG_IS_OPTIONS) {
        check_config_is_options(other);
    } else {
        CHECK_STR(smap_get(&config, "configured_rx_queues"), "3");
        CHECK_STR(smap_get(&config, "configured_tx_queues"), "3");
        CHECK_STR(smap_get(&config, "requested_rx_queues"), "3");
        CHECK_STR(smap_get(&config, "requested_tx_queues"), "3");
        CHECK_STR(smap_get(&config, "mtu"), "1500");
    }
    smap_destroy(&config);

    CHECK(netdev_is_pmd(first));
    CHECK_INT(netdev_get_numa_id(first), 0);
    netdev_close(first);
    netdev_close(other);
    check_all_closed();
}
VHOST_TEST(test_properties, "port-properties", "port: properties", TEST_DPDK);
