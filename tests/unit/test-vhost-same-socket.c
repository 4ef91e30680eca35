/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "netdev-provider.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-port.h"
#include "vhost-session.h"
#include "vhost-socket.h"

/* One socket that has two names. */

static void
make_socket(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    CHECK(!bind(fd, (struct sockaddr *) &sun, sizeof sun));
    close(fd);
}

static bool
are_same(const char *a_, const char *b_)
{
    struct vhost_socket_identity a, b;
    bool same;

    vhost_socket_identify(path_of(a_), &a);
    vhost_socket_identify(path_of(b_), &b);
    same = vhost_socket_identity_equals(&a, &b);
    CHECK_INT(same, vhost_socket_identity_equals(&b, &a));
    vhost_socket_identity_destroy(&a);
    vhost_socket_identity_destroy(&b);
    return same;
}

static void
test_identity(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    CHECK(!mkdir("d", 0777) && !mkdir("d/sub", 0777));
    CHECK(!symlink("d", "link"));

    /* There is no socket yet. */
    CHECK(are_same("d/s0", "d/s0"));
    CHECK(!are_same("d/s0", "d/s1"));
    CHECK(are_same("d/s0", "d//s0"));
    CHECK(are_same("d/s0", "./d/./s0"));
    CHECK(are_same("d/s0", "d/sub/../s0"));
    CHECK(are_same("d/s0", "link/s0"));
    CHECK(!are_same("d/s0", "s0"));

    /* Nor a directory. */
    CHECK(are_same("no/dir/s0", "no//dir/s0"));
    CHECK(are_same("no/dir/s0", "no/dir/../dir/s0"));
    CHECK(are_same("link/no/s0", "d/no/./s0"));
    CHECK(!are_same("no/dir/s0", "no/s0"));

    make_socket("d/s0");
    CHECK(are_same("d/s0", "link/s0"));
    CHECK(!symlink("s0", "d/other"));
    CHECK(are_same("d/s0", "d/other"));
    CHECK(!link("d/s0", "hard"));
    CHECK(are_same("d/s0", "hard"));
    make_socket("d/s1");
    CHECK(!are_same("d/s0", "d/s1"));
    CHECK(!unlink("d/s1"));
    CHECK(!are_same("hard", "d/s1"));
}
VHOST_TEST(test_identity, "socket-identity", "sockets: names of one socket",
           0);

static void
set_path(struct netdev *netdev, const char *path)
{
    char *error;

    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path, NULL),
              0);
}

static void
close_port(struct netdev *netdev)
{
    netdev_close(netdev);
    netdev_run();
}

/* A second port is refused when it is added or moved. */
static void
test_add(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const char *const aliases[] = {
        "d/s0", "d//s0", "d/./s0", "d/../d/s0", "link/s0"
    };
    struct netdev *first, *second, *server;
    char *error;
    int vid;

    init_config("vhost-sock-dir", "d", NULL);
    CHECK(!mkdir("d", 0777) && !symlink("d", "link"));
    first = open_client("vhu0", path_of("d/s0"));
    second = open_port("vhu1", "dpdkvhostuserclient");
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
        CHECK_INT(set_options(second, &error, "vhost-server-path",
                              path_of(aliases[i]), NULL), EADDRINUSE);
        CHECK_HAS(error, "is already used by port vhu0");
        CHECK_HAS(error, aliases[i]);
        free(error);
    }

    /* A port that has a socket stays there until this one is free. */
    set_path(second, path_of("d/s1"));
    CHECK(reconfigure(second));
    set_path(second, path_of("link/s0"));
    CHECK(reconfigure(second));
    CHECK_HAS(status_of(second, "config_error"),
              "link/s0\" is already used by port vhu0");
    CHECK_STR(status_of(second, "socket"), path_of("d/s1"));
    pass_time(1000);
    CHECK(!netdev_is_reconf_required(second));

    /* Another name of its own is no other socket, and no obstacle. */
    set_path(first, path_of("link/s0"));
    CHECK(reconfigure(first));
    CHECK_STR(status_of(first, "config_error"), NULL);
    CHECK_STR(status_of(first, "socket"), path_of("link/s0"));
    vid = guest_connect(path_of("link/s0"));
    CHECK(vid >= 0);
    pass_time(1000);
    CHECK(!netdev_is_reconf_required(second));
    guest_disconnect(vid);

    close_port(first);
    pass_time(1000);
    CHECK(reconfigure(second));
    CHECK_STR(status_of(second, "config_error"), NULL);
    CHECK_STR(status_of(second, "socket"), path_of("link/s0"));

    /* Of two types. */
    forget_log();
    CHECK_INT(netdev_open("s0", "dpdkvhostuser", &server), EIO);
    CHECK_LOGGED("is already used by port vhu1");
    server = open_port("s2", "dpdkvhostuser");
    set_path(second, path_of("link//s2"));
    CHECK(reconfigure(second));
    CHECK_HAS(status_of(second, "config_error"),
              "is already used by port s2");

    close_port(server);
    close_port(second);
    check_sessions_closed();
}
VHOST_TEST(test_add, "port-same-socket", "port: one socket by two names",
           TEST_DPDK);

/* A directory is another one by the time that guests connect. */
static void
test_later(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *first, *second;
    int vid;

    init_config(NULL);
    CHECK(!mkdir("d", 0777));
    first = open_client("vhu0", path_of("d/s0"));
    second = open_client("vhu1", path_of("e/s0"));
    CHECK_STR(status_of(second, "config_error"), NULL);

    CHECK(!symlink("d", "e"));
    make_socket("d/s0");
    vid = guest_connect(path_of("d/s0"));
    guest_start(vid, 1);
    CHECK(reconfigure(first));
    CHECK_INT(guest_connect(path_of("e/s0")), -1);
    CHECK(reconfigure(second));
    CHECK_HAS(status_of(second, "config_error"),
              "e/s0\" is already used by port vhu0");
    CHECK_STR(status_of(second, "socket"), NULL);
    CHECK_LOGGED("vhu1: vhost socket path");
    CHECK_NOT_LOGGED("to change what is offered");
    CHECK(guest_is_running(vid));

    /* As it stays so, nothing happens... */
    pass_time(1000);
    CHECK(!netdev_is_reconf_required(second));
    set_path(second, path_of("e/s0"));
    CHECK(reconfigure(second));
    CHECK_HAS(status_of(second, "config_error"), "used by port vhu0");

    /* ...until the names part, though one still has its inode. */
    CHECK(!unlink("e") && !mkdir("e", 0777));
    pass_time(1000);
    CHECK(reconfigure(second));
    CHECK_STR(status_of(second, "config_error"), NULL);
    CHECK_STR(status_of(second, "socket"), path_of("e/s0"));
    CHECK(!link("d/s0", "e/s0"));
    CHECK_INT(guest_connect(path_of("e/s0")), -1);
    CHECK(reconfigure(second));
    CHECK_HAS(status_of(second, "config_error"), "used by port vhu0");

    /* The port that was added first, but connects last. */
    CHECK(!unlink("d/s0") && !unlink("e/s0"));
    close_port(first);
    first = open_client("vhu0", path_of("d/s0"));
    pass_time(1000);
    CHECK(reconfigure(second));
    CHECK_STR(status_of(second, "config_error"), NULL);
    make_socket("d/s0");
    CHECK(!link("d/s0", "e/s0"));
    vid = guest_connect(path_of("e/s0"));
    CHECK(vid >= 0);
    CHECK_INT(guest_connect(path_of("d/s0")), -1);
    CHECK(reconfigure(first));
    CHECK_HAS(status_of(first, "config_error"), "used by port vhu1");

    close_port(second);
    pass_time(1000);
    CHECK(reconfigure(first));
    CHECK_STR(status_of(first, "config_error"), NULL);
    CHECK(guest_connect(path_of("d/s0")) >= 0);
    close_port(first);
    check_sessions_closed();
}
VHOST_TEST(test_later, "port-same-socket-later",
           "port: one socket by two names, later", TEST_DPDK);
