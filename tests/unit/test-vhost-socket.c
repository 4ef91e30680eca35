/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "test-vhost.h"
#include "util.h"
#include "vhost-config.h"
#include "vhost-socket.h"

/* Returns a socket of 'type' for which 'attach', bind() or connect(), was
 * called with 'path'. */
static int
make_socket(const char *path, int type,
            int (*attach)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    if (fd < 0 || attach(fd, (struct sockaddr *) &sun, sizeof sun)) {
        ovs_fatal(errno, "cannot bind or connect to %s", path);
    }
    return fd;
}

static int
bind_socket(const char *path, int type)
{
    return make_socket(path, type, bind);
}

static int
connect_to(const char *path)
{
    return make_socket(path, SOCK_STREAM, connect);
}

static void
make_stale_socket(const char *path)
{
    close(bind_socket(path, SOCK_STREAM));
}

static bool
exists(const char *path)
{
    struct stat s;

    return !lstat(path, &s);
}

static void
check_path(const char *path, int expected, const char *part)
{
    char *error = NULL;

    CHECK_INT(vhost_socket_check_path(path, &error), expected);
    if (expected) {
        CHECK_HAS(error, part);
    }
    free(error);
}

static void
test_path(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    char path[109];

    check_path("/a", 0, NULL);
    check_path("", EINVAL, "is empty");
    check_path("relative", EINVAL, "\"relative\" is relative");
    check_path("./x", EINVAL, "is relative");
    check_path("/dev/vduse/vm0", EINVAL, "is that of a VDUSE device");
    check_path("/dev/vdus", 0, NULL);

    /* 107 bytes and the null terminator are what a sockaddr_un takes. */
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[107] = '\0';
    check_path(path, 0, NULL);
    path[107] = 'x';
    path[108] = '\0';
    check_path(path, ENAMETOOLONG, "is 108 bytes long");
    check_path(path, ENAMETOOLONG, "at most 107");
}
VHOST_TEST(test_path, "socket-path", "sockets: paths", 0);

/* Checks that what is at 'path' stays there. */
static void
check_left_alone(const char *path, int expected, const char *part)
{
    char *error = NULL;

    CHECK_INT(vhost_socket_remove_stale(path, &error), expected);
    CHECK_HAS(error, part);
    CHECK_HAS(error, path);
    CHECK(exists(path));
    free(error);
}

static void
test_stale(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *path = path_of("socket");
    struct rlimit limit, few;
    char *error = NULL;
    int next;

    /* Nothing there, nothing to do. */
    CHECK_INT(vhost_socket_remove_stale(path, &error), 0);
    CHECK(!error);
    CHECK_STR(read_log(), "");

    make_stale_socket(path);
    CHECK_INT(vhost_socket_remove_stale(path, &error), 0);
    CHECK(!error);
    CHECK(!exists(path));
    CHECK_LOGGED("Removed stale vhost socket");

    /* Whether there is one cannot be told. */
    CHECK(!close(open(path_of("file"), O_CREAT | O_WRONLY, 0666)));
    CHECK_INT(vhost_socket_remove_stale(path_of("file/socket"), &error),
              ENOTDIR);
    CHECK_HAS(error, "file/socket");
    free(error);

    make_stale_socket(path);
    CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
    next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    few = (struct rlimit) { next, limit.rlim_max };
    CHECK(!setrlimit(RLIMIT_NOFILE, &few));
    CHECK_INT(vhost_socket_remove_stale(path, &error), EMFILE);
    CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_HAS(error, "cannot find out");
    CHECK(exists(path));
    free(error);

    /* There is no place for it. */
    CHECK_INT(vhost_socket_remove_stale(path_of("missing/socket"), &error),
              ENOENT);
    CHECK_HAS(error, "directory \"/proc/self/cwd/missing\"");
    free(error);

    /* It cannot be removed.  (Root may do anything.) */
    if (geteuid()) {
        CHECK(!mkdir("locked", 0777));
        make_stale_socket(path_of("locked/socket"));
        CHECK(!chmod("locked", 0555));
        check_left_alone(path_of("locked/socket"), EACCES,
                         "cannot remove stale");
        CHECK_INT(vhost_socket_remove_stale(path_of("locked/new"), &error),
                  EACCES);
        CHECK_HAS(error, "cannot create vhost socket");
        free(error);
        CHECK(!chmod("locked", 0777));

        CHECK(!chmod("locked/socket", 0));
        check_left_alone(path_of("locked/socket"), EADDRINUSE,
                         "Permission denied");
    }
}
VHOST_TEST(test_stale, "socket-stale", "sockets: a stale one is removed", 0);

static void
test_live(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    const char *path = path_of("socket");
    int server = bind_socket(path, SOCK_STREAM | SOCK_NONBLOCK);
    int client, datagram;

    CHECK(!listen(server, 1));
    check_left_alone(path, EADDRINUSE, "another process listens on it");

    /* The listener saw nothing, and others still reach it. */
    CHECK(accept(server, NULL, NULL) < 0 && errno == EAGAIN);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    CHECK(!connect(client, (struct sockaddr *) &sun, sizeof sun));
    CHECK(!close(accept(server, NULL, NULL)));
    close(client);

    /* Nor may it be disturbed while it has no room for more clients. */
    for (int i = 0; i < 4; i++) {
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK(!connect(client, (struct sockaddr *) &sun, sizeof sun)
              || errno == EAGAIN);
    }
    check_left_alone(path, EADDRINUSE, "another process listens on it");
    close(server);

    datagram = bind_socket(path_of("datagram"), SOCK_DGRAM);
    check_left_alone(path_of("datagram"), EADDRINUSE, "listens on it");
    close(datagram);
}
VHOST_TEST(test_live, "socket-live", "sockets: one in use is left alone", 0);

static void
test_other_files(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct stat s;
    int fd = open("file", O_CREAT | O_WRONLY, 0666);

    CHECK_INT(write(fd, "precious", 8), 8);
    close(fd);
    check_left_alone(path_of("file"), EEXIST, "is not a socket");
    CHECK(!stat("file", &s) && s.st_size == 8);

    CHECK(!mkdir("directory", 0777));
    check_left_alone(path_of("directory"), EEXIST, "is not a socket");
    CHECK(!mkfifo("fifo", 0666));
    check_left_alone(path_of("fifo"), EEXIST, "is not a socket");

    /* A symbolic link may point into somebody else's directory. */
    CHECK(!symlink("nowhere", "dangling"));
    check_left_alone(path_of("dangling"), EEXIST, "is not a socket");
    make_stale_socket(path_of("stale"));
    CHECK(!symlink("stale", "link"));
    check_left_alone(path_of("link"), EEXIST, "is not a socket");
    CHECK(exists("stale"));
}
VHOST_TEST(test_other_files, "socket-other-files",
           "sockets: other files are left alone", 0);

static void
test_access(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_socket_access none = { .has_mode = false };
    struct vhost_socket_access mode = { .has_mode = true, .mode = 0640 };
    struct vhost_socket_access owner = { .has_owner = true };
    const char *path = path_of("socket");
    char *error = NULL;
    struct stat s;

    make_stale_socket(path);
    CHECK(!chmod(path, 0755));
    CHECK_INT(vhost_socket_set_access(path, &none, &error), 0);
    CHECK(!lstat(path, &s));
    CHECK_INT(s.st_mode & 07777, 0755);
    CHECK_INT(s.st_uid, geteuid());

    CHECK_INT(vhost_socket_set_access(path, &mode, &error), 0);
    CHECK(!lstat(path, &s));
    CHECK_INT(s.st_mode & 07777, 0640);

    owner.uid = geteuid() ? geteuid() : 1;
    owner.gid = geteuid() ? getegid() : 2;
    CHECK_INT(vhost_socket_set_access(path, &owner, &error), 0);
    CHECK(!lstat(path, &s));
    CHECK_INT(s.st_uid, owner.uid);
    CHECK_INT(s.st_gid, owner.gid);

    /* The group alone. */
    owner.uid = -1;
    owner.gid = geteuid() ? getegid() : 3;
    CHECK_INT(vhost_socket_set_access(path, &owner, &error), 0);
    CHECK(!lstat(path, &s));
    CHECK_INT(s.st_uid, geteuid() ? geteuid() : 1);
    CHECK_INT(s.st_gid, owner.gid);

    CHECK_INT(vhost_socket_set_access(path_of("none"), &mode, &error),
              ENOENT);
    CHECK_HAS(error, "vhost-sock-mode: cannot set permissions of");
    CHECK_HAS(error, "none\" to 0640");
    free(error);
    error = NULL;

    CHECK_INT(vhost_socket_set_access(path_of("none"), &owner, &error),
              ENOENT);
    CHECK_HAS(error, "vhost-sock-owner: cannot set owner of");
    free(error);

    if (geteuid()) {
        owner.uid = 0;
        CHECK_INT(vhost_socket_set_access(path, &owner, &error), EPERM);
        CHECK_HAS(error, "without CAP_CHOWN");
        free(error);
    }
}
VHOST_TEST(test_access, "socket-access", "sockets: owner and mode", 0);

/* Returns for how long 'fd' waits for something to receive, in ms, or 0 for
 * ever, as for room to send something. */
static int
limit_of(int fd)
{
    struct timeval receive, send;
    socklen_t len = sizeof receive;

    if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive, &len)
        || getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send, &len)) {
        ovs_fatal(errno, "getsockopt");
    }
    CHECK_INT(!receive.tv_sec && !receive.tv_usec, !send.tv_usec);
    return receive.tv_sec * 1000 + receive.tv_usec / 1000;
}

/* Connections are found wherever their file descriptors are and whatever they
 * are called, and no other socket is touched. */
static void
test_limit_waiting(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    int fds[600], ours, theirs, pair[2], nonblocking, n;
    int listener = bind_socket("here", SOCK_STREAM);
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int datagram = bind_socket("datagram", SOCK_DGRAM);
    int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(!listen(listener, 4) && inet >= 0);
    CHECK_INT(vhost_socket_limit_waiting(), 0);

    /* What it is called is not where it is found, or it has no name. */
    CHECK(!rename("here", "there"));
    CHECK(!symlink("there", "link"));
    ours = connect_to("link");
    nonblocking = connect_to("there");
    CHECK(!fcntl(nonblocking, F_SETFL, O_NONBLOCK));
    CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    ovs_strlcpy(sun.sun_path, "datagram", sizeof sun.sun_path);
    CHECK(!connect(datagram, (struct sockaddr *) &sun, sizeof sun));

    /* More file descriptors than a table has at first. */
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        CHECK(fds[i] >= 0);
    }
    theirs = accept(listener, NULL, NULL);
    CHECK(theirs > fds[599]);

    n = vhost_socket_limit_waiting();
    CHECK_INT(n, 4);
    CHECK_INT(limit_of(ours), 20);
    CHECK_INT(limit_of(theirs), 20);
    CHECK_INT(limit_of(pair[0]), 20);
    CHECK_INT(limit_of(pair[1]), 20);
    CHECK_INT(limit_of(listener), 0);
    CHECK_INT(limit_of(nonblocking), 0);
    CHECK_INT(limit_of(datagram), 0);
    CHECK_INT(limit_of(inet), 0);

    /* All may be given more time, those that come meanwhile, too. */
    close(pair[0]);
    vhost_socket_allow_waiting(2500);
    CHECK_INT(limit_of(ours), 2500);
    CHECK_INT(vhost_socket_limit_waiting(), 3);
    CHECK_INT(limit_of(theirs), 2500);
    CHECK_INT(limit_of(listener), 0);
    vhost_socket_allow_waiting(0);
    CHECK_INT(limit_of(ours), 20);
    CHECK_INT(vhost_socket_limit_waiting(), 3);
    CHECK_INT(limit_of(theirs), 20);
}
VHOST_TEST(test_limit_waiting, "socket-limit-waiting",
           "sockets: none waits for long", 0);
