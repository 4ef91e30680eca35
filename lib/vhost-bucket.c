/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-bucket.h"

#include <rte_cycles.h>

#include "util.h"

/* A PMD thread polls more often, unless something keeps it from its work. */
#define MAX_POLLS_PER_SECOND 1000

/* Returns the time, in cycles of the TSC.  The unit tests have another. */
uint64_t
vhost_bucket_now(void)
{
    return rte_rdtsc();
}

/* Initializes 'bucket' to hold 'burst' tokens, which is all it has at first,
 * and to get 'rate' tokens per second.  Its time begins with the first offer:
 * until then it is full. */
void
vhost_bucket_init(struct vhost_bucket *bucket, uint64_t rate, uint64_t burst)
{
    *bucket = (struct vhost_bucket) {
        .rate = (double) rate / rte_get_tsc_hz(),
        .burst = burst,
        .room = MAX(burst, rate / MAX_POLLS_PER_SECOND),
        .level = burst,
    };
}

/* Gives 'bucket' its tokens until 'now', which is later than the last time. */
void
vhost_bucket_fill(struct vhost_bucket *bucket, uint64_t now)
{
    bucket->room = MAX(bucket->room, 2 * bucket->offered);
    if (bucket->time) {
        bucket->level += (now - bucket->time) * bucket->rate;
        bucket->level = MIN(bucket->level, bucket->room);
    }
    bucket->time = now;
    bucket->offered = 0;
}
