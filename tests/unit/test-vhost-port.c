/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "fatal-signal.h"
#include "netdev-provider.h"
#include "ovs-atomic.h"
#include "port-fixture.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-config.h"
#include "vhost-mempool.h"
#include "vhost-port.h"
#include "vhost-supply.h"

static int
open_error(const char *name)
{
    struct netdev *netdev;
    int error = netdev_open(name, "dpdkvhostuser", &netdev);

    CHECK(error && !netdev);
    CHECK_INT(stub_vhost.n_sockets, 0);
    return error;
}

static bool
has_carrier(const struct netdev *netdev)
{
    return netdev_get_carrier(netdev);
}

static void
test_server(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    char name[120];
    struct netdev *netdev;
    int fd;

    init_config(NULL);
    netdev = open_port("vhu0", "dpdkvhostuser");
    CHECK(mode_of("vhu0") >= 0);
    CHECK(!(stub_vhost.flags & RTE_VHOST_USER_CLIENT));
    CHECK(stub_vhost.flags & RTE_VHOST_USER_NET_STATS_ENABLE);
    CHECK_LOGGED("Socket /proc/self/cwd/vhu0 created for vhost-user port "
                 "vhu0");
    CHECK_LOGGED("dpdkvhostuser ports are considered deprecated");
    CHECK(reconfigure(netdev));
    CHECK_INT(netdev_n_rxq(netdev), 1);
    CHECK_INT(netdev_n_txq(netdev), 1);
    netdev_close(netdev);
    CHECK_INT(mode_of("vhu0"), -1);

    /* A guest is still there. */
    netdev = open_port("vhu0", "dpdkvhostuser");
    attach_guest(path_of("vhu0"), 1);
    forget_log();
    netdev_close(netdev);
    CHECK_LOGGED("Removing port 'vhu0' while vhost device still attached");
    CHECK_INT(mode_of("vhu0"), -1);
    check_all_closed();

    /* Names that cannot be that of a socket. */
    CHECK_INT(open_error("a/b"), EINVAL);
    CHECK_INT(open_error("a\\b"), EINVAL);
    CHECK_LOGGED("is not a valid name for a vhost-user port");
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_INT(open_error(name), ENAMETOOLONG);
    CHECK_LOGGED("a Unix domain socket takes at most 107");

    /* Something else is there. */
    CHECK(!close(open("vhu1", O_CREAT | O_WRONLY, 0644)));
    CHECK_INT(open_error("vhu1"), EEXIST);
    CHECK_LOGGED("the path exists and is not a socket");
    CHECK_INT(mode_of("vhu1"), 0644);
    CHECK(!unlink("vhu1"));

    /* librte_vhost does not want to. */
    stub_vhost.fail_start = true;
    CHECK_INT(open_error("vhu1"), EIO);
    CHECK_LOGGED("librte_vhost cannot start vhost socket");
    stub_vhost.fail_start = false;

    /* After all of this the name is as good as ever, and a socket that a
     * crash left behind is no obstacle. */
    struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "vhu1" };

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(!bind(fd, (struct sockaddr *) &sun, sizeof sun));
    CHECK(!listen(fd, 1));
    CHECK_INT(open_error("vhu1"), EADDRINUSE);
    close(fd);
    netdev = open_port("vhu1", "dpdkvhostuser");
    CHECK_LOGGED("Removed stale vhost socket '/proc/self/cwd/vhu1'");
    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_server, "port-server", "port: dpdkvhostuser", TEST_DPDK);

/* port-exit [SIGNAL | closed]: leaves with a socket open, or after it was
 * closed and something else took its place. */
static void
test_exit(int argc, char *argv[])
{
    struct netdev *netdev;

    init_config(NULL);
    netdev = open_port("vhu0", "dpdkvhostuser");
    CHECK(mode_of("vhu0") >= 0);
    if (argc > 1 && !strcmp(argv[1], "closed")) {
        netdev_close(netdev);
        CHECK(!close(open("vhu0", O_CREAT | O_EXCL | O_WRONLY, 0644)));
    } else if (argc > 1) {
        raise(atoi(argv[1]));
        fatal_signal_run();
    }
    exit(0);
}
VHOST_TEST(test_exit, "port-exit", NULL, TEST_DPDK);

/* Sets option vhost-server-path, null for none, without an error. */
static void
set_path(struct netdev *netdev, const char *path)
{
    char *error;

    CHECK_INT(set_options(netdev, &error, path ? "vhost-server-path" : NULL,
                          path, NULL), 0);
}

static void
check_bad_path(struct netdev *netdev, const char *path, int expected,
               const char *part)
{
    char *error;

    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path, NULL),
              expected);
    CHECK_HAS(error, part);
    free(error);
}

static void
test_new_client(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_port("vhu0", "dpdkvhostuserclient");
    struct netdev *other = open_client("vhu1", path_of("s1"));
    char *path;

    /* No path yet is no error. */
    CHECK(reconfigure(netdev));
    set_path(netdev, NULL);
    CHECK(!reconfigure(netdev));
    CHECK_STR(status_of(netdev, "status"), "disconnected");
    CHECK_STR(status_of(netdev, "socket"), NULL);
    CHECK_STR(status_of(netdev, "config_error"), NULL);

    /* A new port with a bad path is one that the user looks at. */
    check_bad_path(netdev, "", EINVAL, "is empty");
    check_bad_path(netdev, "s0", EINVAL, "\"s0\" is relative");
    path = xasprintf("/%0107d", 0);
    check_bad_path(netdev, path, ENAMETOOLONG, "is 108 bytes long");
    free(path);
    check_bad_path(netdev, path_of("s1"), EADDRINUSE,
                   "is already used by port vhu1");
    CHECK(!reconfigure(netdev));
    CHECK_INT(stub_vhost.n_sockets, 1);

    set_path(netdev, path_of("s0"));
    CHECK_INT(stub_vhost.n_sockets, 1);
    CHECK(reconfigure(netdev));
    CHECK_INT(stub_vhost.n_sockets, 2);
    CHECK(stub_vhost.flags & RTE_VHOST_USER_CLIENT);
    CHECK(stub_vhost.flags & RTE_VHOST_USER_NET_STATS_ENABLE);
    CHECK(!(stub_vhost.flags & RTE_VHOST_USER_IOMMU_SUPPORT));
    CHECK_STR(status_of(netdev, "socket"), path_of("s0"));
    CHECK_LOGGED("vHost User device 'vhu0' created in 'client' mode, using "
                 "client socket '/proc/self/cwd/s0'");

    /* The same again changes nothing. */
    set_path(netdev, path_of("s0"));
    CHECK(!reconfigure(netdev));

    netdev_close(netdev);
    netdev_close(other);
    check_all_closed();
}
VHOST_TEST(test_new_client, "port-new-client",
           "port: dpdkvhostuserclient", TEST_DPDK);

static void
test_live_client(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint8_t packet[60];
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct netdev *other = open_client("vhu1", path_of("s1"));
    int vid = attach_guest(path_of("s0"), 2);
    struct netdev_stats stats;
    uint64_t seq;

    CHECK(reconfigure(netdev));
    CHECK(has_carrier(netdev));

    /* A bad path on a live port takes nothing away from it, but shows... */
    forget_log();
    seq = netdev_get_change_seq(netdev);
    set_path(netdev, "relative");
    CHECK(!reconfigure(netdev));
    CHECK(guest_is_running(vid));
    CHECK(netdev_get_change_seq(netdev) != seq);
    CHECK_STR(status_of(netdev, "status"), "connected");
    CHECK_STR(status_of(netdev, "socket"), path_of("s0"));
    CHECK_HAS(status_of(netdev, "config_error"), "\"relative\" is relative");
    CHECK_LOGGED("vhu0: vhost socket path \"relative\" is relative");
    CHECK_LOGGED("the port stays on \"/proc/self/cwd/s0\"");

    /* ...and is not logged with each change of something else... */
    forget_log();
    set_path(netdev, "relative");
    CHECK_STR(read_log(), "");

    /* ...until it is put right. */
    seq = netdev_get_change_seq(netdev);
    set_path(netdev, path_of("s0"));
    CHECK(netdev_get_change_seq(netdev) != seq);
    CHECK_STR(status_of(netdev, "config_error"), NULL);
    CHECK(!reconfigure(netdev));
    CHECK(guest_is_running(vid));

    /* A good one moves it.  What it counted stays. */
    guest_send(vid, 1, packet, sizeof packet);
    receive_from(netdev, 1);
    set_path(netdev, path_of("s2"));
    CHECK(reconfigure(netdev));
    CHECK_INT(guest_connect(path_of("s0")), -1);
    CHECK_STR(status_of(netdev, "socket"), path_of("s2"));
    CHECK_STR(status_of(netdev, "status"), "disconnected");
    CHECK_INT(netdev_n_rxq(netdev), 1);
    CHECK(!has_carrier(netdev));
    CHECK_INT(netdev_get_stats(netdev, &stats), 0);
    CHECK_INT(stats.rx_packets, 1);
    attach_guest(path_of("s2"), 1);
    CHECK(reconfigure(netdev));
    CHECK(has_carrier(netdev));

    /* A path that another port has will do as soon as that port is done with
     * it. */
    set_path(netdev, path_of("s1"));
    CHECK(reconfigure(netdev));
    CHECK_HAS(status_of(netdev, "config_error"),
              "is already used by port vhu1");
    CHECK_STR(status_of(netdev, "socket"), path_of("s2"));
    CHECK(has_carrier(netdev));
    pass_time(1000);
    CHECK(!netdev_is_reconf_required(netdev));
    set_path(other, path_of("s3"));
    CHECK(reconfigure(other));
    pass_time(1000);
    CHECK(reconfigure(netdev));
    CHECK_STR(status_of(netdev, "config_error"), NULL);
    CHECK_STR(status_of(netdev, "socket"), path_of("s1"));
    set_path(netdev, path_of("s3"));
    CHECK(reconfigure(netdev));
    netdev_close(other);
    set_path(netdev, path_of("s3"));
    CHECK_HAS(status_of(netdev, "config_error"),
              "is already used by port vhu1");
    CHECK(reconfigure(netdev));
    CHECK_STR(status_of(netdev, "config_error"), NULL);
    CHECK_STR(status_of(netdev, "socket"), path_of("s3"));

    /* No path at all: the port is there, its socket is not. */
    set_path(netdev, NULL);
    CHECK(reconfigure(netdev));
    CHECK_INT(stub_vhost.n_sockets, 0);
    CHECK_STR(status_of(netdev, "socket"), NULL);
    CHECK_INT(netdev_get_stats(netdev, &stats), 0);
    CHECK_INT(stats.rx_packets, 1);

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_live_client, "port-live-client",
           "port: changes to a live client", TEST_DPDK);

/* librte_vhost fails while the datapath has the port. */
static void
test_failing_client(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_port("vhu0", "dpdkvhostuserclient");

    stub_vhost.fail_register = true;
    set_path(netdev, path_of("s0"));
    CHECK(reconfigure(netdev));
    CHECK_HAS(status_of(netdev, "config_error"), "librte_vhost cannot");
    CHECK_STR(status_of(netdev, "socket"), NULL);
    CHECK_LOGGED("vhu0: librte_vhost cannot register");

    /* The next change of the configuration is the next attempt. */
    set_path(netdev, path_of("s0"));
    CHECK(reconfigure(netdev));
    CHECK_HAS(status_of(netdev, "config_error"), "librte_vhost cannot");
    stub_vhost.fail_register = false;
    set_path(netdev, path_of("s0"));
    CHECK(reconfigure(netdev));
    CHECK_STR(status_of(netdev, "config_error"), NULL);
    CHECK_STR(status_of(netdev, "socket"), path_of("s0"));
    CHECK(!reconfigure(netdev));

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_failing_client, "port-failing-client",
           "port: librte_vhost fails", TEST_DPDK);

static void
test_reconfigure(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct vhost_port *port = vhost_port_cast(netdev);
    struct rte_mempool *mp;
    int vid, mtu;

    /* No guest, no mbufs. */
    CHECK(!port->pool && !port->mp);
    CHECK_INT(stub_memory.n_pools, 0);
    CHECK(!has_carrier(netdev));

    vid = attach_guest(path_of("s0"), 3);
    CHECK(!has_carrier(netdev));
    CHECK(reconfigure(netdev));
    CHECK(has_carrier(netdev));
    CHECK_INT(netdev_n_rxq(netdev), 3);
    CHECK_INT(netdev_n_txq(netdev), 3);
    CHECK_INT(stub_memory.n_pools, 1);
    mp = port->mp;
    CHECK(mp && port->pool->mp == mp);
    CHECK_INT(port->pool->n_queues, 6);

    /* Fewer queues, the same pool. */
    guest_set_vring(vid, 5, false);
    pass_time(1000);
    CHECK(!netdev_is_reconf_required(netdev));
    pass_time(VHOST_SETTLE_TIME);
    CHECK(reconfigure(netdev));
    CHECK_INT(netdev_n_rxq(netdev), 2);
    CHECK_INT(netdev_n_txq(netdev), 3);
    CHECK(port->mp == mp);
    CHECK_INT(port->pool->n_queues, 5);
    CHECK_INT(port->pool->n_users, 1);

    /* Another MTU of the same buffer size, and of another. */
    CHECK_INT(netdev_set_mtu(netdev, 1600), 0);
    CHECK_INT(netdev_get_mtu(netdev, &mtu), 0);
    CHECK_INT(mtu, 1500);
    CHECK(reconfigure(netdev));
    CHECK_INT(netdev_get_mtu(netdev, &mtu), 0);
    CHECK_INT(mtu, 1600);
    CHECK(port->mp == mp);
    CHECK_INT(netdev_set_mtu(netdev, 9000), 0);
    CHECK(reconfigure(netdev));
    CHECK_INT(port->pool->mtu, vhost_mempool_rounded_mtu(9000));
    netdev_run();
    check_mempools(1);

    /* The guest moves to another node. */
    stub_memory.n_nodes = 2;
    guest_stop(vid);
    for (int i = 0; i < 6; i++) {
        guest_set_node(vid, i, 1);
    }
    CHECK(port->pool);
    guest_start(vid, 3);
    CHECK_INT(netdev_get_numa_id(netdev), 0);
    CHECK(reconfigure(netdev));
    CHECK_INT(netdev_get_numa_id(netdev), 1);
    CHECK_INT(port->pool->node, 1);

    /* It leaves, its memory with it. */
    guest_disconnect(vid);
    CHECK(!has_carrier(netdev));
    CHECK(!netdev_is_reconf_required(netdev));
    pass_time(VHOST_SETTLE_TIME);
    CHECK(reconfigure(netdev));
    CHECK(!port->pool && !port->mp);
    CHECK_INT(netdev_n_rxq(netdev), 1);
    CHECK_INT(netdev_n_txq(netdev), 1);
    netdev_run();
    check_mempools(0);
    CHECK(!reconfigure(netdev));

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_reconfigure, "port-reconfigure",
           "port: reconfiguration", TEST_DPDK);

static void
test_no_memory(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct netdev *other = open_client("vhu1", path_of("s1"));
    unsigned int n_failed;
    struct rte_mbuf *mbuf;
    int vid;

    /* None at all: the port stays in the datapath, but carries nothing. */
    stub_memory.n_free_mbufs[0] = 0;
    vid = attach_guest(path_of("s0"), 1);
    attach_guest(path_of("s1"), 1);
    CHECK(reconfigure(netdev));
    CHECK(reconfigure(other));
    CHECK_STR(status_of(netdev, "status"), "connected");
    CHECK_HAS(status_of(netdev, "memory"),
              "no memory for mbufs on any NUMA node");
    CHECK_STR(status_of(netdev, "mempool"), NULL);
    CHECK(!has_carrier(netdev));
    receive_from(netdev, 0);
    CHECK_LOGGED("vhu0: no memory for mbufs on any NUMA node");

    /* It asks again from time to time, and sees to it that the main loop wakes
     * up for it, but does not disturb the datapath without need. */
    netdev_run();
    stub_memory.wake_time = LLONG_MAX;
    netdev_wait();
    CHECK(stub_memory.wake_time <= time_msec() + 5000);
    n_failed = stub_memory.n_failed_pools;
    retry_pools();
    CHECK(stub_memory.n_failed_pools > n_failed);
    CHECK(!netdev_is_reconf_required(netdev));

    /* There is some for one port. */
    netdev_close(other);
    stub_memory.n_free_mbufs[0] = vhost_mempool_size(64) / 2;
    retry_pools();
    CHECK(reconfigure(netdev));
    CHECK(has_carrier(netdev));
    CHECK_HAS(status_of(netdev, "mempool"), "ovs-vhost-");
    CHECK_STR(status_of(netdev, "mempool_numa"), "0");
    CHECK_INT(atoi(status_of(netdev, "mempool_mbufs")),
              vhost_mempool_size(64) / 2);
    CHECK_HAS(status_of(netdev, "memory"), "mbufs instead of");
    retry_pools();
    CHECK(!netdev_is_reconf_required(netdev));

    /* A change that there is no memory for, as a packet is still in the old
     * pool. */
    mbuf = rte_pktmbuf_alloc(vhost_port_cast(netdev)->mp);
    CHECK_INT(netdev_set_mtu(netdev, 9000), 0);
    CHECK(reconfigure(netdev));
    CHECK_HAS(status_of(netdev, "memory"), "no memory for mbufs");
    rte_pktmbuf_free(mbuf);

    /* When the guest leaves, the question is settled. */
    guest_disconnect(vid);
    pass_time(VHOST_SETTLE_TIME);
    CHECK(reconfigure(netdev));
    CHECK_STR(status_of(netdev, "memory"), NULL);
    retry_pools();
    CHECK(!netdev_is_reconf_required(netdev));

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_no_memory, "port-no-memory", "port: no memory", TEST_DPDK);

/* A physical port, or its transmit rings, make a pool too small. */
static void
test_outgrown_pool(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct vhost_port *port = vhost_port_cast(netdev);
    unsigned int n_mbufs;

    attach_guest(path_of("s0"), 1);
    CHECK(reconfigure(netdev));
    n_mbufs = port->pool->n_mbufs;
    retry_pools();
    CHECK(!netdev_is_reconf_required(netdev));

    stub_memory.n_ethdevs = 2;
    stub_memory.n_txqs = 3;
    stub_memory.n_txq_descs = 4096;
    retry_pools();
    CHECK(reconfigure(netdev));
    CHECK(port->pool->n_mbufs > n_mbufs);
    CHECK_STR(status_of(netdev, "memory"), NULL);
    netdev_run();
    check_mempools(1);
    retry_pools();
    CHECK(!netdev_is_reconf_required(netdev));

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_outgrown_pool, "port-outgrown-pool",
           "port: outgrown mempool", TEST_DPDK);
