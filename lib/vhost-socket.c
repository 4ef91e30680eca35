/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "util.h"
#include "vhost-config.h"
#include "vhost-vduse.h"

VLOG_DEFINE_THIS_MODULE(vhost_socket);

/* Socket timeouts, in ms: how long librte_vhost may block in the middle of
 * receiving a message, and in sending a reply.  A conforming front end sends a
 * message as a whole and reads each reply.  Only post-copy live migration
 * makes it do something in between: see vhost_socket_allow_waiting(). */
#define RECEIVE_TIMEOUT 20
#define SEND_TIMEOUT 1

/* Keeps two threads from giving connections different limits. */
static struct ovs_mutex timeout_mutex = OVS_MUTEX_INITIALIZER;
static unsigned int receive_timeout OVS_GUARDED_BY(timeout_mutex)
    = RECEIVE_TIMEOUT;

static int set_timeouts(void) OVS_REQUIRES(timeout_mutex);
static int check_directory(const char *path, char **errp);
static int probe_listener(int fd, const char *path);
static char *resolve(const char *path);

/* Returns a number that is greater than any file descriptor of this
 * process. */
static int
get_max_fds(void)
{
    unsigned int n = 0;
    char line[128];
    FILE *stream = fopen("/proc/self/status", "r");

    while (stream && !n && fgets(line, sizeof line, stream)) {
        ovs_scan(line, "FDSize: %u", &n);
    }
    if (stream) {
        fclose(stream);
    }
    return n ? n : sysconf(_SC_OPEN_MAX);
}

/* Is 'fd' a connected Unix stream socket in blocking mode? */
static bool
is_blocking_connection(int fd)
{
    struct sockaddr_un peer;
    socklen_t len;
    int domain, type, flags;

    len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len)
        || type != SOCK_STREAM) {
        return false;
    }
    len = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len)
        || domain != AF_UNIX) {
        return false;
    }
    len = sizeof peer;
    flags = fcntl(fd, F_GETFL);
    return (flags >= 0 && !(flags & O_NONBLOCK)
            && !getpeername(fd, (struct sockaddr *) &peer, &len));
}

/* Sets the timeouts of all connections, so that none of them can block
 * librte_vhost's event thread, which serves all sockets, for long.  Returns
 * the number of connections.
 *
 * librte_vhost does not tell which file descriptor belongs to a connection.
 * Nor can it be found by its address, which the front end controls: the peer
 * address of a client's connection is the path that the front end has bound,
 * and may have renamed or linked since.  A front end can also pass sockets of
 * its own to the switch.  So the timeouts are set for all connected Unix
 * stream sockets in blocking mode.  Open vSwitch's own are non-blocking. */
int
vhost_socket_limit_waiting(void)
{
    int n;

    ovs_mutex_lock(&timeout_mutex);
    n = set_timeouts();
    ovs_mutex_unlock(&timeout_mutex);
    return n;
}

/* Lets librte_vhost wait for up to 'ms' for a message, or for as long as usual
 * if that is 0.  This concerns all connections, as it is not known which one
 * librte_vhost is going to read from; but while its thread handles a message,
 * it does not read from others. */
void
vhost_socket_allow_waiting(unsigned int ms)
{
    ovs_mutex_lock(&timeout_mutex);
    receive_timeout = ms ? ms : RECEIVE_TIMEOUT;
    set_timeouts();
    ovs_mutex_unlock(&timeout_mutex);
}

/* Sets the limits of all connections.  Returns how many there are. */
static int
set_timeouts(void)
{
    const struct timeval send = { .tv_usec = SEND_TIMEOUT * 1000 };
    const struct timeval receive = {
        .tv_sec = receive_timeout / 1000,
        .tv_usec = receive_timeout % 1000 * 1000,
    };
    int max_fds = get_max_fds();
    int n = 0;

    for (int fd = 0; fd < max_fds; fd++) {
        if (is_blocking_connection(fd)
            && !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive,
                           sizeof receive)
            && !setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send, sizeof send)) {
            n++;
        }
    }
    return n;
}

/* Checks that 'path' can be that of a vhost-user socket.  librte_vhost
 * silently truncates a path that is too long, so this is checked here. */
int
vhost_socket_check_path(const char *path, char **errp)
{
    size_t max = sizeof ((struct sockaddr_un *) NULL)->sun_path - 1;

    if (!path[0]) {
        *errp = xstrdup("vhost socket path is empty; "
                        "expected an absolute path such as "
                        "/var/run/vm/port0.sock");
        return EINVAL;
    } else if (path[0] != '/') {
        *errp = xasprintf("vhost socket path \"%s\" is relative; expected an "
                          "absolute path (it must start with \"/\")", path);
        return EINVAL;
    } else if (vhost_vduse_is_path(path)) {
        *errp = xasprintf("vhost socket path \"%s\" is that of a VDUSE "
                          "device, which needs a port of type "
                          "dpdkvhostuserclient", path);
        return EINVAL;
    } else if (strlen(path) > max) {
        *errp = xasprintf("vhost socket path \"%s\" is %"PRIuSIZE" bytes "
                          "long; a Unix domain socket takes at most "
                          "%"PRIuSIZE": choose a shorter path",
                          path, strlen(path), max);
        return ENAMETOOLONG;
    }
    return 0;
}

/* Prepares 'path' for a server socket: removes a stale socket, on which no
 * process listens, such as a crash leaves behind.  Anything else at 'path' is
 * left alone, and an error. */
int
vhost_socket_remove_stale(const char *path, char **errp)
{
    struct stat s;
    int fd, error;

    if (lstat(path, &s)) {
        if (errno == ENOENT) {
            return check_directory(path, errp);
        }
        error = errno;
        *errp = xasprintf("cannot use vhost socket path \"%s\": %s",
                          path, ovs_strerror(error));
        return error;
    }
    if (!S_ISSOCK(s.st_mode)) {
        *errp = xasprintf("cannot create vhost socket \"%s\": the path exists "
                          "and is not a socket; move it away or choose "
                          "another port name or vhost-sock-dir", path);
        return EEXIST;
    }

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error = errno;
        *errp = xasprintf("cannot find out whether a process listens on vhost "
                          "socket \"%s\": %s", path, ovs_strerror(error));
        return error;
    }
    error = probe_listener(fd, path);
    close(fd);
    if (error != ECONNREFUSED) {
        *errp = xasprintf("cannot create vhost socket \"%s\": another process "
                          "listens on it (%s); stop that process or choose "
                          "another port name or vhost-sock-dir",
                          path, ovs_strerror(error));
        return EADDRINUSE;
    }
    if (unlink(path) && errno != ENOENT) {
        error = errno;
        *errp = xasprintf("cannot remove stale vhost socket \"%s\": %s",
                          path, ovs_strerror(error));
        return error;
    }
    VLOG_INFO("Removed stale vhost socket '%s' (no process listens on it).",
              path);
    return 0;
}

/* Returns the owner in 'access' as vhost-sock-owner has it, in numbers.  The
 * caller must free it. */
static char *
format_owner(const struct vhost_socket_access *access)
{
    char *user = (access->uid == (uid_t) -1 ? xstrdup("")
                  : xasprintf("%u", (unsigned int) access->uid));
    char *owner = (access->gid == (gid_t) -1 ? xstrdup(user)
                   : xasprintf("%s:%u", user, (unsigned int) access->gid));

    free(user);
    return owner;
}

/* Gives the socket at 'path' the owner and permissions in 'access'. */
int
vhost_socket_set_access(const char *path,
                        const struct vhost_socket_access *access, char **errp)
{
    int error;

    /* The mode comes first: chown() may take away the right to change it. */
    if (access->has_mode && chmod(path, access->mode)) {
        error = errno;
        *errp = xasprintf("vhost-sock-mode: cannot set permissions of \"%s\" "
                          "to %04o: %s", path, (unsigned int) access->mode,
                          ovs_strerror(error));
        return error;
    }
    if (access->has_owner && chown(path, access->uid, access->gid)) {
        char *owner = format_owner(access);

        error = errno;
        *errp = (error == EPERM
                 ? xasprintf("vhost-sock-owner: cannot set owner of \"%s\" to "
                             "%s: without CAP_CHOWN, ovs-vswitchd can only "
                             "set a group that its user is in (\":group\")",
                             path, owner)
                 : xasprintf("vhost-sock-owner: cannot set owner of \"%s\" to "
                             "%s: %s", path, owner, ovs_strerror(error)));
        free(owner);
        return error;
    }
    return 0;
}

/* Stores what 'path' leads to in '*identity', which the caller must free with
 * vhost_socket_identity_destroy(). */
void
vhost_socket_identify(const char *path,
                      struct vhost_socket_identity *identity)
{
    struct stat s;

    identity->name = resolve(path);
    identity->exists = !stat(path, &s);
    identity->device = identity->exists ? s.st_dev : 0;
    identity->inode = identity->exists ? s.st_ino : 0;
}

/* Do both lead to the same socket, or would, if it existed? */
bool
vhost_socket_identity_equals(const struct vhost_socket_identity *a,
                             const struct vhost_socket_identity *b)
{
    return (!strcmp(a->name, b->name)
            || (a->exists && b->exists && a->device == b->device
                && a->inode == b->inode));
}

void
vhost_socket_identity_destroy(struct vhost_socket_identity *identity)
{
    free(identity->name);
}

/* Checks that the directory of 'path' exists and that this process may create
 * files in it. */
static int
check_directory(const char *path, char **errp)
{
    char *dir = dir_name(path);
    int error = access(dir, W_OK | X_OK) ? errno : 0;

    if (error) {
        *errp = xasprintf("cannot create vhost socket \"%s\": directory "
                          "\"%s\": %s; create it, or change vhost-sock-dir",
                          path, dir, ovs_strerror(error));
    }
    free(dir);
    return error;
}

/* Finds out whether a process listens on the stream socket at 'path', without
 * connecting to it.  Connecting 'fd', a datagram socket, fails with EPROTOTYPE
 * if one does, and with ECONNREFUSED if none does.  Returns that error. */
static int
probe_listener(int fd, const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };

    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    return (connect(fd, (struct sockaddr *) &sun, sizeof sun) ? errno
            : EADDRINUSE);
}

/* Returns 'path' without symbolic links, "." and "..", as far as it exists.
 * The caller must free it. */
static char *
resolve(const char *path)
{
    char *name = realpath(path, NULL);
    char *dir, *base, *parent;

    if (name || !strcmp(path, "/")) {
        return name ? name : xstrdup(path);
    }
    dir = dir_name(path);
    base = base_name(path);
    parent = resolve(dir);
    name = (!strcmp(base, ".") ? xstrdup(parent)
            : !strcmp(base, "..") ? dir_name(parent)
            : xasprintf("%s/%s", strcmp(parent, "/") ? parent : "", base));
    free(parent);
    free(base);
    free(dir);
    return name;
}
