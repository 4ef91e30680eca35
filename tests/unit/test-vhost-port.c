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
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_net.h>
#include <rte_vhost.h>

#include "fatal-signal.h"
#include "netdev-plugin.h"
#include "netdev-provider.h"
#include "smap.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "sset.h"
#include "svec.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-mempool.h"
#include "vhost-port.h"
#include "vhost-supply.h"

/* Checks that nothing is left of the ports that there were. */
static void
check_all_closed(void)
{
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}

static int
open_error(const char *name)
{
    struct netdev *netdev;
    int error = netdev_open(name, "dpdkvhostuser", &netdev);

    CHECK(error && !netdev);
    CHECK_INT(stub_vhost.n_sockets, 0);
    return error;
}

static int
mode_of(const char *name)
{
    struct stat s;

    return lstat(name, &s) ? -1 : s.st_mode & 07777;
}

/* Connects a guest with 'n_pairs' pairs of virtqueues to the socket at
 * 'path'. */
static int
connect_guest(const char *path, unsigned int n_pairs)
{
    int vid = guest_connect(path);

    CHECK(vid >= 0);
    guest_start(vid, n_pairs);
    return vid;
}

static bool
has_carrier(const struct netdev *netdev)
{
    return netdev_get_carrier(netdev);
}

/* Receives from queue 0 of 'netdev' and checks that it is 'n' packets. */
static void
receive(struct netdev *netdev, int n)
{
    struct dp_packet_batch batch;
    struct netdev_rxq *rxq;

    CHECK_INT(netdev_rxq_open(netdev, &rxq, 0), 0);
    dp_packet_batch_init(&batch);
    CHECK_INT(netdev_rxq_recv(rxq, &batch, NULL), n ? 0 : EAGAIN);
    CHECK_INT(batch.count, n);
    dp_packet_delete_batch(&batch, true);
    netdev_rxq_close(rxq);
}

static void
send_packet(struct netdev *netdev, int qid, size_t size)
{
    struct dp_packet_batch batch;

    dp_packet_batch_init_packet(&batch, make_packet(size));
    CHECK_INT(netdev_send(netdev, qid, &batch, true), 0);
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
    connect_guest(path_of("vhu0"), 1);
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

static void
test_socket_access(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *server, *client;

    init_config("vhost-sock-dir", "socks", NULL);
    CHECK(!mkdir("socks", 0777));
    CHECK(update_config("vhost-sock-mode", "0600", NULL));
    server = open_port("vhu0", "dpdkvhostuser");
    CHECK_INT(mode_of("socks/vhu0"), 0600);

    /* The file at a client's path is not ours. */
    client = open_client("vhu1", path_of("qemu"));
    CHECK(!close(open("qemu", O_CREAT | O_WRONLY, 0644)));
    CHECK(update_config("vhost-sock-mode", "0660", NULL));
    vhost_ports_update_socket_access();
    CHECK_INT(mode_of("socks/vhu0"), 0660);
    CHECK_INT(mode_of("qemu"), 0644);

    /* An error costs no port. */
    CHECK(!unlink("socks/vhu0"));
    forget_log();
    vhost_ports_update_socket_access();
    CHECK_LOGGED("vhu0: vhost-sock-mode: cannot set permissions of");
    CHECK_STR(status_of(server, "socket"), "/proc/self/cwd/socks/vhu0");

    netdev_close(server);
    netdev_close(client);
    check_all_closed();
}
VHOST_TEST(test_socket_access, "port-socket-access",
           "port: access to server sockets", TEST_DPDK);

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
    int vid = connect_guest(path_of("s0"), 2);
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
    receive(netdev, 1);
    set_path(netdev, path_of("s2"));
    CHECK(reconfigure(netdev));
    CHECK_INT(guest_connect(path_of("s0")), -1);
    CHECK_STR(status_of(netdev, "socket"), path_of("s2"));
    CHECK_STR(status_of(netdev, "status"), "disconnected");
    CHECK_INT(netdev_n_rxq(netdev), 1);
    CHECK(!has_carrier(netdev));
    CHECK_INT(netdev_get_stats(netdev, &stats), 0);
    CHECK_INT(stats.rx_packets, 1);
    connect_guest(path_of("s2"), 1);
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
    connect_guest(path_of("s0"), 1);
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

    vid = connect_guest(path_of("s0"), 3);
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

/* Lets time pass in which ports look for memory. */
static void
retry(void)
{
    for (int i = 0; i < 6; i++) {
        pass_time(1000);
    }
}

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
    vid = connect_guest(path_of("s0"), 1);
    connect_guest(path_of("s1"), 1);
    CHECK(reconfigure(netdev));
    CHECK(reconfigure(other));
    CHECK_STR(status_of(netdev, "status"), "connected");
    CHECK_HAS(status_of(netdev, "memory"),
              "no memory for mbufs on any NUMA node");
    CHECK_STR(status_of(netdev, "mempool"), NULL);
    CHECK(!has_carrier(netdev));
    receive(netdev, 0);
    CHECK_LOGGED("vhu0: no memory for mbufs on any NUMA node");

    /* It asks again from time to time, and sees to it that the main loop wakes
     * up for it, but does not disturb the datapath without need. */
    netdev_run();
    stub_memory.wake_time = LLONG_MAX;
    netdev_wait();
    CHECK(stub_memory.wake_time <= time_msec() + 5000);
    n_failed = stub_memory.n_failed_pools;
    retry();
    CHECK(stub_memory.n_failed_pools > n_failed);
    CHECK(!netdev_is_reconf_required(netdev));

    /* There is some for one port. */
    netdev_close(other);
    stub_memory.n_free_mbufs[0] = vhost_mempool_size(64) / 2;
    retry();
    CHECK(reconfigure(netdev));
    CHECK(has_carrier(netdev));
    CHECK_HAS(status_of(netdev, "mempool"), "ovs-vhost-");
    CHECK_STR(status_of(netdev, "mempool_numa"), "0");
    CHECK_INT(atoi(status_of(netdev, "mempool_mbufs")),
              vhost_mempool_size(64) / 2);
    CHECK_HAS(status_of(netdev, "memory"), "mbufs instead of");
    retry();
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
    retry();
    CHECK(!netdev_is_reconf_required(netdev));

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_no_memory, "port-no-memory", "port: no memory", TEST_DPDK);

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
    connect_guest(path_of("s0"), 1);
    CHECK(reconfigure(netdev));
    look_at_placement();
    CHECK_STR(status_of(netdev, "placement"), NULL);
    look_at_placement();
    CHECK_HAS(status_of(netdev, "placement"), "there is no memory for any");
    CHECK_LOGGED("vhu0: placement: the guest is on NUMA node 0");

    /* ...but what is local has arrived. */
    stub_memory.n_free_mbufs[0] = vhost_mempool_size(64);
    retry();
    CHECK(reconfigure(netdev));
    look_at_placement();
    CHECK_STR(status_of(netdev, "placement"), "local");

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_placement, "port-placement", "port: placement", TEST_DPDK);

/* A physical port, or its transmit rings, make a pool too small. */
static void
test_outgrown_pool(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct vhost_port *port = vhost_port_cast(netdev);
    unsigned int n_mbufs;

    connect_guest(path_of("s0"), 1);
    CHECK(reconfigure(netdev));
    n_mbufs = port->pool->n_mbufs;
    retry();
    CHECK(!netdev_is_reconf_required(netdev));

    stub_memory.n_ethdevs = 2;
    stub_memory.n_txqs = 3;
    stub_memory.n_txq_descs = 4096;
    retry();
    CHECK(reconfigure(netdev));
    CHECK(port->pool->n_mbufs > n_mbufs);
    CHECK_STR(status_of(netdev, "memory"), NULL);
    netdev_run();
    check_mempools(1);
    retry();
    CHECK(!netdev_is_reconf_required(netdev));

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_outgrown_pool, "port-outgrown-pool",
           "port: outgrown mempool", TEST_DPDK);

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
        "features", "mtu", "numa", "num_of_vrings", "vring_0_size", "n_rxq",
        "n_txq", "mempool", "mempool_numa", "mempool_mbufs", "memory",
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
        check_status_keys(netdev, "features mempool mempool_mbufs "
                          "mempool_numa mode mtu n_rxq n_txq num_of_vrings "
                          "numa socket status vring_0_size vring_1_size "
                          "vring_2_size vring_3_size");
        CHECK_STR(status_of(netdev, "memory"), NULL);
        CHECK_STR(status_of(netdev, "config_error"), NULL);
        CHECK_STR(status_of(netdev, "ring_fault"), NULL);
        CHECK_STR(status_of(netdev, "status"), "connected");
        CHECK_STR(status_of(netdev, "features"), "0x0000000000000008");
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

        vid = connect_guest(path_of(netdev_get_name(netdev)), 2);
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
        receive(netdev, 8);
        send_packet(netdev, 0, 60);
        send_packet(netdev, 0, 128);
        send_packet(netdev, 1, 256);
        send_packet(netdev, 2, 512);
        send_packet(netdev, 3, 1024);

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
        send_packet(netdev, 0, 60);
        CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 1);
        CHECK_INT(netdev_get_stats(netdev, &stats), 0);
        CHECK_INT(stats.tx_dropped, 1);
        netdev_close(netdev);
    }
    check_all_closed();
}
VHOST_TEST(test_stats, "port-stats", "port: statistics", TEST_DPDK);

/* Each reason to drop is in rx_dropped or tx_dropped. */
static void
test_drop_sums(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct vhost_counters *counters = &vhost_port_cast(netdev)->counters;
    struct netdev_stats stats;

    vhost_count(counters, tx_retries, 1);
    vhost_count(counters, rx_no_mbuf_events, 2);
    vhost_count(counters, rx_ring_faults, 4);
    vhost_count(counters, rx_qos_drops, 8);
    vhost_count(counters, tx_failure_drops, 16);
    vhost_count(counters, tx_mtu_exceeded_drops, 32);
    vhost_count(counters, tx_qos_drops, 64);
    vhost_count(counters, tx_invalid_hwol_drops, 128);
    vhost_count(counters, tx_disconnected_drops, 256);
    vhost_count(counters, tx_no_mbuf_drops, 512);
    CHECK_INT(netdev_get_stats(netdev, &stats), 0);
    CHECK_INT(stats.rx_dropped, 8);
    CHECK_INT(stats.tx_dropped, 16 + 32 + 64 + 128 + 256 + 512);
    CHECK_INT(counter_of(netdev, "ovs_tx_retries"), 1);
    CHECK_INT(counter_of(netdev, "ovs_rx_no_mbuf_events"), 2);
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 4);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 8);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 16);
    CHECK_INT(counter_of(netdev, "ovs_tx_mtu_exceeded_drops"), 32);
    CHECK_INT(counter_of(netdev, "ovs_tx_qos_drops"), 64);
    CHECK_INT(counter_of(netdev, "ovs_tx_invalid_hwol_drops"), 128);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 256);
    CHECK_INT(counter_of(netdev, "ovs_tx_no_mbuf_drops"), 512);

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_drop_sums, "port-drop-sums",
           "port: reasons to drop", TEST_DPDK);

/* The configuration of 'netdev' are its options, those that are not as
 * usual. */
static void
check_config_is_options(struct netdev *netdev)
{
    struct smap config = SMAP_INITIALIZER(&config);
    char *error;

    CHECK_INT(netdev_get_config(netdev, &config), 0);
    CHECK_INT(smap_count(&config), 1);
    CHECK_STR(smap_get(&config, "vhost-server-path"), path_of("s1"));
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s1"),
                          "tx-retries-max", "3", "vhost-iommu-support", "true",
                          "dq-zero-copy", "true", NULL), 0);
    CHECK_INT(netdev_get_config(netdev, &config), 0);
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
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct netdev *other = open_client("vhu1", path_of("s1"));
    struct smap config = SMAP_INITIALIZER(&config);
    enum netdev_flags flags;
    struct eth_addr found;
    uint64_t seq;
    int ifindex;

    /* MTU: a frame of 9728 bytes with two VLAN tags and a check sum. */
    CHECK_INT(netdev_set_mtu(netdev, 67), EINVAL);
    CHECK_INT(netdev_set_mtu(netdev, 68), 0);
    CHECK_INT(netdev_set_mtu(netdev, 9728 - 14 - 8 - 4), 0);
    CHECK_INT(netdev_set_mtu(netdev, 9728 - 14 - 8 - 4 + 1), EINVAL);
    CHECK_LOGGED("vhu0: unsupported MTU 67");
    CHECK(reconfigure(netdev));
    CHECK_INT(netdev_set_mtu(netdev, 9702), 0);
    CHECK(!reconfigure(netdev));

    /* MAC address. */
    seq = netdev_get_change_seq(netdev);
    CHECK_INT(netdev_set_etheraddr(netdev, mac), 0);
    CHECK(netdev_get_change_seq(netdev) != seq);
    CHECK_INT(netdev_get_etheraddr(netdev, &found), 0);
    CHECK(eth_addr_equals(mac, found));
    seq = netdev_get_change_seq(netdev);
    CHECK_INT(netdev_set_etheraddr(netdev, mac), 0);
    CHECK(netdev_get_change_seq(netdev) == seq);

    /* Interface index. */
    ifindex = netdev_get_ifindex(netdev);
    CHECK(ifindex > 0 && ifindex < 1 << 24);
    CHECK_INT(netdev_get_ifindex(netdev), ifindex);
    CHECK(netdev_get_ifindex(other) != ifindex);

    /* Flags. */
    CHECK_INT(netdev_get_flags(netdev, &flags), 0);
    CHECK_INT(flags, NETDEV_UP | NETDEV_PROMISC);
    seq = netdev_get_change_seq(netdev);
    vhost_ports_set_admin_state(netdev, false);
    CHECK(netdev_get_change_seq(netdev) != seq);
    CHECK_INT(netdev_get_flags(netdev, &flags), 0);
    CHECK_INT(flags, NETDEV_PROMISC);
    CHECK_INT(netdev_get_flags(other, &flags), 0);
    CHECK_INT(flags, NETDEV_UP | NETDEV_PROMISC);
    vhost_ports_set_admin_state(NULL, true);
    CHECK_INT(netdev_get_flags(netdev, &flags), 0);
    CHECK_INT(flags, NETDEV_UP | NETDEV_PROMISC);
    vhost_ports_set_admin_state(NULL, false);
    CHECK_INT(netdev_get_flags(other, &flags), 0);
    CHECK_INT(flags, NETDEV_PROMISC);
    seq = netdev_get_change_seq(netdev);
    vhost_ports_set_admin_state(NULL, false);
    CHECK(netdev_get_change_seq(netdev) == seq);
    CHECK_INT(vhost_port_update_flags(vhost_port_cast(netdev), 0,
                                      NETDEV_LOOPBACK, &flags), EINVAL);

    /* Configuration. */
    connect_guest(path_of("s1"), 3);
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

    CHECK(netdev_is_pmd(netdev));
    CHECK_INT(netdev_get_numa_id(netdev), 0);
    netdev_close(netdev);
    netdev_close(other);
    check_all_closed();
}
VHOST_TEST(test_properties, "port-properties", "port: properties", TEST_DPDK);

static char *
dump_mempool(const struct netdev *netdev)
{
    size_t size;
    char *text;
    FILE *stream = open_memstream(&text, &size);

    CHECK_INT(ovs_netdev_plugin.dump_mempool(netdev, stream), 0);
    fclose(stream);
    return text;
}

static void
check_no_mempool(const struct netdev *netdev, const char *reason)
{
    char *text;

    if (VHOST_NO_MEMPOOL_IS_ERROR) {
        CHECK_INT(ovs_netdev_plugin.dump_mempool(netdev, stderr), ENODATA);
    } else {
        text = dump_mempool(netdev);
        CHECK_HAS(text, netdev->name);
        CHECK_HAS(text, " has no mempool: ");
        CHECK_HAS(text, reason);
        free(text);
    }
}

/* What the switch sees of the plugin. */
static void
test_plugin(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct netdev_plugin *plugin = &ovs_netdev_plugin;
    struct smap config = SMAP_INITIALIZER(&config);
    struct netdev *netdev, *client;
    enum netdev_flags flags;
    char *text;

    CHECK_INT(plugin->abi.length, sizeof *plugin);
    CHECK_STR(plugin->name, "netdev-vhost");
    CHECK_STR(plugin->types[0], "dpdkvhostuser");
    CHECK_STR(plugin->types[1], "dpdkvhostuserclient");
    CHECK(!plugin->types[2]);

    /* Nothing without DPDK. */
    smap_add(&config, "vhost-sock-mode", "0600");
    plugin->set_config(&config);
    CHECK_INT(netdev_open("vhu0", "dpdkvhostuser", &netdev), EAFNOSUPPORT);
    CHECK_INT(netdev_open("vhu0", "dpdkvhostuserclient", &netdev),
              EAFNOSUPPORT);

    stub_memory.dpdk_available = true;
    plugin->set_config(&config);
    CHECK_INT(netdev_open("vhu0", "dpdkvhostuser", &netdev), 0);
    CHECK_INT(mode_of("vhu0"), 0600);
    CHECK_INT(netdev_open("vhu1", "dpdkvhostuserclient", &client), 0);
    CHECK(reconfigure(netdev));

    /* It follows changes. */
    smap_replace(&config, "vhost-sock-mode", "0666");
    forget_log();
    plugin->set_config(&config);
    CHECK_INT(mode_of("vhu0"), 0666);
    CHECK_NOT_LOGGED("duplicate netdev provider");
    CHECK(!chmod("vhu0", 0611));
    plugin->set_config(&config);
    CHECK_INT(mode_of("vhu0"), 0611);
    smap_destroy(&config);

    plugin->set_admin_state(netdev, false);
    CHECK_INT(netdev_get_flags(netdev, &flags), 0);
    CHECK(!(flags & NETDEV_UP));

    /* A port that never had a guest has no mempool, which is no reason to
     * crash. */
    check_no_mempool(netdev, "no guest is connected.\n");
    check_no_mempool(client, "no guest is connected.\n");
    stub_memory.n_free_mbufs[0] = 0;
    connect_guest(path_of("vhu0"), 1);
    CHECK(reconfigure(netdev));
    check_no_mempool(netdev, "there is no memory for one");
    stub_memory.n_free_mbufs[0] = UINT_MAX;
    netdev_request_reconfigure(netdev);
    CHECK(reconfigure(netdev));
    text = dump_mempool(netdev);
    CHECK_HAS(text, "mempool <ovs-vhost-");
    CHECK_HAS(text, "count: avail (");
    free(text);

    netdev_close(netdev);
    netdev_close(client);
    check_all_closed();
}
VHOST_TEST(test_plugin, "port-plugin", "port: plugin", TEST_DPDK);

static void
test_qos(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct smap details = SMAP_INITIALIZER(&details);
    struct netdev_queue_dump dump;
    struct netdev_queue_stats stats;
    struct sset types = SSET_INITIALIZER(&types);
    unsigned int queue_id, n = 0;
    struct smap found;
    const char *type;

    CHECK_INT(netdev_get_qos_types(netdev, &types), 0);
    CHECK_INT(sset_count(&types), 2);
    CHECK(sset_contains(&types, "egress-policer"));
    CHECK(sset_contains(&types, "trtcm-policer"));
    sset_destroy(&types);

    /* None at first. */
    smap_init(&found);
    CHECK_INT(netdev_get_qos(netdev, &type, &found), 0);
    CHECK_STR(type, "");
    CHECK_INT(netdev_set_queue(netdev, 0, &details), EOPNOTSUPP);
    CHECK_INT(netdev_get_queue(netdev, 0, &found), EOPNOTSUPP);
    CHECK_INT(netdev_delete_queue(netdev, 0), EOPNOTSUPP);
    CHECK_INT(netdev_get_queue_stats(netdev, 0, &stats), EOPNOTSUPP);
    NETDEV_QUEUE_FOR_EACH (&queue_id, &found, &dump, netdev) {
        n++;
    }
    CHECK_INT(n, 0);
    CHECK_INT(netdev_set_qos(netdev, "linux-htb", &details), EOPNOTSUPP);
    CHECK_INT(netdev_set_qos(netdev, "egress-policer", &details), EINVAL);
    CHECK_LOGGED("Failed to set QoS type egress-policer on port vhu0");

    smap_add(&details, "cir", "1000");
    smap_add(&details, "cbs", "2000");
    CHECK_INT(netdev_set_qos(netdev, "egress-policer", &details), 0);
    CHECK_INT(netdev_get_qos(netdev, &type, &found), 0);
    CHECK_STR(type, "egress-policer");
    CHECK(smap_equal(&details, &found));
    CHECK_INT(netdev_set_queue(netdev, 1, &details), EOPNOTSUPP);

    /* Another type, with queues. */
    smap_add(&details, "eir", "3000");
    smap_add(&details, "ebs", "4000");
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    smap_clear(&found);
    CHECK_INT(netdev_get_qos(netdev, &type, &found), 0);
    CHECK_STR(type, "trtcm-policer");
    CHECK(smap_equal(&details, &found));
    CHECK_INT(netdev_set_queue(netdev, 1, &details), 0);
    smap_clear(&found);
    CHECK_INT(netdev_get_queue(netdev, 1, &found), 0);
    CHECK(smap_equal(&details, &found));
    CHECK_INT(netdev_get_queue(netdev, 2, &found), EINVAL);
    smap_clear(&details);
    smap_add(&details, "cir", "1");
    CHECK_INT(netdev_set_queue(netdev, 2, &details), EINVAL);
    CHECK_LOGGED("Failed to set QoS queue 2 on port vhu0");
    CHECK_INT(netdev_get_queue_stats(netdev, 1, &stats), 0);
    CHECK_INT(stats.tx_packets, 0);
    NETDEV_QUEUE_FOR_EACH (&queue_id, &found, &dump, netdev) {
        CHECK_INT(queue_id, 1);
        CHECK_STR(smap_get(&found, "eir"), "3000");
        n++;
    }
    CHECK_INT(n, 1);

    /* Setting the same again keeps the queues, something else does not. */
    smap_replace(&details, "cir", "1000");
    smap_add(&details, "cbs", "2000");
    smap_add(&details, "eir", "3000");
    smap_add(&details, "ebs", "4000");
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    CHECK_INT(netdev_get_queue(netdev, 1, &found), 0);
    CHECK_INT(netdev_delete_queue(netdev, 1), 0);
    CHECK_INT(netdev_get_queue(netdev, 1, &found), EINVAL);
    CHECK_INT(netdev_set_queue(netdev, 1, &details), 0);
    smap_replace(&details, "cir", "1001");
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    CHECK_INT(netdev_get_queue(netdev, 1, &found), EINVAL);
    CHECK_INT(netdev_set_qos(netdev, "", &details), 0);
    CHECK_INT(netdev_get_qos(netdev, &type, &found), 0);
    CHECK_STR(type, "");

    /* The last one goes with the port. */
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    CHECK_INT(netdev_set_queue(netdev, 1, &details), 0);
    CHECK_INT(netdev_set_policing(netdev, 1000, 100, 0, 0), 0);
    smap_destroy(&details);
    smap_destroy(&found);
    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_qos, "port-qos", "port: QoS", TEST_DPDK);

static void
test_policing(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct vhost_port *port = vhost_port_cast(netdev);
    struct vhost_policer *policer;

    CHECK(!ovsrcu_get(struct vhost_policer *, &port->policer));
    CHECK_INT(netdev_set_policing(netdev, 1000, 0, 0, 0), 0);
    policer = ovsrcu_get(struct vhost_policer *, &port->policer);
    CHECK(policer);

    /* The same, with the default burst spelled out, changes nothing: what it
     * has counted so far would be lost. */
    CHECK_INT(netdev_set_policing(netdev, 1000, 8000, 0, 0), 0);
    CHECK(ovsrcu_get(struct vhost_policer *, &port->policer) == policer);
    CHECK_INT(netdev_set_policing(netdev, 1000, 100, 0, 0), 0);
    CHECK(ovsrcu_get(struct vhost_policer *, &port->policer) != policer);
    CHECK_INT(netdev_set_policing(netdev, 0, 100, 0, 0), 0);
    CHECK(!ovsrcu_get(struct vhost_policer *, &port->policer));

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_policing, "port-policing", "port: policing", TEST_DPDK);
