/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "netdev-provider.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-ports.h"

/* Makes this process one that cannot give files away, as an ordinary user's,
 * even if it is root's. */
static void
become_ordinary(void)
{
    struct __user_cap_header_struct header = {
        .version = _LINUX_CAPABILITY_VERSION_3,
    };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    CHECK(!syscall(SYS_capget, &header, data));
    data[0].effective &= ~(1u << CAP_CHOWN);
    CHECK(!syscall(SYS_capset, &header, data));
}

static mode_t
mode_of(const char *name)
{
    struct stat s;

    CHECK(!stat(name, &s));
    return s.st_mode & 07777;
}

/* Who may connect to the socket of a server port is not what was asked for:
 * the port says so as long as that is so. */
static void
test_status(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *server, *client;
    uint64_t seq;

    init_config(NULL);
    become_ordinary();
    CHECK(update_config("vhost-sock-owner", "12345:54321",
                        "vhost-sock-mode", "0660", NULL));
    server = open_port("vhu0", "dpdkvhostuser");
    CHECK_INT(mode_of("vhu0"), 0660);
    CHECK_STR(status_of(server, "socket_access"),
              "vhost-sock-owner: cannot set owner of "
              "\"/proc/self/cwd/vhu0\" to 12345:54321: without "
              "CAP_CHOWN, ovs-vswitchd can only set a group that its user is "
              "in (\":group\")");
    CHECK_LOGGED("vhu0: vhost-sock-owner: cannot set owner");
    CHECK_STR(status_of(server, "config_error"), NULL);
    client = open_client("vhu1", path_of("qemu"));

    /* Another attempt, and a success. */
    CHECK(update_config("vhost-sock-owner", ":54321", NULL));
    vhost_ports_update_socket_access();
    CHECK_HAS(status_of(server, "socket_access"),
              "/vhu0\" to :54321: without CAP_CHOWN");
    CHECK(update_config("vhost-sock-owner", "12345", NULL));
    vhost_ports_update_socket_access();
    CHECK_HAS(status_of(server, "socket_access"), "/vhu0\" to 12345: ");
    seq = netdev_get_change_seq(server);
    CHECK(update_config("vhost-sock-mode", "0600", NULL));
    vhost_ports_update_socket_access();
    CHECK(netdev_get_change_seq(server) != seq);
    CHECK_STR(status_of(server, "socket_access"), NULL);
    CHECK_INT(mode_of("vhu0"), 0600);

    /* The mode. */
    CHECK(!unlink("vhu0"));
    CHECK(update_config("vhost-sock-mode", "0666", NULL));
    seq = netdev_get_change_seq(server);
    vhost_ports_update_socket_access();
    CHECK(netdev_get_change_seq(server) != seq);
    CHECK_STR(status_of(server, "socket_access"),
              "vhost-sock-mode: cannot set permissions of "
              "\"/proc/self/cwd/vhu0\" to 0666: No such file or directory");
    CHECK_STR(status_of(client, "socket_access"), NULL);

    netdev_close(server);
    netdev_close(client);
    check_sessions_closed();
}
VHOST_TEST(test_status, "socket-access-status",
           "port: access to a server socket fails", TEST_DPDK);
