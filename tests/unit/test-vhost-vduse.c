/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vduse.h>
#include <linux/virtio_config.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "port-fixture.h"
#include "session-fixture.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-device.h"
#include "vhost-guard.h"
#include "vhost-numa.h"
#include "vhost-session.h"
#include "vhost-stats.h"
#include "vhost-tally.h"
#include "vhost-vduse.h"

#define PATH "/dev/vduse/test-vhost0"

static void
check_path(const char *path, int expected, const char *part)
{
    char *error = NULL;

    CHECK(vhost_vduse_is_path(path));
    if (!VHOST_HAS_VDUSE) {
        expected = ENOTSUP;
        part = "VDUSE devices need DPDK 24.11 or later; this plugin is built "
               "with DPDK ";
    }
    CHECK_INT(vhost_vduse_check_path(path, &error), expected);
    if (expected) {
        CHECK_HAS(error, part);
        CHECK_HAS(error, path);
    }
    free(error);
}

static void
test_path(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    char path[] = PATH "                                                   "
        "                                                                   "
        "                                                                   "
        "                                                                  ";
    size_t dir_len = strlen("/dev/vduse/");

    CHECK(!vhost_vduse_is_path("/dev/vdus"));
    CHECK(!vhost_vduse_is_path("/dev/vduse"));
    CHECK(!vhost_vduse_is_path("/dev//vduse/x"));
    check_path(PATH, 0, NULL);
    check_path("/dev/vduse/", EINVAL, "expected the name of a VDUSE device");
    check_path("/dev/vduse/a/b", EINVAL, "without \"/\"");
    check_path("/dev/vduse/..", EINVAL, "expected the name");
    check_path("/dev/vduse/.", EINVAL, "expected the name");
    check_path("/dev/vduse/control", EINVAL, "not \"control\"");

    memset(path + dir_len, 'x', sizeof path - 1 - dir_len);
    CHECK(sizeof path > dir_len + 255);
    path[dir_len + 255] = '\0';
    check_path(path, ENAMETOOLONG, "at most 254 bytes");
    path[dir_len + 254] = '\0';
    check_path(path, 0, NULL);
}
VHOST_TEST(test_path, "vduse-path", "VDUSE: paths", 0);

/* The kernel's devices: files in the test's directory. */

#define NODE "dev/vduse/test-vhost0"
#define CLASS "sys/class/vduse/test-vhost0"
#define STATE "vduse/test-vhost0"

static int destroy_error;       /* What VDUSE_DESTROY_DEV fails with. */

/* Returns where file 'name' is in tests. */
static const char *
redirect(const char *name)
{
    bool is_kernels = (!strncmp(name, "/dev/vduse/", 11)
                       || !strncmp(name, "/sys/class/vduse/", 17));

    return is_kernels ? name + 1 : name;
}

int __real_access(const char *name, int mode);
int __wrap_access(const char *name, int mode);
int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __real_ioctl(int fd, unsigned long int request, ...);
int __wrap_ioctl(int fd, unsigned long int request, ...);

int
__wrap_access(const char *name, int mode)
{
    return __real_access(redirect(name), mode);
}

int
__wrap_open(const char *name, int flags, ...)
{
    mode_t mode = 0;
    va_list args;

    if (flags & (O_CREAT | O_TMPFILE)) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return __real_open(redirect(name), flags, mode);
}

int
__wrap_ioctl(int fd, unsigned long int request, ...)
{
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (request != VDUSE_DESTROY_DEV) {
        return __real_ioctl(fd, request, arg);
    }
    CHECK_STR(arg, "test-vhost0");
    if (destroy_error) {
        errno = destroy_error;
        return -1;
    }
    CHECK(!unlink(CLASS));
    CHECK(!unlink(NODE) || errno == ENOENT);
    return 0;
}

static void
make_file(const char *name)
{
    CHECK(!fclose(fopen(name, "w")));
}

static bool
has_file(const char *name)
{
    struct stat s;

    return !stat(name, &s);
}

static void
make_directories(void)
{
    static const char *const names[] = {
        "dev", "dev/vduse", "sys", "sys/class", "sys/class/vduse", "vduse",
    };

    CHECK(!setenv("RUNTIME_DIRECTORY", ".", 1));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CHECK(!mkdir(names[i], 0700));
    }
    make_file("dev/vduse/control");
}

static void
make_device(void)
{
    make_file(NODE);
    make_file(CLASS);
    make_file(STATE);
}

/* What librte_vhost kept of a device that has gone is removed. */
static void
test_stale(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    make_directories();
    vhost_vduse_remove_stale(PATH);
    CHECK_NOT_LOGGED("Removed");
    make_file(STATE);
    make_file("vduse/other");
    vhost_vduse_remove_stale(PATH);
    CHECK(!has_file(STATE) && has_file("vduse/other"));
    CHECK_LOGGED("Removed './vduse/test-vhost0', the state of a VDUSE device");
}
VHOST_TEST(test_stale, "vduse-stale", "VDUSE: devices that have gone", 0);

static void
check_obstacle(const char *part)
{
    char *obstacle = vhost_vduse_obstacle(PATH, 1);

    CHECK_HAS(obstacle, part);
    free(obstacle);
}

/* A device that nothing uses is removed, any other stays with its state, also
 * where only the kernel knows of it. */
static void
test_unused(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    make_directories();
    destroy_error = EBUSY;
    make_device();
    vhost_vduse_remove_stale(PATH);
    CHECK(has_file(NODE) && has_file(STATE));
    check_obstacle("it was made with other features or queues, or its state");
    CHECK(!unlink(NODE));
    vhost_vduse_remove_stale(PATH);
    CHECK(has_file(STATE));
    check_obstacle("the kernel has it, but /dev/vduse/ does not");
    CHECK_NOT_LOGGED("Removed");

    destroy_error = 0;
    vhost_vduse_remove_stale(PATH);
    CHECK(!has_file(CLASS) && !has_file(STATE));
    CHECK_LOGGED("Removed VDUSE device '" PATH "', which nothing used.");
    check_obstacle("see the VHOST_CONFIG messages");

    /* Nothing can be said of it without access. */
    make_device();
    CHECK(!unlink("dev/vduse/control"));
    vhost_vduse_remove_stale(PATH);
    CHECK(has_file(NODE) && has_file(STATE));
    check_obstacle("module \"vduse\" is not loaded");
}
VHOST_TEST(test_unused, "vduse-unused", "VDUSE: devices without a driver", 0);

static struct vhost_session *
open_device(unsigned int n_queue_pairs)
{
    const struct vhost_session_config config = {
        .path = PATH, .client = true, .postcopy = true, .zero_copy = true,
        .n_queue_pairs = n_queue_pairs,
    };

    return open_session_as(&config);
}

/* A driver comes and goes, without connections and messages. */
static void
test_session(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session;
    struct vhost_device *device;
    int vid;

    make_directories();
    make_device();
    session = open_device(2);
    CHECK_LOGGED("Removed VDUSE device '" PATH "', which nothing used.");
    CHECK(stub_vhost.flags & RTE_VHOST_USER_IOMMU_SUPPORT);
    CHECK(!(stub_vhost.flags & RTE_VHOST_USER_POSTCOPY_SUPPORT));
    CHECK((stub_vhost.features
            & UINT64_C(1) << VIRTIO_F_IN_ORDER));
    CHECK_INT(stub_vhost.n_queue_pairs, VHOST_HAS_VDUSE ? 2 : 0);
    CHECK(!vhost_session_device(session));

    /* Nothing but the number of queues would be offered otherwise. */
    CHECK(vhost_session_offers(session, true, false, false, 2));
    CHECK(!vhost_session_offers(session, false, true, true, 1));

    vid = guest_start_vduse(PATH, 2);
    CHECK(guest_is_running(vid));
    device = vhost_session_device(session);
    CHECK(device && device->datapath == &vhost_datapath_library);
    CHECK(device->is_vduse);
    CHECK_STR(vhost_device_ring_faults(device), NULL);
    CHECK(rxq_enabled(device, 0) && rxq_enabled(device, 1));
    CHECK_INT(txq_target(session, 1), 1);
    CHECK(!device->datapath->is_stalled(device, &device->txqs[0]));
    /* The control queue is not of a pair. */
    check_demand(session, true, 2, 2, 0);
    CHECK(reconfigure(fixture_netdev));

    /* It uses fewer queues. */
    guest_set_vduse_pairs(vid, 1);
    CHECK(!rxq_enabled(device, 1));
    CHECK_INT(txq_target(session, 1), 0);
    guest_set_vduse_pairs(vid, 2);
    CHECK(rxq_enabled(device, 1));

    guest_stop_vduse(vid);
    CHECK(!vhost_session_device(session));
    CHECK_LOGGED("vHost Device '" PATH "' has been removed");

    /* Again, under the same number. */
    CHECK_INT(guest_start_vduse(PATH, 2), vid);
    CHECK(vhost_session_device(session));
    vhost_session_close(session);
    CHECK(!guest_is_running(vid));
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_session, "vduse-session", "VDUSE: a driver", TEST_DPDK);

static void
start_late(const char *path)
{
    CHECK(!strcmp(path, PATH));
    stub_vhost.before_unregister = NULL;
    CHECK(!guest_is_running(guest_start_vduse(path, 1)));
}

/* A driver that starts while the session is closed gets no device. */
static void
test_late(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_device(1);

    stub_vhost.before_unregister = start_late;
    vhost_session_close(session);
    CHECK_NOT_LOGGED("has been added");
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_late, "vduse-late", "VDUSE: a driver comes too late",
           TEST_DPDK);

static volatile char *mapping;

static void
touch_memory(void)
{
    mapping[0] = 1;
}

/* The memory of a driver is a file that gets shorter, in a mapping that only
 * librte_vhost knows of. */
static void
test_lost_memory(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_device(1);
    struct rte_mempool *mp = make_mempool();
    int fd = memfd_create("guest", MFD_CLOEXEC);
    int vid = guest_start_vduse(PATH, 1);
    struct vhost_device *device = vhost_session_device(session);
    struct vhost_counters counters;
    struct rte_mbuf *mbufs[32];
    char *faults;

    CHECK(fd >= 0 && !ftruncate(fd, 4096));
    mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(mapping != MAP_FAILED);
    mapping[0] = 1;
    CHECK(!ftruncate(fd, 0));
    vhost_counters_init(&counters, "test");

    stub_vhost.during_burst = touch_memory;
    CHECK_INT(device->datapath->dequeue(device, &device->rxqs[0], mp, mbufs,
                                        32, &counters), 0);
    stub_vhost.during_burst = NULL;
    CHECK(vhost_guard_is_lost(vid));
    CHECK_INT(device->datapath->dequeue(device, &device->rxqs[0], mp, mbufs,
                                        32, &counters), 0);
    faults = vhost_device_ring_faults(device);
    CHECK_HAS(faults, vhost_guard_fault);
    free(faults);

    /* The next driver begins anew. */
    guest_stop_vduse(vid);
    CHECK_INT(guest_start_vduse(PATH, 1), vid);
    CHECK(!vhost_guard_is_lost(vid));
    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_lost_memory, "vduse-lost-memory", "VDUSE: memory goes away",
           TEST_DPDK);

/* A port says what is missing, and continues when it is there. */
static void
test_port(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_port("vhu0", "dpdkvhostuserclient");
    char *error = NULL;

    if (!VHOST_HAS_VDUSE) {
        CHECK_INT(set_options(netdev, &error, "vhost-server-path", PATH,
                              NULL), ENOTSUP);
        CHECK_HAS(error, "VDUSE devices need DPDK 24.11 or later");
        free(error);
        netdev_close(netdev);
        check_all_closed();
        return;
    }

    CHECK_INT(set_options(netdev, &error, "vhost-server-path", PATH, NULL), 0);
    stub_vhost.fail_start = true;
    reconfigure(netdev);
    CHECK_HAS(status_of(netdev, "config_error"),
              "librte_vhost cannot start VDUSE device \"" PATH "\": ");
    stub_vhost.fail_start = false;
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", PATH, NULL), 0);
    CHECK(reconfigure(netdev));
    CHECK_STR(status_of(netdev, "config_error"), NULL);
    CHECK_STR(status_of(netdev, "socket"), PATH);

    CHECK(guest_start_vduse(PATH, 1) >= 0);
    CHECK(reconfigure(netdev));
    CHECK_STR(status_of(netdev, "status"), "connected");

    /* What guests on a socket may be offered does not matter, the number of
     * queues does. */
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", PATH,
                          "vhost-iommu-support", "true", NULL), 0);
    reconfigure(netdev);
    CHECK_STR(status_of(netdev, "status"), "connected");
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", PATH,
                          "vhost-max-queue-pairs", "3", NULL), 0);
    CHECK(reconfigure(netdev));
    CHECK_STR(status_of(netdev, "status"), "disconnected");
    CHECK_INT(stub_vhost.n_queue_pairs, 3);

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_port, "vduse-port", "VDUSE: ports", TEST_DPDK);
