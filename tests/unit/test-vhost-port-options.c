/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <rte_vhost.h>

#include "netdev-provider.h"
#include "ovs-atomic.h"
#include "port-fixture.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-port.h"

static void
test_startup_options(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *client, *server;

    init_config("vhost-iommu-support", "true",
                "vhost-postcopy-support", "true", NULL);
    client = open_client("vhu0", path_of("s0"));
    CHECK(stub_vhost.flags & RTE_VHOST_USER_IOMMU_SUPPORT);
    CHECK(stub_vhost.flags & RTE_VHOST_USER_POSTCOPY_SUPPORT);

    /* For client ports only. */
    server = open_port("vhu1", "dpdkvhostuser");
    CHECK(!(stub_vhost.flags & (RTE_VHOST_USER_IOMMU_SUPPORT
                                | RTE_VHOST_USER_POSTCOPY_SUPPORT)));
    netdev_close(client);
    netdev_close(server);
    check_all_closed();
}
VHOST_TEST(test_startup_options, "port-startup-options",
           "port: IOMMU and post-copy", TEST_DPDK);

/* Per port, options have the last word, and a change reconnects the guest. */
static void
test_port_features(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev;
    char *error;
    int vid;

    init_config("vhost-iommu-support", "true", NULL);
    netdev = open_client("vhu0", path_of("s0"));
    CHECK(stub_vhost.flags & RTE_VHOST_USER_IOMMU_SUPPORT);
    CHECK(!(stub_vhost.flags & RTE_VHOST_USER_POSTCOPY_SUPPORT));
    vid = guest_connect(path_of("s0"));
    guest_start(vid, 1);
    reconfigure(netdev);
    CHECK_STR(status_of(netdev, "status"), "connected");

    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          "vhost-iommu-support", "false",
                          "vhost-postcopy-support", "true", NULL), 0);
    CHECK(reconfigure(netdev));
    CHECK(!(stub_vhost.flags & RTE_VHOST_USER_IOMMU_SUPPORT));
    CHECK(stub_vhost.flags & RTE_VHOST_USER_POSTCOPY_SUPPORT);
    CHECK_STR(status_of(netdev, "status"), "disconnected");
    CHECK_LOGGED("vhu0: the guest is disconnected");
    vid = guest_connect(path_of("s0"));
    guest_start(vid, 1);
    CHECK_STR(status_of(netdev, "status"), "connected");

    /* The same again changes nothing. */
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          "vhost-iommu-support", "false",
                          "vhost-postcopy-support", "true", NULL), 0);
    reconfigure(netdev);
    CHECK_STR(status_of(netdev, "status"), "connected");

    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          NULL), 0);
    CHECK(reconfigure(netdev));
    CHECK(stub_vhost.flags & RTE_VHOST_USER_IOMMU_SUPPORT);
    CHECK(!(stub_vhost.flags & RTE_VHOST_USER_POSTCOPY_SUPPORT));
    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_port_features, "port-features",
           "port: IOMMU and post-copy by port", TEST_DPDK);

/* Sets dq-zero-copy, and vhost-postcopy-support if 'postcopy', of a new port,
 * and returns it. */
static struct netdev *
open_zero_copy(const char *name, const char *postcopy)
{
    struct netdev *netdev = open_port(name, "dpdkvhostuserclient");
    char *error;

    forget_log();
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          "dq-zero-copy", "true", "vhost-postcopy-support",
                          postcopy, NULL), 0);
    return netdev;
}

/* dq-zero-copy says why it has no effect. */
static void
test_zero_copy(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_config *config = CONST_CAST(struct vhost_config *,
                                             vhost_config());
    struct netdev *netdev;
    char *error;

    netdev = open_zero_copy("vhu0", "false");
    CHECK_LOGGED("vhu0: dq-zero-copy has no effect with "
                 "vhost-data-path=librte_vhost");
    CHECK(reconfigure(netdev));
    CHECK_STR(status_of(netdev, "dq_zero_copy"), NULL);
    attach_guest(path_of("s0"), 1);
    CHECK_STR(status_of(netdev, "dq_zero_copy"),
              "off: librte_vhost's data path is in use");
    netdev_close(netdev);

    config->library_data_path = false;
    netdev = open_zero_copy("vhu1", "false");
    CHECK_NOT_LOGGED("has no effect");
    netdev_close(netdev);
    netdev = open_zero_copy("vhu2", "true");
    CHECK_LOGGED("dq-zero-copy has no effect with vhost-postcopy-support");
    netdev_close(netdev);

    /* There is no post-copy when memory is locked. */
    vhost_set_memory_locked();
    netdev = open_zero_copy("vhu4", "true");
    CHECK_LOGGED("vhost-postcopy-support and mlockall are not compatible");
    CHECK_NOT_LOGGED("has no effect");
    netdev_close(netdev);
    config->library_data_path = true;

    /* Ports of the other type do not have it, and say so once. */
    init_config(NULL);
    netdev = open_port("vhu3", "dpdkvhostuser");
    forget_log();
    CHECK_INT(set_options(netdev, &error, "dq-zero-copy", "true", NULL), 0);
    CHECK_HAS(status_of(netdev, "config_error"),
              "dq-zero-copy is for ports of type dpdkvhostuserclient only");
    CHECK_LOGGED("vhu3: dq-zero-copy is for ports");
    forget_log();
    CHECK_INT(set_options(netdev, &error, "dq-zero-copy", "true", NULL), 0);
    CHECK_STR(read_log(), "");
    CHECK_INT(set_options(netdev, &error, NULL), 0);
    CHECK_STR(status_of(netdev, "config_error"), NULL);
    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_zero_copy, "port-zero-copy", "port: dq-zero-copy", TEST_DPDK);

static int
retries_of(const struct netdev *netdev)
{
    int retries;

    atomic_read_relaxed(&vhost_port_cast(netdev)->tx_retries_max, &retries);
    return retries;
}

static void
test_tx_retries(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    char *error;

    CHECK_INT(retries_of(netdev), 8);
    CHECK_INT(set_options(netdev, &error, "tx-retries-max", "0",
                          "vhost-server-path", path_of("s0"), NULL), 0);
    CHECK_INT(retries_of(netdev), 0);
    CHECK(!reconfigure(netdev));
    CHECK_LOGGED("Max Tx retries for vhost device 'vhu0' set to 0");

    forget_log();
    CHECK_INT(set_options(netdev, &error, "tx-retries-max", "33",
                          "vhost-server-path", path_of("s0"), NULL), 0);
    CHECK_INT(retries_of(netdev), 8);
    CHECK_LOGGED("vhu0: tx-retries-max \"33\" is out of range");
    CHECK_LOGGED("Max Tx retries for vhost device 'vhu0' set to 8");
    forget_log();
    CHECK_INT(set_options(netdev, &error, "tx-retries-max", "33",
                          "vhost-server-path", path_of("s0"), NULL), 0);
    CHECK_STR(read_log(), "");
    CHECK_INT(set_options(netdev, &error, "tx-retries-max", "32",
                          "vhost-server-path", path_of("s0"), NULL), 0);
    CHECK_INT(retries_of(netdev), 32);

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_tx_retries, "port-tx-retries",
           "port: tx-retries-max", TEST_DPDK);

/* The number of queues of a VDUSE device. */
static void
test_queue_pairs(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct vhost_port *port = vhost_port_cast(netdev);
    char *error;

    CHECK_INT(port->requested_queue_pairs, 1);
    CHECK_INT(set_options(netdev, &error, "vhost-max-queue-pairs", "128",
                          "vhost-server-path", path_of("s0"), NULL), 0);
    CHECK_INT(port->requested_queue_pairs, 128);
    /* A socket's guest chooses. */
    attach_guest(path_of("s0"), 1);
    reconfigure(netdev);
    CHECK_STR(status_of(netdev, "status"), "connected");

    forget_log();
    for (int i = 0; i < 2; i++) {
        CHECK_INT(set_options(netdev, &error, "vhost-max-queue-pairs",
                              i ? "129" : "0", "vhost-server-path",
                              path_of("s0"), NULL), 0);
        CHECK_INT(port->requested_queue_pairs, 1);
    }
    CHECK_LOGGED("vhu0: vhost-max-queue-pairs \"0\" is out of range "
                 "(expected 1 to 128), using 1");
    CHECK_NOT_LOGGED("\"129\"");
    reconfigure(netdev);
    CHECK_STR(status_of(netdev, "status"), "connected");

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_queue_pairs, "port-queue-pairs",
           "port: vhost-max-queue-pairs", TEST_DPDK);
