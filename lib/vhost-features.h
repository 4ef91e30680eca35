/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_FEATURES_H
#define VHOST_FEATURES_H 1

/* Names of features, by the number of their bit: those of virtio 1.2 that
 * concern a network device, and those of the vhost-user protocol.  The name of
 * an unknown bit is null.  Any thread. */

#define VHOST_N_FEATURES 64

#include <stdint.h>

char *vhost_features_withdrawal(uint64_t withdrawn);

extern const char *const vhost_virtio_features[VHOST_N_FEATURES];
extern const char *const vhost_protocol_features[VHOST_N_FEATURES];

#endif /* vhost-features.h */
