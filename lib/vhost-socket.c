/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

#include <config.h>

#include "vhost-socket.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"
#include "vhost-config.h"

VLOG_DEFINE_THIS_MODULE(vhost_socket);

/* How long librte_vhost may wait for the rest of a message, and for room for
 * its answer, in ms.  A front end that keeps to the rules sends a message as a
 * whole and reads each answer. */
#define RECEIVE_TIMEOUT 100
#define SEND_TIMEOUT 1

/* How many file descriptors below the lowest free one are looked at first. */
#define N_NEAR 64

static bool limit_waiting(int fd, const char *path);
static int check_directory(const char *path, char **errp);
static int probe_listener(int fd, const char *path);

static bool
has_path(const struct sockaddr_un *sun, const char *path)
{
    return (sun->sun_family == AF_UNIX
            && !strncmp(sun->sun_path, path, sizeof sun->sun_path));
}

/* Returns the file descriptor that the next socket gets if no other thread is
 * faster, or -1 if there is none. */
int
vhost_socket_next_fd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    if (fd >= 0) {
        close(fd);
    }
    return fd;
}

/* Sees to it that nobody waits long for the one that has just connected to the
 * socket at 'path'.  librte_vhost has one thread for all sockets.  It does not
 * tell which file descriptor is the connection's: that is found at once if it
 * is 'guess', soon if it was the lowest free one a short time ago, or else by
 * looking at all.  Returns it, or -1 if it is not there. */
int
vhost_socket_limit_waiting(const char *path, int guess)
{
    int next, fd = -1;
    struct dirent *entry;
    DIR *dir;

    if (limit_waiting(guess, path)) {
        return guess;
    }
    next = vhost_socket_next_fd();
    for (int i = next - 1; i >= 0 && i >= next - N_NEAR; i--) {
        if (limit_waiting(i, path)) {
            return i;
        }
    }

    dir = opendir("/proc/self/fd");
    while (dir && fd < 0 && (entry = readdir(dir))) {
        int candidate = atoi(entry->d_name);

        if (limit_waiting(candidate, path)) {
            fd = candidate;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return fd;
}

/* Checks that 'path' can name a vhost-user socket.  librte_vhost cuts a path
 * that is too long without a word, so that must be found here. */
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
    } else if (!strncmp(path, "/dev/vduse/", 11)) {
        /* It would be one for librte_vhost since 23.07. */
        *errp = xasprintf("vhost socket path \"%s\" is not that of a socket: "
                          "VDUSE devices are not supported", path);
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

/* Makes way for a server socket at 'path': removes a socket that nobody
 * listens on, as a crash leaves one behind.  Anything else is left alone and
 * is an error. */
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
        *errp = xasprintf("cannot find out whether somebody listens on vhost "
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
    VLOG_INFO("Removed stale vhost socket '%s' (nobody listens on it).", path);
    return 0;
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
        error = errno;
        *errp = xasprintf("vhost-sock-owner: cannot set owner of \"%s\": %s",
                          path, ovs_strerror(error));
        return error;
    }
    return 0;
}

/* Is 'fd' a connection to the socket at 'path' that was not limited before?
 * Then limits it. */
static bool
limit_waiting(int fd, const char *path)
{
    static const struct timeval receive = {
        .tv_usec = RECEIVE_TIMEOUT * 1000
    };
    static const struct timeval send = { .tv_usec = SEND_TIMEOUT * 1000 };
    struct sockaddr_un ours = { 0 }, theirs = { 0 };
    socklen_t ours_len = sizeof ours, theirs_len = sizeof theirs;
    struct timeval limit;
    socklen_t limit_len = sizeof limit;

    /* Only a socket that is connected has a peer. */
    if (getpeername(fd, (struct sockaddr *) &theirs, &theirs_len)
        || getsockname(fd, (struct sockaddr *) &ours, &ours_len)
        || !(has_path(&ours, path) || has_path(&theirs, path))
        || getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &limit_len)
        || limit.tv_sec || limit.tv_usec) {
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send, sizeof send);
    return true;
}

/* Checks that the directory of 'path' is there and lets us create files. */
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

/* Finds out whether somebody listens on the stream socket at 'path' without
 * disturbing them: connecting with 'fd', a datagram socket, fails with
 * EPROTOTYPE if the socket is alive and with ECONNREFUSED if not. */
static int
probe_listener(int fd, const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };

    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    return (connect(fd, (struct sockaddr *) &sun, sizeof sun) ? errno
            : EADDRINUSE);
}
