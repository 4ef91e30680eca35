/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netdev-provider.h"
#include "port-fixture.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-ports.h"

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

static void
check_up(const struct netdev *netdev, bool up)
{
    enum netdev_flags flags;

    CHECK_INT(netdev_get_flags(netdev, &flags), 0);
    CHECK_INT(flags, (up ? NETDEV_UP : 0) | NETDEV_PROMISC);
}

/* One port is switched, or all of them. */
static void
test_admin_state(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *first = open_client("vhu0", path_of("s0"));
    struct netdev *other = open_client("vhu1", path_of("s1"));
    uint64_t seq;

    seq = netdev_get_change_seq(first);
    vhost_ports_set_admin_state(first, false);
    CHECK(netdev_get_change_seq(first) != seq);
    check_up(first, false);
    check_up(other, true);
    vhost_ports_set_admin_state(NULL, true);
    check_up(first, true);
    check_up(other, true);
    vhost_ports_set_admin_state(NULL, false);
    check_up(first, false);
    check_up(other, false);
    seq = netdev_get_change_seq(first);
    vhost_ports_set_admin_state(NULL, false);
    CHECK(netdev_get_change_seq(first) == seq);

    netdev_close(first);
    netdev_close(other);
    check_all_closed();
}
VHOST_TEST(test_admin_state, "ports-admin-state",
           "ports: administrative state", TEST_DPDK);
