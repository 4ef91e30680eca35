/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-bucket.h"

#include <rte_cycles.h>

#include "test-vhost.h"

/* The time in which 'bucket' gets 'tokens'. */
static uint64_t
cycles_for(double tokens, double rate)
{
    return tokens * rte_get_tsc_hz() / rate;
}

static void
test_bucket(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const uint64_t rate = 1000000, start_time = 1000000;
    uint64_t now = start_time;
    struct vhost_bucket bucket;

    /* Full at first.  What does not conform takes nothing. */
    vhost_bucket_init(&bucket, rate, 1000);
    CHECK(vhost_bucket_offer(&bucket, now, 1000));
    vhost_bucket_take(&bucket, 600);
    CHECK(!vhost_bucket_offer(&bucket, now, 401));
    CHECK(vhost_bucket_offer(&bucket, now, 400));
    vhost_bucket_take(&bucket, 400);
    CHECK(!vhost_bucket_offer(&bucket, now, 1));
    CHECK(vhost_bucket_offer(&bucket, now, 0));

    /* It fills up with time, which does not go back. */
    now += cycles_for(499.5, rate);
    CHECK(!vhost_bucket_offer(&bucket, now, 500));
    CHECK(!vhost_bucket_offer(&bucket, start_time, 500));
    now += cycles_for(1, rate);
    CHECK(vhost_bucket_offer(&bucket, now, 500));
    CHECK(!vhost_bucket_offer(&bucket, now, 501));
    now += cycles_for(100, rate);
    CHECK(!vhost_bucket_offer(&bucket, now - cycles_for(50, rate), 601));
    CHECK(vhost_bucket_offer(&bucket, now, 600));

    /* A packet that is longer than the burst waits for a whole burst, and
     * leaves a debt that has to be paid before even an empty one conforms. */
    vhost_bucket_init(&bucket, rate, 1000);
    CHECK(vhost_bucket_offer(&bucket, now, 10000));
    vhost_bucket_take(&bucket, 10000);
    now += cycles_for(8999.5, rate);
    CHECK(!vhost_bucket_offer(&bucket, now, 0));
    now += cycles_for(1, rate);
    CHECK(vhost_bucket_offer(&bucket, now, 0));
    CHECK(!vhost_bucket_offer(&bucket, now, 1));
    now += cycles_for(999, rate);
    CHECK(!vhost_bucket_offer(&bucket, now, 10000));
    now += cycles_for(1, rate);
    CHECK(vhost_bucket_offer(&bucket, now, 10000));

    /* There is room for the burst, for twice what came at one time... */
    vhost_bucket_init(&bucket, rate, 1000);
    CHECK(vhost_bucket_offer(&bucket, now, 400));
    now += cycles_for(1e9, rate);
    CHECK(vhost_bucket_offer(&bucket, now, 1));
    vhost_bucket_take(&bucket, 1000);
    CHECK(!vhost_bucket_offer(&bucket, now, 1));
    for (int i = 0; i < 20; i++) {
        vhost_bucket_offer(&bucket, now, 499);
    }
    now += cycles_for(1e9, rate);
    for (int i = 0; i < 19; i++) {
        CHECK(vhost_bucket_offer(&bucket, now, 1000));
        vhost_bucket_take(&bucket, 1000);
    }
    CHECK(!vhost_bucket_offer(&bucket, now, 965));
    CHECK(vhost_bucket_offer(&bucket, now, 964));

    /* ...or for a millisecond. */
    vhost_bucket_init(&bucket, 5000000, 1000);
    CHECK(vhost_bucket_offer(&bucket, now, 1));
    now += cycles_for(1e9, rate);
    CHECK(vhost_bucket_offer(&bucket, now, 1));
    vhost_bucket_take(&bucket, 4000);
    CHECK(vhost_bucket_offer(&bucket, now, 1000));
    vhost_bucket_take(&bucket, 1000);
    CHECK(!vhost_bucket_offer(&bucket, now, 1));

    /* No rate: what there is at first.  No burst: nothing. */
    vhost_bucket_init(&bucket, 0, 1000);
    CHECK(vhost_bucket_offer(&bucket, now, 1000));
    vhost_bucket_take(&bucket, 1000);
    now += cycles_for(1e12, rate);
    CHECK(!vhost_bucket_offer(&bucket, now, 1));
    vhost_bucket_init(&bucket, 0, 0);
    CHECK(!vhost_bucket_offer(&bucket, now, 1));
    CHECK(!vhost_bucket_offer(&bucket, now, 0));

    /* Extremes. */
    vhost_bucket_init(&bucket, UINT64_MAX, UINT64_MAX);
    for (int i = 0; i < 100; i++) {
        CHECK(vhost_bucket_offer(&bucket, now, UINT32_MAX));
        vhost_bucket_take(&bucket, UINT32_MAX);
        now += UINT64_MAX / 200;
    }
    vhost_bucket_init(&bucket, 1, 1);
    now = 1;
    CHECK(vhost_bucket_offer(&bucket, now, UINT32_MAX));
    vhost_bucket_take(&bucket, UINT32_MAX);
    CHECK(!vhost_bucket_offer(&bucket, now, 1));
    now += cycles_for(UINT32_MAX + 1.0, 1);
    CHECK(vhost_bucket_offer(&bucket, now, 1));
}
VHOST_TEST(test_bucket, "bucket", "rates: token bucket", TEST_DPDK);
