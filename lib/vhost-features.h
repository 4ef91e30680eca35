/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_FEATURES_H
#define VHOST_FEATURES_H 1

/* Features of virtio 1.2 that concern a network device, and those of the
 * vhost-user protocol: their names, by the number of their bit, and which ones
 * guests are offered if librte_vhost has them.  The name of an unknown bit is
 * null.  Any thread. */

#define VHOST_N_FEATURES 64

#include <stdint.h>

char *vhost_features_withdrawal(uint64_t withdrawn);

extern const char *const vhost_virtio_features[VHOST_N_FEATURES];
extern const char *const vhost_protocol_features[VHOST_N_FEATURES];

extern const uint64_t vhost_supported_features;
extern const uint64_t vhost_supported_protocol_features;

#endif /* vhost-features.h */
