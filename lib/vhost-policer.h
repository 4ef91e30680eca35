/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_POLICER_H
#define VHOST_POLICER_H 1

/* Single-rate policing: drops what exceeds a rate, colour-blind (RFC 2697
 * with an excess burst of zero), for the ingress policer of an Interface,
 * which may limit packets too, and for QoS type "egress-policer".
 *
 * The threads that use a port share its policer: vhost_policer_run() may be
 * called from any thread.  A policer is published with RCU and replaced, not
 * changed. */

#include <stdint.h>

struct rte_mbuf;
struct vhost_policer;

struct vhost_limit {
    uint64_t rate;              /* Per second. */
    uint64_t burst;
};

struct vhost_policer *vhost_policer_create(uint64_t rate, uint64_t burst,
                                           int *errorp);
struct vhost_policer *vhost_policer_create_for(
    const struct vhost_limit *bytes, const struct vhost_limit *packets);
void vhost_policer_destroy(struct vhost_policer *);
void vhost_policer_destroy_postponed(struct vhost_policer *);
uint16_t vhost_policer_run(struct vhost_policer *, struct rte_mbuf **,
                           uint16_t n);

#endif /* vhost-policer.h */
