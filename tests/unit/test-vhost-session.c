/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "random.h"
#include "session-fixture.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-message.h"
#include "vhost-numa.h"
#include "vhost-session.h"
#include "vhost-supply.h"
#include "vhost-tally.h"

static void
check_demand(struct vhost_session *session, bool has_guest,
             unsigned int n_rxqs, unsigned int n_txqs, int node)
{
    struct vhost_demand demand;

    vhost_supply_take(vhost_session_supply(session), &demand);
    CHECK_INT(demand.has_guest, has_guest);
    CHECK_INT(demand.n_rxqs, n_rxqs);
    CHECK_INT(demand.n_txqs, n_txqs);
    CHECK_INT(demand.node, node);
}

static void
test_open(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session_config config = {
        .path = path_of("s0"), .library_data_path = true
    };
    struct vhost_session *session;
    char *error = NULL;

    fixture_netdev = open_port("port0", "dpdkvhostuserclient");
    session = vhost_session_open(&config, fixture_netdev, &error);
    CHECK(session && !error);
    CHECK_STR(vhost_session_path(session), config.path);
    CHECK(!vhost_session_is_client(session));
    CHECK(!vhost_session_device(session));
    check_demand(session, false, 1, 1, VHOST_NODE_UNKNOWN);
    CHECK_INT(stub_vhost.flags, RTE_VHOST_USER_LINEARBUF_SUPPORT
                                | RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS
                                | RTE_VHOST_USER_NET_STATS_ENABLE);
    CHECK_INT(stub_vhost.disabled_features,
              UINT64_C(1) << VIRTIO_NET_F_CSUM);
    vhost_session_close(session);
    vhost_session_close(NULL);
    CHECK(!vhost_session_device(NULL));

    config.client = config.iommu = config.postcopy = config.tso = true;
    session = vhost_session_open(&config, fixture_netdev, &error);
    CHECK(session && vhost_session_is_client(session));
    CHECK_INT(stub_vhost.flags, RTE_VHOST_USER_LINEARBUF_SUPPORT
                                | RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS
                                | RTE_VHOST_USER_NET_STATS_ENABLE
                                | RTE_VHOST_USER_CLIENT
                                | RTE_VHOST_USER_IOMMU_SUPPORT
                                | RTE_VHOST_USER_POSTCOPY_SUPPORT
                                | RTE_VHOST_USER_EXTBUF_SUPPORT);
    CHECK_INT(stub_vhost.disabled_features,
              UINT64_C(1) << VIRTIO_NET_F_HOST_ECN
              | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO);
    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_open, "session-open", "session: open and close", TEST_DPDK);

static void
check_open_fails(const char *part)
{
    const struct vhost_session_config config = {
        .path = path_of("s0"), .library_data_path = true
    };
    unsigned int n_sockets = stub_vhost.n_sockets;
    char *error = NULL;

    CHECK(!vhost_session_open(&config, fixture_netdev, &error));
    CHECK_HAS(error, part);
    CHECK_HAS(error, config.path);
    free(error);

    /* Nothing is left, the path least of all. */
    CHECK_INT(stub_vhost.n_sockets, n_sockets);
}

static void
test_open_errors(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");

    check_open_fails("is already used by port port0");
    CHECK_STR(vhost_session_path_user(path_of("s0")), "port0");
    CHECK_STR(vhost_session_path_user(path_of("s1")), NULL);
    vhost_session_close(session);
    CHECK_STR(vhost_session_path_user(path_of("s0")), NULL);

    stub_vhost.fail_register = true;
    check_open_fails("cannot register");
    stub_vhost.fail_register = false;
    stub_vhost.fail_callback_register = true;
    check_open_fails("cannot register callbacks for");
    stub_vhost.fail_callback_register = false;
    stub_vhost.fail_disable_features = true;
    check_open_fails("cannot set the features of");
    stub_vhost.fail_disable_features = false;
    stub_vhost.fail_start = true;
    check_open_fails("cannot start");
    stub_vhost.fail_start = false;
    CHECK_STR(vhost_session_path_user(path_of("s0")), NULL);
    vhost_session_close(open_session("s0"));

    /* Somebody else has closed the socket. */
    session = open_session("s0");
    CHECK(!rte_vhost_driver_unregister(path_of("s0")));
    forget_log();
    vhost_session_close(session);
    CHECK_LOGGED("port0: cannot unregister vhost socket");
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_open_errors, "session-open-errors",
           "session: librte_vhost fails", TEST_DPDK);

static void
test_start(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    uint64_t change_seq = netdev_get_change_seq(fixture_netdev);
    int vid = guest_connect(vhost_session_path(session));
    struct vhost_device *device;

    CHECK_INT(vid, 0);
    guest_set_features(vid, UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
    guest_set_vring(vid, 0, true);
    guest_set_vring(vid, 3, true);
    CHECK(!vhost_session_device(session));
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    check_demand(session, false, 1, 1, VHOST_NODE_UNKNOWN);

    /* Now the first pair is ready.  What was enabled before counts. */
    guest_set_vring(vid, 1, true);
    CHECK(guest_is_running(vid));
    device = vhost_session_device(session);
    CHECK(device && device->datapath == &vhost_datapath_library);
    CHECK_INT(device->vid, vid);
    CHECK_INT(device->node, 0);
    CHECK_INT(device->features, UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
    for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        CHECK_INT(device->txqs[i].vring, 2 * i);
        CHECK_INT(device->rxqs[i].vring, 2 * i + 1);
        CHECK_INT(rxq_enabled(device, i), i < 2);
    }
    CHECK(netdev_is_reconf_required(fixture_netdev));
    CHECK(netdev_get_change_seq(fixture_netdev) != change_seq);
    check_demand(session, true, 2, 1, 0);
    CHECK_LOGGED("State of queue 3 ( rx_qid 1 ) of vhost device "
                 "'/proc/self/cwd/s0' changed to 'enabled'");
    CHECK_LOGGED("State of queue 0 ( tx_qid 0 ) of vhost device");
    CHECK_LOGGED("vHost Device '/proc/self/cwd/s0' has been added on numa "
                 "node 0");
    CHECK(reconfigure(fixture_netdev));

    /* Later ones do, too. */
    guest_set_vring(vid, 2, true);
    CHECK(netdev_is_reconf_required(fixture_netdev));
    check_demand(session, true, 2, 2, 0);
    CHECK_INT(txq_target(session, 1), 1);

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_start, "session-start", "session: a guest starts", TEST_DPDK);

static void
test_demand(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 4);

    check_demand(session, true, 4, 4, 0);
    CHECK(reconfigure(fixture_netdev));

    /* What is between does not matter, but the last queue does, after a
     * while. */
    guest_set_vring(vid, 5, false);
    guest_set_vring(vid, 2, false);
    pass_time(2 * VHOST_SETTLE_TIME);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    CHECK(!rxq_enabled(vhost_session_device(session), 2));
    guest_set_vring(vid, 7, false);
    pass_time(VHOST_SETTLE_TIME - 1000);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    check_demand(session, true, 4, 4, 0);
    pass_time(1000);
    CHECK(vhost_supply_is_due(vhost_session_supply(session)));
    check_demand(session, true, 2, 4, 0);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    guest_set_vring(vid, 6, false);
    guest_set_vring(vid, 4, false);
    pass_time(VHOST_SETTLE_TIME);
    check_demand(session, true, 2, 1, 0);

    /* What is taken back in time costs nothing. */
    guest_set_vring(vid, 3, false);
    pass_time(VHOST_SETTLE_TIME - 1000);
    guest_set_vring(vid, 3, true);
    pass_time(2 * VHOST_SETTLE_TIME);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));

    /* More is given at once, and all that there is... */
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    guest_set_vring(vid, 5, true);
    CHECK(reconfigure(fixture_netdev));
    check_demand(session, true, 4, 1, 0);

    /* ...so that a guest cannot keep the datapath busy. */
    for (int i = 0; i < 50; i++) {
        guest_set_vring(vid, 7, true);
        pass_time(VHOST_SETTLE_TIME / 5);
        guest_set_vring(vid, 7, false);
        pass_time(VHOST_SETTLE_TIME / 5);
        CHECK(!netdev_is_reconf_required(fixture_netdev));
        CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    }

    /* No queue at all still needs one for the datapath. */
    for (int i = 0; i < 8; i++) {
        guest_set_vring(vid, i, false);
    }
    pass_time(VHOST_SETTLE_TIME);
    check_demand(session, true, 1, 1, 0);

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_demand, "session-demand",
           "session: queues come and go", TEST_DPDK);

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

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
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

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_node, "session-node",
           "session: NUMA node of the guest", TEST_DPDK);

/* Checks that the device of 'vid', -1 for none, is the one that runs. */
static void
check_running(const struct vhost_session *session, int vid)
{
    const struct vhost_device *device = vhost_session_device(session);

    CHECK_INT(device ? device->vid : -1, vid);
}

static void
test_second_guest(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int first = connect_guest(session, 1);
    int second, third;

    check_demand(session, true, 1, 1, 0);
    CHECK(reconfigure(fixture_netdev));
    forget_log();
    second = connect_guest(session, 2);
    CHECK(second != first);
    check_running(session, first);
    CHECK_LOGGED("a second guest wants to use the socket while the first is "
                 "connected, and has to wait");

    /* It has no influence on the first. */
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    check_demand(session, true, 1, 1, 0);
    CHECK_INT(txq_target(session, 1), 0);

    /* When the first has gone, it is the second's turn. */
    guest_disconnect(first);
    check_running(session, second);
    CHECK(reconfigure(fixture_netdev));
    check_demand(session, true, 2, 2, 0);
    CHECK_INT(txq_target(session, 1), 1);

    /* Also when the first has only stopped, and the other way round. */
    first = connect_guest(session, 1);
    check_running(session, second);
    guest_stop(second);
    check_running(session, first);
    guest_start(second, 2);
    check_running(session, first);
    guest_disconnect(first);
    check_running(session, second);
    check_demand(session, true, 2, 2, 0);

    /* Not so if it has stopped or gone meanwhile. */
    first = connect_guest(session, 1);
    third = connect_guest(session, 1);
    guest_stop(first);
    guest_disconnect(third);
    check_running(session, second);
    guest_disconnect(second);
    check_running(session, -1);

    /* Somebody who is connected, but does nothing, is not a guest. */
    pass_time(VHOST_SETTLE_TIME);
    check_demand(session, false, 1, 1, 0);
    guest_start(first, 1);
    check_running(session, first);
    guest_connect(vhost_session_path(session));
    guest_disconnect(first);
    pass_time(VHOST_SETTLE_TIME);
    check_demand(session, false, 1, 1, 0);

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_second_guest, "session-second-guest",
           "session: a second guest", TEST_DPDK);

/* The guest's memory is mapped, and shown to devices, only if its packets can
 * stay there. */
static void
test_zero_copy(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct {
        bool zero_copy, library_data_path, iommu, postcopy, translates;
        const char *obstacle;
    } cases[] = {
        { .zero_copy = true },
        { .zero_copy = true, .iommu = true },
        { .library_data_path = true,
          .obstacle = "librte_vhost's data path is in use" },
        { .zero_copy = true, .library_data_path = true,
          .obstacle = "librte_vhost's data path is in use" },
        { .zero_copy = true, .postcopy = true,
          .obstacle = "librte_vhost's data path is in use" },
        { .zero_copy = true, .iommu = true, .translates = true,
          .obstacle = "librte_vhost's data path is in use" },
    };

    fixture_netdev = open_port("port0", "dpdkvhostuserclient");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhost_session_config config = {
            .path = path_of("s0"), .client = true, .iommu = cases[i].iommu,
            .library_data_path = cases[i].library_data_path,
            .postcopy = cases[i].postcopy, .zero_copy = cases[i].zero_copy,
        };
        struct vhost_session *session;
        char *error = NULL;
        int vid;

        CHECK((session = vhost_session_open(&config, fixture_netdev, &error)));
        vid = guest_connect(path_of("s0"));
        guest_set_features(vid, cases[i].translates
                           ? UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM : 0);
        guest_set_memory(vid, 1024 * 1024, false);
        /* The stub has one of them itself. */
        CHECK_INT(count_mappings(), cases[i].obstacle ? 1 : 2);
        guest_start(vid, 1);
        CHECK_STR(vhost_session_zero_copy_obstacle(session),
                  cases[i].obstacle);
        CHECK_INT(count_mappings(), cases[i].obstacle ? 1 : 2);
        vhost_session_close(session);
        check_sessions_closed();
        pass_time(1000);
        CHECK_INT(count_mappings(), 0);
    }
    netdev_close(fixture_netdev);
}
VHOST_TEST(test_zero_copy, "session-zero-copy",
           "session: what is mapped for zero-copy", TEST_DPDK);

static void
set_ring_address(int vid, unsigned int vring, uint64_t address)
{
    uint64_t addresses[] = {
        vring, address, address + 0x1800, address + 0x1000, 0
    };

    CHECK_INT(guest_message(vid, VHOST_REQUEST_SET_VRING_ADDR, addresses,
                            sizeof addresses),
              RTE_VHOST_MSG_RESULT_NOT_HANDLED);
}

static const char *
fault_of(struct vhost_device *device, unsigned int vring)
{
    struct vhost_queue *q = vhost_device_queue(device, vring);
    const char *fault;
    bool usable;

    atomic_read_relaxed(&q->fault, &fault);
    atomic_read_relaxed(&q->library.usable, &usable);
    CHECK_INT(usable, !fault);
    return fault ? fault : "";
}

/* librte_vhost wants each part of a ring in one piece.  With an IOMMU, it may
 * be in pages from anywhere. */
static void
test_scattered_rings(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *scattered = "its pages are not contiguous";
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));
    struct vhost_device *device;

    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
    guest_set_memory(vid, 1024 * 1024, false);
    guest_start(vid, 1);
    device = vhost_session_device(session);

    /* The used ring has parts of two pages.  Others may be anywhere. */
    set_ring_address(vid, 0, 0x10000);
    set_ring_address(vid, 1, 0x20000);
    CHECK(guest_translate(vid, 0x10000, 0x8000));
    CHECK(guest_translate(vid, 0x20000, 0xa000));
    CHECK(guest_translate(vid, 0x21000, 0x5000));
    CHECK(guest_translate(vid, 0x22000, 0x6000));
    CHECK(guest_translate(vid, 0x23000, 0xc000));
    CHECK_STR(fault_of(device, 1), "");
    CHECK(guest_translate(vid, 0x11000, 0xd000));
    CHECK_STR(fault_of(device, 0), "");
    CHECK(guest_translate(vid, 0x12000, 0xc000));
    CHECK_STR(fault_of(device, 0), scattered);
    CHECK_STR(fault_of(device, 1), "");

    /* The library does not forget them when it is told of the ring again. */
    set_ring_address(vid, 0, 0x10000);
    CHECK_STR(fault_of(device, 0), scattered);
    guest_set_vring(vid, 0, false);
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), scattered);

    /* What is translated cannot be translated otherwise, until it is
     * forgotten. */
    CHECK(!guest_translate(vid, 0x12000, 0xe000));
    CHECK(!guest_translate(vid, 0x10800, 0x8000));
    CHECK(!guest_translate(vid, 0x10800, 0x8800));
    CHECK(guest_translate(vid, 0x12000, 0xc000));
    guest_invalidate(vid, 0x11000, 0x1000);
    CHECK(guest_translate(vid, 0x11000, 0xd000));
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), scattered);
    guest_invalidate(vid, 0x12000, 0x1000);
    CHECK(guest_translate(vid, 0x12000, 0xe000));
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), "");

    /* That holds for one page of many... */
    guest_invalidate(vid, 0x11000, 0x1000);
    CHECK(guest_translate(vid, 0x11000, 0x5000));
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), scattered);

    /* ...and for all. */
    guest_invalidate(vid, 0x11000, 0x2000);
    CHECK(guest_translate(vid, 0x11000, 0x5000));
    CHECK(guest_translate(vid, 0x12000, 0x6000));
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), "");

    /* A ring that moves to pages that are known already. */
    set_ring_address(vid, 0, 0x20800);
    CHECK_STR(fault_of(device, 0), scattered);

    /* Memory that is not the guest's, or too much. */
    CHECK(!guest_translate(vid, 0x30000, 0));
    CHECK(!guest_translate(vid, 0x30000, 0x4000 + 1024 * 1024));
    CHECK(!guest_translate(vid, 0x30000, UINT64_MAX));
    guest_disconnect(vid);
    vhost_session_close(session);
    check_sessions_closed();
}
VHOST_TEST(test_scattered_rings, "session-scattered-rings",
           "session: rings in scattered pages", TEST_DPDK);

static void
test_refusals(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    const struct rte_vhost_device_ops *ops = stub_vhost.ops;
    int vid;

    /* A socket that nobody has a session for. */
    CHECK(!rte_vhost_driver_register(path_of("s9"), 0));
    CHECK(!rte_vhost_driver_callback_register(path_of("s9"), ops));
    CHECK(!rte_vhost_driver_start(path_of("s9")));
    CHECK_INT(guest_connect(path_of("s9")), -1);
    CHECK_LOGGED("s9' can't be added - name not found");
    CHECK(!rte_vhost_driver_unregister(path_of("s9")));

    /* A front end that all others might have to wait for. */
    stub_vhost.no_connection = true;
    CHECK_INT(guest_connect(path_of("s0")), -1);
    CHECK_LOGGED("s0': refused, because its socket was not found");
    stub_vhost.no_connection = false;

    /* Devices that nobody knows. */
    CHECK_INT(ops->new_connection(-1), -1);
    CHECK_INT(ops->new_connection(RTE_MAX_VHOST_DEVICE), -1);
    CHECK_INT(ops->new_connection(20), -1);
    CHECK_INT(ops->new_device(-1), -1);
    CHECK_INT(ops->new_device(RTE_MAX_VHOST_DEVICE), -1);
    CHECK_INT(ops->new_device(20), -1);
    CHECK_INT(ops->vring_state_changed(20, 0, 1), 0);
    ops->destroy_device(20);
    ops->destroy_connection(20);
    stub_vhost.n_late_calls = 0;

    /* A virtqueue that there cannot be. */
    vid = connect_guest(session, 1);
    forget_log();
    CHECK_INT(ops->vring_state_changed(vid, VHOST_MAX_VRINGS, 1), 0);
    CHECK_STR(read_log(), "");
    guest_disconnect(vid);

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_refusals, "session-refusals",
           "session: what is refused", TEST_DPDK);

/* Checks that 'request' with 'payload' is refused because of 'reason', or not
 * if that is null. */
static void
check_message(int vid, uint32_t request, const void *payload, size_t size,
              const char *reason)
{
    forget_log();
    CHECK_INT(guest_message(vid, request, payload, size),
              reason ? RTE_VHOST_MSG_RESULT_ERR
              : RTE_VHOST_MSG_RESULT_NOT_HANDLED);
    if (reason) {
        CHECK_LOGGED(": refused ");
        CHECK_LOGGED(reason);
    } else {
        CHECK_NOT_LOGGED("refused");
    }
}

static void
check_features(int vid, uint64_t features, const char *reason)
{
    check_message(vid, VHOST_REQUEST_SET_FEATURES, &features, sizeof features,
                  reason);
}

static void
check_vring(int vid, uint32_t request, uint32_t vring, uint32_t num,
            const char *reason)
{
    const uint32_t state[] = { vring, num };

    check_message(vid, request, state, sizeof state, reason);
}

/* What librte_vhost could not cope with, from a guest whose rings are in use
 * or not. */
static void
test_messages(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *layout = "the layout of rings in use cannot change";
    const char *size = "the size of a ring in use cannot change";
    const char *inflight = "there is no memory for buffers in flight";
    const uint64_t log[] = { 4096, 0 }, shifted_log[] = { 4096, 8 };
    const uint64_t buffers[] = { 4096, 0, 2 };
    const uint64_t mq = UINT64_C(1) << VIRTIO_NET_F_MQ;
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));

    for (int i = 0; i < 2; i++) {
        check_features(vid, UINT64_C(1) << VIRTIO_F_RING_PACKED,
                       i ? layout : NULL);
        check_features(vid, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX,
                       i ? layout : NULL);
        check_features(vid, UINT64_C(1) << VHOST_F_LOG_ALL, NULL);
        check_features(vid, 0, NULL);
        check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 1, 128, i ? size : NULL);
        check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 1, 256, NULL);
        check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 9, 128, NULL);
        check_message(vid, VHOST_REQUEST_SET_LOG_BASE, log, sizeof log, NULL);
        check_message(vid, VHOST_REQUEST_SET_LOG_BASE, shifted_log,
                      sizeof shifted_log, "the log has an offset");
        check_message(vid, VHOST_REQUEST_GET_INFLIGHT_FD, buffers,
                      sizeof buffers, inflight);
        check_message(vid, VHOST_REQUEST_SET_INFLIGHT_FD, buffers,
                      sizeof buffers, inflight);
        guest_start(vid, 1);
    }

    /* With more than two virtqueues, it is late to have none of that. */
    guest_start(vid, 2);
    check_features(vid, 0, "more than two virtqueues run");
    check_features(vid, mq, NULL);
    guest_stop(vid);
    check_features(vid, 0, NULL);
    guest_disconnect(vid);

    /* Rings that stop while the library is silent. */
    vid = guest_connect(path_of("s0"));
    guest_start(vid, 1);
    CHECK(rxq_enabled(vhost_session_device(session), 0));
    check_vring(vid, VHOST_REQUEST_GET_VRING_BASE, 1, 0, NULL);
    CHECK(!rxq_enabled(vhost_session_device(session), 0));
    CHECK_INT(txq_target(session, 0), 0);
    check_vring(vid, VHOST_REQUEST_SET_VRING_ENABLE, 0, 1, NULL);
    CHECK_INT(txq_target(session, 0), 0);
    check_vring(vid, VHOST_REQUEST_SET_VRING_ENABLE, 0, 0, NULL);
    CHECK_INT(txq_target(session, 0), -1);

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_messages, "session-messages",
           "session: messages that are refused", TEST_DPDK);

/* Rings cannot have more entries in all than there is memory for. */
static void
test_ring_sizes(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *too_many = "the rings have too many entries in all";
    const uint32_t most = 32768, n = VHOST_MAX_RING_ENTRIES / most;
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));

    for (uint32_t i = 0; i < n; i++) {
        check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, i, most, NULL);
    }
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n, 1, too_many);

    /* What counts is what there is now. */
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 0, most, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 0, most / 2, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n, most / 2, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n + 1, 1, too_many);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n, UINT32_MAX, too_many);

    /* It would be lost with a reset, which is not obeyed. */
    forget_log();
    guest_start(vid, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(guest_message(vid, VHOST_REQUEST_RESET_OWNER, NULL, 0),
                  RTE_VHOST_MSG_RESULT_OK);
    }
    CHECK_NOT_LOGGED("refused");
    CHECK(vhost_session_device(session));
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n + 1, 1, too_many);

    /* The next connection has its own. */
    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n + 1, most, NULL);

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_ring_sizes, "session-ring-sizes",
           "session: rings of any size", TEST_DPDK);

/* Packed rings go on inside of themselves, whatever comes first. */
static void
test_ring_bases(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *behind = "the ring's start index is out of range";
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));
    struct rte_vhost_vring none = { .size = 0 };
    struct vhost_device *device;

    /* A split ring's index counts on. */
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 1, 256, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 65535, NULL);

    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_RING_PACKED);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 256, behind);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 255, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 0x8000 | 255, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 0x8000 | 256, behind);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 0x7fff, behind);

    /* The size may come later, or be smaller. */
    guest_set_ring(vid, 3, &none, 0x8000 | 128);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 3, 128, behind);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 3, 129, NULL);
    guest_start(vid, 1);
    device = vhost_session_device(session);
    CHECK_STR(fault_of(device, 1), "");

    /* Should it get past all of that, it is not used. */
    guest_set_vring(vid, 1, false);
    guest_set_ring(vid, 1, &none, 256);
    guest_set_vring(vid, 1, true);
    CHECK_STR(fault_of(device, 1), "its start index is out of range");
    guest_set_ring(vid, 1, &none, 255);
    guest_set_vring(vid, 1, true);
    CHECK_STR(fault_of(device, 1), "");

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_ring_bases, "session-ring-bases",
           "session: packed rings go on inside", TEST_DPDK);

/* librte_vhost goes on with rings whose memory it has unmapped.  There is no
 * way on from there. */
static void
test_memory_lost(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 1);
    struct vhost_device *device = vhost_session_device(session);

    guest_set_memory(vid, 1024 * 1024, false);
    CHECK_STR(fault_of(device, 1), "");
    guest_set_memory(vid, 1024 * 1024, true);
    for (unsigned int i = 0; i < 2; i++) {
        struct vhost_queue *q = vhost_device_queue(device, i);
        bool usable;

        atomic_read_relaxed(&q->library.usable, &usable);
        CHECK(!usable);
    }
    forget_log();
    CHECK_INT(guest_message(vid, VHOST_REQUEST_GET_FEATURES, NULL, 0),
              RTE_VHOST_MSG_RESULT_ERR);
    CHECK_LOGGED("the connection is closed, because the guest's memory could "
                 "not be mapped");
    CHECK(!vhost_session_device(session));
    connect_guest(session, 1);
    CHECK(vhost_session_device(session));

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_memory_lost, "session-memory-lost",
           "session: memory is lost", TEST_DPDK);

static void
test_restart(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 3);

    check_demand(session, true, 3, 3, 0);
    CHECK(reconfigure(fixture_netdev));
    forget_log();

    /* A driver that is loaded again, and a guest that reboots, want what they
     * had; to forget that would cost reconfigurations for nothing. */
    for (int i = 0; i < 20; i++) {
        guest_stop(vid);
        CHECK(!vhost_session_device(session));
        CHECK(!guest_is_running(vid));
        pass_time(2 * VHOST_SETTLE_TIME);
        CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
        guest_start(vid, 1);
        guest_disconnect(vid);
        CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
        vid = connect_guest(session, 3);
        CHECK(!netdev_is_reconf_required(fixture_netdev));
        check_demand(session, true, 3, 3, 0);
    }
    CHECK_LOGGED("vHost Device '/proc/self/cwd/s0' has been removed");
    CHECK_LOGGED("changed to 'disabled'");

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_restart, "session-restart",
           "session: a guest restarts", TEST_DPDK);

static void
test_disconnect(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid;

    /* Before any virtqueue is set up. */
    guest_disconnect(guest_connect(vhost_session_path(session)));
    CHECK(!netdev_is_reconf_required(fixture_netdev));

    /* With half of them. */
    vid = guest_connect(vhost_session_path(session));
    guest_set_vring(vid, 1, true);
    guest_disconnect(vid);
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    check_demand(session, false, 1, 1, VHOST_NODE_UNKNOWN);

    vid = connect_guest(session, 3);
    check_demand(session, true, 3, 3, 0);
    CHECK(reconfigure(fixture_netdev));
    guest_disconnect(vid);
    CHECK(!vhost_session_device(session));
    CHECK_LOGGED("connection has been destroyed");
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    check_demand(session, true, 3, 3, 0);
    pass_time(VHOST_SETTLE_TIME);
    CHECK(vhost_supply_is_due(vhost_session_supply(session)));
    check_demand(session, false, 1, 1, 0);
    pass_time(VHOST_SETTLE_TIME);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));

    /* What one guest had enabled is no business of the next. */
    vid = guest_connect(vhost_session_path(session));
    guest_start(vid, 1);
    CHECK(reconfigure(fixture_netdev));
    check_demand(session, true, 1, 1, 0);
    CHECK_INT(txq_target(session, 1), 0);
    CHECK(!rxq_enabled(vhost_session_device(session), 1));

    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_disconnect, "session-disconnect",
           "session: a guest leaves", TEST_DPDK);

static void *
do_nothing(void *aux OVS_UNUSED)
{
    return NULL;
}

static void
test_close(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *s0 = open_session("s0");
    struct vhost_session *s1 = open_session("s1");
    int vid = connect_guest(s0, 2), other;

    /* With the guest connected, and somebody else besides. */
    CHECK(guest_connect(vhost_session_path(s0)) >= 0);
    vhost_session_close(s0);
    CHECK_LOGGED("vHost Device '/proc/self/cwd/s0' has been removed");
    CHECK_STR(vhost_session_path_user(path_of("s0")), NULL);

    /* The guest's end is of no consequence any more... */
    forget_log();
    guest_set_vring(vid, 1, false);
    guest_disconnect(vid);
    CHECK_INT(stub_vhost.ops->vring_state_changed(vid, 1, false), 0);
    CHECK_STR(read_log(), "");

    /* ...not even if the library gives its number to another socket's. */
    other = connect_guest(s1, 1);
    CHECK_INT(other, vid);
    CHECK_INT(vhost_session_device(s1)->vid, vid);
    check_demand(s1, true, 1, 1, 0);

    /* The path is free. */
    s0 = open_session("s0");
    check_demand(s0, false, 1, 1, VHOST_NODE_UNKNOWN);
    connect_guest(s0, 1);

    /* With more than one thread, too, whatever the state of this one, which
     * must not change. */
    xpthread_join(ovs_thread_create("once", do_nothing, NULL), NULL);
    CHECK(!ovsrcu_is_quiescent());
    vhost_session_close(s0);
    CHECK(!ovsrcu_is_quiescent());
    ovsrcu_quiesce_start();
    vhost_session_close(s1);
    CHECK(ovsrcu_is_quiescent());
    ovsrcu_quiesce_end();

    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_close, "session-close",
           "session: closed with a guest", TEST_DPDK);

static struct ovs_mutex outer_mutex = OVS_MUTEX_INITIALIZER;
static atomic_bool wants_mutex = false;

/* A thread that does not quiesce, because it waits for a lock. */
static void *
wait_for_mutex(void *aux OVS_UNUSED)
{
    atomic_store(&wants_mutex, true);
    ovs_mutex_lock(&outer_mutex);
    ovs_mutex_unlock(&outer_mutex);
    return NULL;
}

static void *
connect_one(void *session)
{
    connect_guest(session, 1);
    return NULL;
}

static void *
stop_guest(void *vidp)
{
    guest_stop(*(int *) vidp);
    return NULL;
}

/* A session is closed with a lock held that a thread wants, which therefore
 * does not quiesce, while librte_vhost's event thread waits for it to
 * quiesce. */
static void
test_close_locked(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 1);
    pthread_t waiter, events;
    bool ready = false;

    ovs_mutex_lock(&outer_mutex);
    waiter = ovs_thread_create("waiter", wait_for_mutex, NULL);
    while (!ready) {
        atomic_read(&wants_mutex, &ready);
    }
    CHECK(!pthread_create(&events, NULL, stop_guest, &vid));
    while (vhost_session_device(session)) {
        xnanosleep(1000 * 1000);
    }
    vhost_session_close(session);
    ovs_mutex_unlock(&outer_mutex);

    CHECK(!pthread_join(events, NULL));
    CHECK(!pthread_join(waiter, NULL));

    /* The same with a device that runs. */
    session = open_session("s0");
    CHECK(!pthread_create(&events, NULL, connect_one, session));
    CHECK(!pthread_join(events, NULL));
    CHECK(vhost_session_device(session));
    atomic_store(&wants_mutex, false);
    ready = false;
    ovs_mutex_lock(&outer_mutex);
    waiter = ovs_thread_create("waiter", wait_for_mutex, NULL);
    while (!ready) {
        atomic_read(&wants_mutex, &ready);
    }
    vhost_session_close(session);
    ovs_mutex_unlock(&outer_mutex);
    CHECK(!pthread_join(waiter, NULL));

    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_close_locked, "session-close-locked",
           "session: closed with a lock held", TEST_DPDK);

/* Stress: the event thread's guests come and go, two threads exchange packets
 * as PMD threads do, and the main thread asks questions and closes sessions,
 * all at once. */

#define N_SLOTS 3
#define STRESS_MS 1000

static struct slot {
    char name[16];

    /* Write-locked to change 'session', as the datapath stops all PMD threads
     * to reconfigure a port. */
    struct ovs_rwlock rwlock;
    struct vhost_session *session;
} slots[N_SLOTS];

static atomic_bool stop = false;
static atomic_count n_exchanged = ATOMIC_COUNT_INIT(0);
static atomic_count n_devices = ATOMIC_COUNT_INIT(0);
static struct rte_mempool *stress_mp;

static bool
is_stopped(void)
{
    bool value;

    atomic_read(&stop, &value);
    return value;
}

static void *
stress_events(void *aux OVS_UNUSED)
{
    int vids[N_SLOTS] = { -1, -1, -1 };

    while (!is_stopped()) {
        unsigned int i = random_range(N_SLOTS);

        switch (random_range(6)) {
        case 0:
            guest_disconnect(vids[i]);
            vids[i] = guest_connect(path_of(slots[i].name));
            break;
        case 1:
        case 2:
            guest_start(vids[i], 1 + random_range(4));
            atomic_count_inc(&n_devices);
            break;
        case 3:
            guest_stop(vids[i]);
            break;
        default:
            guest_set_vring(vids[i], random_range(8), random_range(2));
            break;
        }
    }
    return NULL;
}

static void
stress_exchange(struct vhost_device *device)
{
    unsigned int pair = random_range(4);
    struct vhost_queue *rxq = &device->rxqs[pair];
    struct rte_mbuf *mbufs[32];
    unsigned int n;
    int target;

    n = device->datapath->dequeue(device, rxq, stress_mp, mbufs, 32, NULL);
    device->datapath->n_pending(device, rxq);
    atomic_count_set(&n_exchanged, atomic_count_get(&n_exchanged) + n);

    atomic_read_relaxed(&device->txq_map[pair], &target);
    CHECK(target < 4);
    if (target >= 0 && n) {
        rte_spinlock_lock(&device->txqs[target].lock);
        device->datapath->enqueue(device, &device->txqs[target], mbufs, n,
                                  NULL);
        rte_spinlock_unlock(&device->txqs[target].lock);
    }
    rte_pktmbuf_free_bulk(mbufs, n);
}

static void *
stress_pmd(void *aux OVS_UNUSED)
{
    while (!is_stopped()) {
        for (int i = 0; i < N_SLOTS; i++) {
            if (!ovs_rwlock_tryrdlock(&slots[i].rwlock)) {
                struct vhost_device *device
                    = vhost_session_device(slots[i].session);

                if (device) {
                    stress_exchange(device);
                }
                ovs_rwlock_unlock(&slots[i].rwlock);
            }
        }
        ovsrcu_quiesce();
    }
    return NULL;
}

static void
set_session(struct slot *slot, struct vhost_session *session)
{
    ovs_rwlock_wrlock(&slot->rwlock);
    slot->session = session;
    ovs_rwlock_unlock(&slot->rwlock);
}

static void
stress_main(struct slot *slot)
{
    struct vhost_session *session = slot->session;
    struct netdev_custom_stats custom = { .size = 0 };
    struct vhost_vring_stats rx, tx;
    struct vhost_demand demand;

    switch (random_range(8)) {
    case 0:
        set_session(slot, NULL);
        vhost_session_close(session);
        set_session(slot, open_session(slot->name));
        break;
    case 1:
    case 2:
        vhost_tally_add_vrings(vhost_session_tally(session), &custom);
        netdev_free_custom_stats_counters(&custom);
        break;
    case 3:
    case 4:
        vhost_supply_take(vhost_session_supply(session), &demand);
        CHECK(demand.n_rxqs >= 1 && demand.n_rxqs <= 4);
        break;
    default:
        memset(&rx, 0, sizeof rx);
        memset(&tx, 0, sizeof tx);
        vhost_tally_add_sums(vhost_session_tally(session), &rx, &tx);
        break;
    }
    reconfigure(fixture_netdev);
    ovsrcu_quiesce();
}

static void
test_stress(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    long long int end = time_msec() + STRESS_MS;
    pthread_t events, pmds[2];
    unsigned int n = 0;

    stub_vhost.endless = true;
    stress_mp = make_mempool();
    for (int i = 0; i < N_SLOTS; i++) {
        snprintf(slots[i].name, sizeof slots[i].name, "s%d", i);
        ovs_rwlock_init(&slots[i].rwlock);
        slots[i].session = open_session(slots[i].name);
    }
    for (int i = 0; i < ARRAY_SIZE(pmds); i++) {
        pmds[i] = ovs_thread_create("pmd", stress_pmd, NULL);
    }
    CHECK(!pthread_create(&events, NULL, stress_events, NULL));

    /* No idle time, on a slow machine either. */
    while (time_msec() < end || !atomic_count_get(&n_exchanged)
           || atomic_count_get(&n_devices) <= 10) {
        stress_main(&slots[random_range(N_SLOTS)]);
        n++;
    }

    atomic_store(&stop, true);
    ovsrcu_quiesce_start();
    CHECK(!pthread_join(events, NULL));
    for (int i = 0; i < ARRAY_SIZE(pmds); i++) {
        CHECK(!pthread_join(pmds[i], NULL));
    }
    ovsrcu_quiesce_end();

    printf("%u packets, %u starts, %u questions\n",
           atomic_count_get(&n_exchanged), atomic_count_get(&n_devices), n);
    for (int i = 0; i < N_SLOTS; i++) {
        vhost_session_close(slots[i].session);
    }
    netdev_close(fixture_netdev);
    check_sessions_closed();
    CHECK_INT(rte_mempool_in_use_count(stress_mp), 0);
}
VHOST_TEST(test_stress, "session-stress", "session: all at once", TEST_DPDK);
