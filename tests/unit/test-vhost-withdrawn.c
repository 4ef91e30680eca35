/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "netdev-provider.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-config.h"

/* Features that a guest has negotiated and that are withdrawn then: QEMU does
 * not come back. */

#define FEATURE(NAME) (UINT64_C(1) << (NAME))

static struct netdev *netdev;

static int
connect_guest(const char *path, uint64_t features)
{
    int vid = guest_connect(path);

    CHECK(vid >= 0);
    guest_set_features(vid, features | FEATURE(VIRTIO_F_VERSION_1));
    guest_start(vid, 1);
    reconfigure(netdev);
    return vid;
}

static void
offer(const char *path, bool iommu, bool zero_copy)
{
    char *error;

    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path,
                          "vhost-iommu-support", iommu ? "true" : "false",
                          "dq-zero-copy", zero_copy ? "true" : "false", NULL),
              0);
    CHECK(reconfigure(netdev));
}

static const char *
withdrawn(void)
{
    return status_of(netdev, "withdrawn_features");
}

static void
finish(void)
{
    netdev_close(netdev);
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}

static void
test_status(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const uint64_t both = (FEATURE(VIRTIO_F_ACCESS_PLATFORM)
                           | FEATURE(VIRTIO_F_IN_ORDER));
    const char *s0 = path_of("s0");
    int vid;

    CONST_CAST(struct vhost_config *, vhost_config())->library_data_path
        = false;
    netdev = open_port("vhu0", "dpdkvhostuserclient");
    offer(s0, true, false);
    CHECK_STR(withdrawn(), NULL);
    vid = connect_guest(s0, both);
    CHECK_STR(withdrawn(), NULL);
    guest_disconnect(vid);
    CHECK_STR(withdrawn(), NULL);

    /* One, the other one, and both. */
    connect_guest(s0, both);
    offer(s0, false, false);
    CHECK_STR(withdrawn(),
              "access_platform: the port no longer offers what its guest "
              "negotiated, so that QEMU refuses to come back; reset the "
              "guest, or offer it again: options:vhost-iommu-support=true");
    offer(s0, true, true);
    CHECK_HAS(withdrawn(), "in_order: the port");
    CHECK_HAS(withdrawn(), "offer it again: options:dq-zero-copy=false");
    offer(s0, false, true);
    CHECK_HAS(withdrawn(), "access_platform, in_order: the port");
    CHECK_HAS(withdrawn(), "options:vhost-iommu-support=true "
              "options:dq-zero-copy=false");

    /* Offered again: it may come back. */
    offer(s0, true, false);
    CHECK_STR(withdrawn(), NULL);
    offer(s0, false, true);
    CHECK_HAS(withdrawn(), "access_platform, in_order: the port");

    /* It was reset, and negotiated less. */
    vid = connect_guest(s0, 0);
    CHECK_STR(withdrawn(), NULL);
    guest_disconnect(vid);
    CHECK_STR(withdrawn(), NULL);

    /* Another socket is that of another guest. */
    offer(s0, true, false);
    connect_guest(s0, both);
    offer(path_of("s1"), false, true);
    CHECK_STR(withdrawn(), NULL);
    CHECK_STR(status_of(netdev, "socket"), path_of("s1"));
    finish();
}
VHOST_TEST(test_status, "withdrawn-features",
           "port: features are withdrawn from a guest", TEST_DPDK);

/* What needs not be withdrawn is not: without effect, dq-zero-copy returns no
 * buffer out of order. */
static void
test_in_order(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_config *config = CONST_CAST(struct vhost_config *,
                                             vhost_config());

    netdev = open_port("vhu0", "dpdkvhostuserclient");
    offer(path_of("s0"), false, true);
    CHECK(stub_vhost.features & FEATURE(VIRTIO_F_IN_ORDER));
    finish();

    config->library_data_path = false;
    netdev = open_port("vhu0", "dpdkvhostuserclient");
    offer(path_of("s0"), false, true);
    CHECK(!(stub_vhost.features & FEATURE(VIRTIO_F_IN_ORDER)));
    offer(path_of("s0"), true, true);
    CHECK(!(stub_vhost.features & FEATURE(VIRTIO_F_IN_ORDER)));
    offer(path_of("s0"), true, false);
    CHECK(stub_vhost.features & FEATURE(VIRTIO_F_IN_ORDER));
    finish();
}
VHOST_TEST(test_in_order, "withdrawn-in-order",
           "port: IN_ORDER without zero-copy", TEST_DPDK);
