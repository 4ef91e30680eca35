/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_ADVICE_H
#define VHOST_ADVICE_H 1

/* Advice to users: what would fix what is remote (see vhost-placement.h).
 *
 * Most of it is shell commands that change the switch's configuration.  They
 * are made from that configuration, the machine's CPUs, and DPDK's and the
 * kernel's memory as these are now, and can be pasted as they are: names in
 * them are quoted if needed.
 *
 * Main thread only. */

#include <stdbool.h>
#include <stddef.h>

struct vhost_placement;

void vhost_advice_add(struct vhost_placement *);
char *vhost_advice_verdict(const struct vhost_placement *);

#endif /* vhost-advice.h */
