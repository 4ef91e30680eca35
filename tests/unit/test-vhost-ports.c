/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netdev-provider.h"
#include "openvswitch/dynamic-string.h"
#include "ovs-thread.h"
#include "port-fixture.h"
#include "stub-memory.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-port.h"
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

static void
put_name(struct vhost_port *port, void *s)
{
    CHECK(ovs_mutex_trylock(&port->mutex));
    ds_put_format(s, "%s ", netdev_get_name(&port->up));
}

/* Checks which ports are visited for 'name', or for all if it is null. */
static void
check_visited(const char *name, const char *expected)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    vhost_ports_for_each(name, put_name, &s);
    CHECK_STR(ds_cstr(&s), expected);
    ds_destroy(&s);
}

/* The ports are visited by name, locked, and not after they were closed. */
static void
test_for_each(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *b, *c, *a;

    check_visited(NULL, "");
    b = open_client("vhu1", path_of("s1"));
    c = open_client("vhu10", path_of("s10"));
    a = open_client("vhu0", path_of("s0"));
    check_visited(NULL, "vhu0 vhu1 vhu10 ");
    check_visited("vhu1", "vhu1 ");
    check_visited("vhu", "");
    netdev_close(b);
    check_visited("vhu1", "");
    check_visited(NULL, "vhu0 vhu10 ");
    netdev_close(a);
    netdev_close(c);
    check_visited(NULL, "");
    check_all_closed();
}
VHOST_TEST(test_for_each, "ports-for-each", "ports: in order", TEST_DPDK);

/* The main loop wakes up for ports each second, and not without ports. */
static void
test_wait(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev;

    stub_memory.time = time_msec();
    stub_memory.wake_time = LLONG_MAX;
    vhost_ports_run();
    vhost_ports_wait();
    CHECK_INT(stub_memory.wake_time, LLONG_MAX);

    netdev = open_client("vhu0", path_of("s0"));
    stub_memory.time_offset += 5000;
    vhost_ports_run();
    vhost_ports_wait();
    CHECK_INT(stub_memory.wake_time, time_msec() + 1000);

    /* Not later because it is called early. */
    stub_memory.time_offset += 999;
    vhost_ports_run();
    stub_memory.wake_time = LLONG_MAX;
    vhost_ports_wait();
    CHECK_INT(stub_memory.wake_time, time_msec() + 1);
    stub_memory.time_offset += 1;
    vhost_ports_run();
    stub_memory.wake_time = LLONG_MAX;
    vhost_ports_wait();
    CHECK_INT(stub_memory.wake_time, time_msec() + 1000);

    stub_memory.time = 0;
    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_wait, "ports-wait", "ports: periodic work", TEST_DPDK);
