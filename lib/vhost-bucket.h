/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_BUCKET_H
#define VHOST_BUCKET_H 1

/* A token bucket, of bytes or of packets, as in RFC 2697 and RFC 4115: it is
 * filled at a rate up to a burst size (CBS, EBS), and a packet conforms if
 * there are tokens for it.  Unlike those of DPDK's rte_meter, it reaches its
 * rate for any burst size:
 *
 * - A packet may be longer than the burst size: a segment of 64 KiB that the
 *   guest leaves to others to split (TSO).  It conforms when there are tokens
 *   for a whole burst, takes all that it needs and leaves a debt, which the
 *   rate pays before anything else conforms.
 *
 * - Packets come when a queue is polled, up to 32 at the same time, and a PMD
 *   thread that has other work may not poll for a while.  Meanwhile a small
 *   bucket would run over, and then be empty too soon.  So there is room for
 *   what the rate brings in a millisecond, and for twice the most that was
 *   ever offered at one time, if that is more than the burst size.
 *
 *   Why twice: polls are irregular, and several threads may share a bucket.
 *   With bursts at random times and twice the rate, room for one of them loses
 *   13 % of the rate, room for two loses 2.5 %.
 *
 * In a time t there pass at most rate * t, the room, and one packet.
 *
 * Not thread-safe: see vhost-meter.h. */

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/* In tokens: numbers that are exact enough for any rate and burst size, and
 * cannot run over. */
struct vhost_bucket {
    double rate;                /* Per cycle of the TSC. */
    double burst;               /* The burst size. */
    double room;                /* At least 'burst'. */
    double level;               /* Less than zero is a debt. */
    double offered;             /* At 'time'. */
    uint64_t time;              /* TSC: filled up to then.  0: never. */
};

uint64_t vhost_bucket_now(void);
void vhost_bucket_init(struct vhost_bucket *, uint64_t rate, uint64_t burst);
void vhost_bucket_fill(struct vhost_bucket *, uint64_t now);

/* Does a packet of 'n' tokens conform at time 'now'?  It takes none.  A time
 * that is not later than the last one counts as the same. */
static inline bool
vhost_bucket_offer(struct vhost_bucket *bucket, uint64_t now, uint32_t n)
{
    if (now > bucket->time) {
        vhost_bucket_fill(bucket, now);
    }
    bucket->offered += n;

    /* With a burst size of zero, nothing conforms. */
    return bucket->level >= MIN(n, bucket->burst) && bucket->burst;
}

/* Takes the tokens of a packet that conforms. */
static inline void
vhost_bucket_take(struct vhost_bucket *bucket, uint32_t n)
{
    bucket->level -= n;
}

#endif /* vhost-bucket.h */
