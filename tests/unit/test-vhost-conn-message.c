/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <fcntl.h>
#include <string.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "ovs-atomic.h"
#include "session-fixture.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-conn.h"
#include "vhost-device.h"
#include "vhost-message.h"
#include "vhost-session.h"

/* Messages of another librte_vhost are not acted upon: what seem to be file
 * descriptors stay open. */
static void
test_layout(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    /* GET_FEATURES, and file descriptor 0. */
    union {
        uint32_t words[512];
        char bytes[2048];
    } message = { .words = { VHOST_REQUEST_GET_FEATURES, 9 } };

    CHECK_INT(vhost_conn_message_ops.pre_msg_handle(0, &message),
              RTE_VHOST_MSG_RESULT_ERR);
    CHECK_INT(message.words[1], 1);
    CHECK_LOGGED("messages are not those that the plugin was built for");
    CHECK(fcntl(0, F_GETFD) >= 0);

    /* From then on, they are not even if one looks right. */
    memset(message.bytes + VHOST_MESSAGE_SIZE, -1,
           VHOST_MESSAGE_MAX_FDS * sizeof(int));
    CHECK(vhost_message_is_readable(&message));
    CHECK_INT(vhost_conn_message_ops.pre_msg_handle(0, &message),
              RTE_VHOST_MSG_RESULT_ERR);
}
VHOST_TEST(test_layout, "conn-message-layout",
           "connections: messages of another library", 0);

/* The guest's memory is mapped, and shown to devices, only if its packets can
 * stay there. */
static void
test_zero_copy(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct {
        bool zero_copy, library_data_path, iommu, postcopy, translates;
        const char *obstacle;
    } cases[] = {
        { .zero_copy = true },
        { .zero_copy = true, .iommu = true },
        { .library_data_path = true,
          .obstacle = "librte_vhost's data path is in use" },
        { .zero_copy = true, .library_data_path = true,
          .obstacle = "librte_vhost's data path is in use" },
        { .zero_copy = true, .postcopy = true,
          .obstacle = "librte_vhost's data path is in use" },
        { .zero_copy = true, .iommu = true, .translates = true,
          .obstacle = "librte_vhost's data path is in use" },
    };

    fixture_netdev = open_port("port0", "dpdkvhostuserclient");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhost_session_config config = {
            .path = path_of("s0"), .client = true, .iommu = cases[i].iommu,
            .library_data_path = cases[i].library_data_path,
            .postcopy = cases[i].postcopy, .zero_copy = cases[i].zero_copy,
        };
        struct vhost_session *session;
        char *error = NULL;
        int vid;

        CHECK((session = vhost_session_open(&config, fixture_netdev, &error)));
        vid = guest_connect(path_of("s0"));
        guest_set_features(vid, cases[i].translates
                           ? UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM : 0);
        guest_set_memory(vid, 1024 * 1024, false);
        /* The stub has one of them itself. */
        CHECK_INT(count_mappings(), cases[i].obstacle ? 1 : 2);
        guest_start(vid, 1);
        CHECK_STR(vhost_session_zero_copy_obstacle(session),
                  cases[i].obstacle);
        CHECK_INT(count_mappings(), cases[i].obstacle ? 1 : 2);
        vhost_session_close(session);
        check_sessions_closed();
        pass_time(1000);
        CHECK_INT(count_mappings(), 0);
    }
    netdev_close(fixture_netdev);
}
VHOST_TEST(test_zero_copy, "session-zero-copy",
           "session: what is mapped for zero-copy", TEST_DPDK);

static void
set_ring_address(int vid, unsigned int vring, uint64_t address)
{
    uint64_t addresses[] = {
        vring, address, address + 0x1800, address + 0x1000, 0
    };

    CHECK_INT(guest_message(vid, VHOST_REQUEST_SET_VRING_ADDR, addresses,
                            sizeof addresses),
              RTE_VHOST_MSG_RESULT_NOT_HANDLED);
}

static const char *
fault_of(struct vhost_device *device, unsigned int vring)
{
    struct vhost_queue *q = vhost_device_queue(device, vring);
    const char *fault;
    bool usable;

    atomic_read_relaxed(&q->fault, &fault);
    atomic_read_relaxed(&q->library.usable, &usable);
    CHECK_INT(usable, !fault);
    return fault ? fault : "";
}

/* librte_vhost wants each part of a ring in one piece.  With an IOMMU, it may
 * be in pages from anywhere. */
static void
test_scattered_rings(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *scattered = "its pages are not contiguous";
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));
    struct vhost_device *device;

    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
    guest_set_memory(vid, 1024 * 1024, false);
    guest_start(vid, 1);
    device = vhost_session_device(session);

    /* The used ring has parts of two pages.  Others may be anywhere. */
    set_ring_address(vid, 0, 0x10000);
    set_ring_address(vid, 1, 0x20000);
    CHECK(guest_translate(vid, 0x10000, 0x8000));
    CHECK(guest_translate(vid, 0x20000, 0xa000));
    CHECK(guest_translate(vid, 0x21000, 0x5000));
    CHECK(guest_translate(vid, 0x22000, 0x6000));
    CHECK(guest_translate(vid, 0x23000, 0xc000));
    CHECK_STR(fault_of(device, 1), "");
    CHECK(guest_translate(vid, 0x11000, 0xd000));
    CHECK_STR(fault_of(device, 0), "");
    CHECK(guest_translate(vid, 0x12000, 0xc000));
    CHECK_STR(fault_of(device, 0), scattered);
    CHECK_STR(fault_of(device, 1), "");

    /* The library does not forget them when it is told of the ring again. */
    set_ring_address(vid, 0, 0x10000);
    CHECK_STR(fault_of(device, 0), scattered);
    guest_set_vring(vid, 0, false);
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), scattered);

    /* What is translated cannot be translated otherwise, until it is
     * forgotten. */
    CHECK(!guest_translate(vid, 0x12000, 0xe000));
    CHECK(!guest_translate(vid, 0x10800, 0x8000));
    CHECK(!guest_translate(vid, 0x10800, 0x8800));
    CHECK(guest_translate(vid, 0x12000, 0xc000));
    guest_invalidate(vid, 0x11000, 0x1000);
    CHECK(guest_translate(vid, 0x11000, 0xd000));
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), scattered);
    guest_invalidate(vid, 0x12000, 0x1000);
    CHECK(guest_translate(vid, 0x12000, 0xe000));
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), "");

    /* That holds for one page of many... */
    guest_invalidate(vid, 0x11000, 0x1000);
    CHECK(guest_translate(vid, 0x11000, 0x5000));
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), scattered);

    /* ...and for all. */
    guest_invalidate(vid, 0x11000, 0x2000);
    CHECK(guest_translate(vid, 0x11000, 0x5000));
    CHECK(guest_translate(vid, 0x12000, 0x6000));
    guest_set_vring(vid, 0, true);
    CHECK_STR(fault_of(device, 0), "");

    /* A ring that moves to pages that are known already. */
    set_ring_address(vid, 0, 0x20800);
    CHECK_STR(fault_of(device, 0), scattered);

    /* Memory that is not the guest's, or too much. */
    CHECK(!guest_translate(vid, 0x30000, 0));
    CHECK(!guest_translate(vid, 0x30000, 0x4000 + 1024 * 1024));
    CHECK(!guest_translate(vid, 0x30000, UINT64_MAX));
    guest_disconnect(vid);
    vhost_session_close(session);
    check_sessions_closed();
}
VHOST_TEST(test_scattered_rings, "session-scattered-rings",
           "session: rings in scattered pages", TEST_DPDK);

/* Checks that 'request' with 'payload' is refused because of 'reason', or not
 * if that is null. */
static void
check_message(int vid, uint32_t request, const void *payload, size_t size,
              const char *reason)
{
    forget_log();
    CHECK_INT(guest_message(vid, request, payload, size),
              reason ? RTE_VHOST_MSG_RESULT_ERR
              : RTE_VHOST_MSG_RESULT_NOT_HANDLED);
    if (reason) {
        CHECK_LOGGED(": refused ");
        CHECK_LOGGED(reason);
    } else {
        CHECK_NOT_LOGGED("refused");
    }
}

static void
check_features(int vid, uint64_t features, const char *reason)
{
    check_message(vid, VHOST_REQUEST_SET_FEATURES, &features, sizeof features,
                  reason);
}

static void
check_vring(int vid, uint32_t request, uint32_t vring, uint32_t num,
            const char *reason)
{
    const uint32_t state[] = { vring, num };

    check_message(vid, request, state, sizeof state, reason);
}

/* What librte_vhost could not cope with, from a guest whose rings are in use
 * or not. */
static void
test_messages(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *layout = "the layout of rings in use cannot change";
    const char *size = "the size of a ring in use cannot change";
    const char *inflight = "there is no memory for buffers in flight";
    const uint64_t log[] = { 4096, 0 }, shifted_log[] = { 4096, 8 };
    const uint64_t buffers[] = { 4096, 0, 2 };
    const uint64_t region[] = { 0, 0x100000, 4096, 0x4000, 0 };
    const uint64_t mq = UINT64_C(1) << VIRTIO_NET_F_MQ;
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));

    for (int i = 0; i < 2; i++) {
        check_features(vid, UINT64_C(1) << VIRTIO_F_RING_PACKED,
                       i ? layout : NULL);
        check_features(vid, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX,
                       i ? layout : NULL);
        check_features(vid, UINT64_C(1) << VHOST_F_LOG_ALL, NULL);
        check_features(vid, 0, NULL);
        check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 1, 128, i ? size : NULL);
        check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 1, 256, NULL);
        check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 9, 128, NULL);
        check_message(vid, VHOST_REQUEST_SET_LOG_BASE, log, sizeof log, NULL);
        check_message(vid, VHOST_REQUEST_SET_LOG_BASE, shifted_log,
                      sizeof shifted_log, "the log has an offset");
        check_message(vid, VHOST_REQUEST_GET_INFLIGHT_FD, buffers,
                      sizeof buffers, inflight);
        check_message(vid, VHOST_REQUEST_SET_INFLIGHT_FD, buffers,
                      sizeof buffers, inflight);
        check_message(vid, VHOST_REQUEST_ADD_MEM_REG, region, sizeof region,
                      "ADD_MEM_REG (37): no feature that it belongs to");
        check_message(vid, VHOST_REQUEST_REM_MEM_REG, region, sizeof region,
                      "REM_MEM_REG (38): no feature that it belongs to");
        check_message(vid, 42, region, sizeof region,
                      "an unknown request (42): no feature that it belongs");
        guest_start(vid, 1);
    }

    /* With more than two virtqueues, it is late to have none of that. */
    guest_start(vid, 2);
    check_features(vid, 0, "more than two virtqueues run");
    check_features(vid, mq, NULL);
    guest_stop(vid);
    check_features(vid, 0, NULL);
    guest_disconnect(vid);

    /* Rings that stop while the library is silent. */
    vid = guest_connect(path_of("s0"));
    guest_start(vid, 1);
    CHECK(rxq_enabled(vhost_session_device(session), 0));
    check_vring(vid, VHOST_REQUEST_GET_VRING_BASE, 1, 0, NULL);
    CHECK(!rxq_enabled(vhost_session_device(session), 0));
    CHECK_INT(txq_target(session, 0), 0);
    check_vring(vid, VHOST_REQUEST_SET_VRING_ENABLE, 0, 1, NULL);
    CHECK_INT(txq_target(session, 0), 0);
    check_vring(vid, VHOST_REQUEST_SET_VRING_ENABLE, 0, 0, NULL);
    CHECK_INT(txq_target(session, 0), -1);

    close_last_session(session);
}
VHOST_TEST(test_messages, "session-messages",
           "session: messages that are refused", TEST_DPDK);

/* Rings cannot have more entries in all than there is memory for. */
static void
test_ring_sizes(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *too_many = "the rings have too many entries in all";
    const uint32_t most = 32768, n = VHOST_MAX_RING_ENTRIES / most;
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));

    for (uint32_t i = 0; i < n; i++) {
        check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, i, most, NULL);
    }
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n, 1, too_many);

    /* What counts is what there is now. */
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 0, most, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 0, most / 2, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n, most / 2, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n + 1, 1, too_many);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n, UINT32_MAX, too_many);

    /* It would be lost with a reset, which is not obeyed. */
    forget_log();
    guest_start(vid, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(guest_message(vid, VHOST_REQUEST_RESET_OWNER, NULL, 0),
                  RTE_VHOST_MSG_RESULT_OK);
    }
    CHECK_NOT_LOGGED("refused");
    CHECK(vhost_session_device(session));
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n + 1, 1, too_many);

    /* The next connection has its own. */
    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, n + 1, most, NULL);

    close_last_session(session);
}
VHOST_TEST(test_ring_sizes, "session-ring-sizes",
           "session: rings of any size", TEST_DPDK);

/* Packed rings go on inside of themselves, whatever comes first. */
static void
test_ring_bases(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *behind = "the ring's start index is out of range";
    struct vhost_session *session = open_session("s0");
    int vid = guest_connect(path_of("s0"));
    struct rte_vhost_vring none = { .size = 0 };
    struct vhost_device *device;

    /* A split ring's index counts on. */
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 1, 256, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 65535, NULL);

    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_RING_PACKED);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 256, behind);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 255, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 0x8000 | 255, NULL);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 0x8000 | 256, behind);
    check_vring(vid, VHOST_REQUEST_SET_VRING_BASE, 1, 0x7fff, behind);

    /* The size may come later, or be smaller. */
    guest_set_ring(vid, 3, &none, 0x8000 | 128);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 3, 128, behind);
    check_vring(vid, VHOST_REQUEST_SET_VRING_NUM, 3, 129, NULL);
    guest_start(vid, 1);
    device = vhost_session_device(session);
    CHECK_STR(fault_of(device, 1), "");

    /* Should it get past all of that, it is not used. */
    guest_set_vring(vid, 1, false);
    guest_set_ring(vid, 1, &none, 256);
    guest_set_vring(vid, 1, true);
    CHECK_STR(fault_of(device, 1), "its start index is out of range");
    guest_set_ring(vid, 1, &none, 255);
    guest_set_vring(vid, 1, true);
    CHECK_STR(fault_of(device, 1), "");

    close_last_session(session);
}
VHOST_TEST(test_ring_bases, "session-ring-bases",
           "session: packed rings go on inside", TEST_DPDK);

/* librte_vhost would take more buffers from a split ring than it has. */
static void
test_ring_starts(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static struct vring_desc desc[256];
    static uint16_t avail[3 + 256], used[3 + 4 * 256];
    const struct {
        uint16_t avail, base;
        bool is_right;
    } tests[] = {
        { 0, 0, true }, { 256, 0, true }, { 100, 65380, true },
        { 257, 0, false }, { 100, 65379, false }, { 0, 1, false },
        { 1, 1, true },
    };
    struct rte_vhost_vring ring = {
        .desc = desc, .avail = (struct vring_avail *) avail,
        .used = (struct vring_used *) used, .size = 256,
        .callfd = -1, .kickfd = -1,
    };
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 1);
    struct vhost_device *device = vhost_session_device(session);

    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        avail[1] = tests[i].avail;
        guest_set_vring(vid, 1, false);
        guest_set_ring(vid, 1, &ring, tests[i].base);
        guest_set_vring(vid, 1, true);
        CHECK_STR(fault_of(device, 1), tests[i].is_right ? ""
                  : "its start index is out of range");
    }

    close_last_session(session);
}
VHOST_TEST(test_ring_starts, "session-ring-starts",
           "session: split rings start at buffers that they have", TEST_DPDK);

/* librte_vhost goes on with rings whose memory it has unmapped.  There is no
 * way on from there. */
static void
test_memory_lost(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 1);
    struct vhost_device *device = vhost_session_device(session);

    guest_set_memory(vid, 1024 * 1024, false);
    CHECK_STR(fault_of(device, 1), "");
    guest_set_memory(vid, 1024 * 1024, true);
    for (unsigned int i = 0; i < 2; i++) {
        struct vhost_queue *q = vhost_device_queue(device, i);
        bool usable;

        atomic_read_relaxed(&q->library.usable, &usable);
        CHECK(!usable);
    }
    forget_log();
    CHECK_INT(guest_message(vid, VHOST_REQUEST_GET_FEATURES, NULL, 0),
              RTE_VHOST_MSG_RESULT_ERR);
    CHECK_LOGGED("the connection is closed, because the guest's memory could "
                 "not be mapped");
    CHECK(!vhost_session_device(session));
    connect_guest(session, 1);
    CHECK(vhost_session_device(session));

    close_last_session(session);
}
VHOST_TEST(test_memory_lost, "session-memory-lost",
           "session: memory is lost", TEST_DPDK);
