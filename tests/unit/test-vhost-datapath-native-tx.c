/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "native-fixture.h"
#include "test-vhost.h"
#include "util.h"
#include "virtq-driver.h"

/* Checks that packet 'number' came in 'n' buffers of 'size' bytes, which were
 * offered at 'address'. */
static void
check_received(unsigned int number, uint32_t len, unsigned int n,
               uint32_t size, uint64_t address)
{
    struct virtio_net_hdr_mrg_rxbuf hdr;
    uint32_t left = hdr_len + len, written;

    memset(&hdr, 0, sizeof hdr);
    guest_read(&guest, address, &hdr, hdr_len);
    CHECK_INT(hdr.hdr.flags | hdr.hdr.gso_type, 0);
    CHECK(hdr_len == 10 || hdr.num_buffers == n);
    for (unsigned int i = 0; i < n; i++) {
        CHECK(driver_get(&driver, &written) >= 0);
        CHECK_INT(written, MIN(left, size));
        left -= written;
    }
    CHECK_INT(left, 0);
    for (uint32_t i = 0; i < len; i++) {
        uint8_t c;

        guest_read(&guest, address + hdr_len + i, &c, 1);
        CHECK_INT(c, byte_of(number, i));
    }
}

static void
test_send(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint32_t lens[] = { 1, 60, 64, 127, 256, 257, 1500, 1600 };

    for (int i = 0; i < ARRAY_SIZE(all_features); i++) {
        start(0, all_features[i], 64);
        CHECK_INT(send_one(1, 60, false), 0);
        for (int j = 0; j < ARRAY_SIZE(lens) * 2; j++) {
            uint32_t len = lens[j / 2];

            offer(1, 2048);
            CHECK_INT(send_one(j, len, j & 1 && len > 1), 1);
            check_received(j, len, 1, 2048, PAGE);
        }
        CHECK_INT(COUNTER(good_packets), 2 * ARRAY_SIZE(lens));
        CHECK_INT(COUNTER(size_1519_max_packets), 2);

        /* Headers that are not zero before. */
        offer(1, 2048);
        memset(guest_at(&guest, PAGE), 0xff, 2048);
        CHECK_INT(send_one(7, 100, false), 1);
        check_received(7, 100, 1, 2048, PAGE);
        stop();
    }
    finish();
}
VHOST_TEST(test_send, "native-send", "native: sent", TEST_DPDK);

static void
test_mergeable(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        uint64_t features = (FEATURE(VIRTIO_NET_F_MRG_RXBUF)
                             | (i ? FEATURE(VIRTIO_F_RING_PACKED) : 0));

        start(0, features, 256);
        for (uint32_t size = 12; size < 2000; size += 37) {
            for (int split = 0; split < 2; split++) {
                unsigned int n = DIV_ROUND_UP(12 + 700, size);

                if (n > VIRTQ_MAX_BUFFERS) {
                    continue;
                }
                /* One too few: nothing is taken. */
                offer(n - 1, size);
                CHECK_INT(send_one(3, 700, split), 0);
                CHECK(driver_add_simple(&driver, PAGE + (n - 1) * size,
                                        size) >= 0);
                CHECK_INT(send_one(3, 700, split), 1);
                check_received(3, 700, n, size, PAGE);
            }
        }
        CHECK_INT(counters.tx_small_buffer_drops, 0);
        stop();
    }
    finish();
}
VHOST_TEST(test_mergeable, "native-mergeable",
           "native: mergeable buffers", TEST_DPDK);

static void
test_small_buffers(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start(0, 0, 64);
    offer(1, 110);
    CHECK_INT(send_one(1, 101, false), 1);
    CHECK_INT(counters.tx_small_buffer_drops, 1);
    CHECK_INT(send_one(1, 101, true), 1);
    CHECK_INT(counters.tx_small_buffer_drops, 2);
    CHECK_INT(COUNTER(good_packets), 0);
    CHECK_INT(send_one(1, 100, false), 1);
    check_received(1, 100, 1, 110, PAGE);
    stop();
    finish();
}
VHOST_TEST(test_small_buffers, "native-small-buffers",
           "native: small buffers", TEST_DPDK);
