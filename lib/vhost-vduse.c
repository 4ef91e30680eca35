/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-vduse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vduse.h>
#include <rte_version.h>

#include "openvswitch/vlog.h"
#include "util.h"
#include "vhost-compat.h"

VLOG_DEFINE_THIS_MODULE(vhost_vduse);

#define VDUSE_DIR "/dev/vduse/"
#define VDUSE_CONTROL VDUSE_DIR "control"
#define VDUSE_CLASS "/sys/class/vduse/"

/* The longest name that the kernel takes (VDUSE_NAME_MAX - 1), and that
 * librte_vhost does not cut. */
#define MAX_NAME 254

static const char *
device_name(const char *path)
{
    return path + strlen(VDUSE_DIR);
}

/* Is 'path' that of a VDUSE device?  This is how librte_vhost tells. */
bool
vhost_vduse_is_path(const char *path)
{
    return !strncmp(path, VDUSE_DIR, strlen(VDUSE_DIR));
}

/* Can 'name' be that of a device?  "control" is what makes devices. */
static bool
is_name(const char *name)
{
    return (name[0] && !strchr(name, '/') && strcmp(name, ".")
            && strcmp(name, "..") && strcmp(name, "control"));
}

/* Checks that 'path', for which vhost_vduse_is_path() is true, can be that of
 * a port.  Returns 0, or a positive errno value and a message in '*errp'. */
int
vhost_vduse_check_path(const char *path, char **errp)
{
    if (!VHOST_HAS_VDUSE) {
        *errp = xasprintf("vhost-server-path \"%s\": VDUSE devices need DPDK "
                          "24.11 or later; this plugin is built with %s",
                          path, rte_version());
        return ENOTSUP;
    } else if (!is_name(device_name(path))) {
        *errp = xasprintf("vhost-server-path \"%s\": expected the name of a "
                          "VDUSE device after %s, without \"/\", not "
                          "\"control\"", path, VDUSE_DIR);
        return EINVAL;
    } else if (strlen(device_name(path)) > MAX_NAME) {
        *errp = xasprintf("vhost-server-path \"%s\": the name of a VDUSE "
                          "device has at most %d bytes", path, MAX_NAME);
        return ENAMETOOLONG;
    }
    return 0;
}

/* Returns the file in which librte_vhost (vduse_reconnect_path_init()) keeps
 * what it needs to find the device of 'path' again. */
static char *
state_file(const char *path)
{
    const char *dir = getenv("RUNTIME_DIRECTORY");

    if (!dir) {
        dir = getuid() ? getenv("XDG_RUNTIME_DIR") : "/var/run";
    }
    return xasprintf("%s/vduse/%s", dir ? dir : "/tmp", device_name(path));
}

/* Has the kernel the device of 'path'?  Its node in /dev may be missing, in a
 * container for example. */
static bool
exists(const char *path)
{
    char *class = xasprintf("%s%s", VDUSE_CLASS, device_name(path));
    bool exists = (!access(path, F_OK) || errno != ENOENT
                   || !access(class, F_OK));

    free(class);
    return exists;
}

/* Has the kernel destroy the device of 'path'.  It refuses that, with EBUSY,
 * if the device is on the vDPA bus, or if a process has it open.  Returns 0 or
 * a positive errno value. */
static int
destroy_device(const char *path)
{
    char name[VDUSE_NAME_MAX] = "";
    int fd = open(VDUSE_CONTROL, O_RDWR | O_CLOEXEC);
    int error;

    if (fd < 0) {
        return errno;
    }
    ovs_strzcpy(name, device_name(path), sizeof name);
    error = ioctl(fd, VDUSE_DESTROY_DEV, name) ? errno : 0;
    close(fd);
    return error;
}

/* Removes a device at 'path' that nothing uses, which may have other features
 * and queues than those that it is to have now: librte_vhost would keep it, or
 * fail.  A device that is used stays, to be found again.
 *
 * Also removes what the library kept of a device that no longer exists, for
 * example because the kernel's module was unloaded: it would refuse to make
 * one of that name. */
void
vhost_vduse_remove_stale(const char *path)
{
    char *file = state_file(path);

    if (exists(path) && !destroy_device(path)) {
        VLOG_INFO("Removed VDUSE device '%s', which nothing used.", path);
    }
    if (!exists(path) && !unlink(file)) {
        VLOG_INFO("Removed '%s', the state of a VDUSE device that no longer "
                  "exists.", file);
    }
    free(file);
}

/* Returns what probably keeps librte_vhost from making or opening the device
 * at 'path', with 'n_queue_pairs'. */
char *
vhost_vduse_obstacle(const char *path, unsigned int n_queue_pairs)
{
    if (access(VDUSE_CONTROL, R_OK | W_OK)) {
        return (errno == ENOENT
                ? xstrdup("the kernel's module \"vduse\" is not loaded "
                          "(modprobe vduse)")
                : xasprintf("%s: %s", VDUSE_CONTROL, ovs_strerror(errno)));
    } else if (!access(path, F_OK)) {
        return xasprintf("it exists, and another process has it, or it was "
                         "made with other features or queues, or its state "
                         "has gone: remove it (vdpa dev del %s) and set the "
                         "port's options again", device_name(path));
    } else if (exists(path)) {
        return xasprintf("the kernel has it, but %s does not: a container "
                         "needs that directory of the host", VDUSE_DIR);
    } else if (n_queue_pairs > 1) {
        return xstrdup("the kernel may not take a device with a control "
                       "queue, which several queue pairs need: see the "
                       "VHOST_CONFIG messages in the log, or set "
                       "vhost-max-queue-pairs to 1");
    }
    return xstrdup("see the VHOST_CONFIG messages in the log");
}
