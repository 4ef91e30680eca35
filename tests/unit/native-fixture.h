/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef NATIVE_FIXTURE_H
#define NATIVE_FIXTURE_H 1

/* A device with one virtqueue on the native data path, for tests: the rings
 * are those of virtq-driver.h, the mbufs are real. */

#include <stdint.h>

#include <linux/virtio_config.h>
#include <rte_mbuf.h>

#include "vhost-device.h"
#include "vhost-mempool.h"
#include "vhost-stats.h"
#include "virtq-fixture.h"

#define FEATURE(NAME) (UINT64_C(1) << (NAME))
#define PAGE GUEST_START

/* The layouts and headers that there are. */
#define N_FEATURES 7
extern const uint64_t all_features[N_FEATURES];

extern const struct vhost_datapath *const native;
extern struct vhost_mempool *pool;
extern int test_vid, callfd;
extern struct vhost_device device;
extern struct vhost_queue *q;
extern struct vhost_counters counters;
extern size_t hdr_len;          /* Of a packet's virtio_net_hdr. */

/* What start() uses for zero-copy, or NULL. */
extern struct vhost_mapping *zero_copy_mapping;

uint64_t counter(unsigned int);
#define COUNTER(NAME) counter(VHOST_VRING_##NAME)

/* Each virtqueue ends with stop(), the last one with finish(), too. */
void start(unsigned int vring, uint64_t features, unsigned int size);
void stop(void);
void finish(void);

/* Does the virtqueue run? */
bool is_running(void);

uint8_t byte_of(unsigned int number, unsigned int i);
void guest_sends(unsigned int number, uint32_t len, uint32_t piece);
unsigned int receive(struct rte_mbuf **, unsigned int n);
void receive_one(unsigned int number, uint32_t len);

/* Makes 'n' buffers of 'len' bytes available, one behind the other. */
void offer(unsigned int n, uint32_t len);

/* Sends packet 'number', in two mbufs if 'split', and returns what that
 * yields. */
unsigned int send_one(unsigned int number, uint32_t len, bool split);

#endif /* native-fixture.h */
