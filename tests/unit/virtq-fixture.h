/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VIRTQ_FIXTURE_H
#define VIRTQ_FIXTURE_H 1

/* A virtqueue with an honest driver, for tests. */

#include <stdbool.h>
#include <stdint.h>

#include "virtq-driver.h"
#include "virtq.h"

#define WRAP_BIT (1 << VRING_PACKED_EVENT_F_WRAP_CTR)

/* Where the first of two regions ends and the second begins. */
#define BORDER (GUEST_START + (6 << 20))

extern struct guest guest;
extern struct driver driver;
extern struct virtq vq;
extern struct virtq_burst burst;

/* Makes a guest with two regions, and a virtqueue with its driver. */
void start_guest(void);
void start_virtq(const struct driver_options *);
void finish_virtq(void);

/* What buffers look like. */
struct shape {
    unsigned int max_pieces;
    bool indirect;
    bool across;                /* In two regions? */
};

/* Moves 'total' buffers in steps of random size.  Buffers are returned as soon
 * as they are taken, or later. */
void transfer(const struct shape *, unsigned int total);

/* The same with buffers of each shape, on rings of 'size' entries. */
void transfer_all(bool packed, unsigned int size, uint16_t base);

/* Fetches, checks that there are 'n' buffers, the last of 'n_segments'
 * segments, and takes them. */
void take(unsigned int n, unsigned int n_segments);

/* Makes 'n' buffers available, takes them and returns them in pieces that the
 * bits of 'cuts' separate. */
void pass_buffers(unsigned int n, unsigned int cuts);

/* Has the driver get all used buffers. */
void get_all(void);

#endif /* virtq-fixture.h */
