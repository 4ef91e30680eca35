/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <linux/virtio_config.h>

#include "session-fixture.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"

/* librte_vhost adds the size to the address, which must not overflow. */
static void
test_iotlb(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));
    struct vhost_device *device;

    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
    CHECK_INT(guest_invalidate(vid, 0, 0xfee00000), 0xfee00000);
    CHECK_INT(guest_invalidate(vid, 0xfef00000, -UINT64_C(0xfef00000)),
              -UINT64_C(0xfef00001));
    CHECK_INT(guest_invalidate(vid, 0, UINT64_MAX), UINT64_MAX);
    CHECK_INT(guest_invalidate(vid, UINT64_MAX, 1), 0);
    CHECK_INT(guest_invalidate(vid, 4096, UINT64_MAX), UINT64_MAX - 4096);

    /* Rings without translation have not been disabled... */
    guest_start(vid, 2);
    guest_invalidate(vid, 0, UINT64_MAX);
    device = vhost_session_device(session);
    CHECK_INT(txq_target(session, 1), 1);
    CHECK(rxq_enabled(device, 1));

    /* ...until the guest does it. */
    guest_set_vring(vid, 2, false);
    guest_set_vring(vid, 3, false);
    CHECK_INT(txq_target(session, 1), 0);
    CHECK(!rxq_enabled(device, 1));
    guest_disconnect(vid);
    vhost_session_close(session);
    check_sessions_closed();
}
VHOST_TEST(test_iotlb, "session-iotlb",
           "session: translations are forgotten", TEST_DPDK);
