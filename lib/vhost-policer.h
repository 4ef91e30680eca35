/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */


#ifndef VHOST_POLICER_H
#define VHOST_POLICER_H 1

/* Single-rate policing: drops what exceeds a rate, colour-blind (RFC 2697
 * with an excess burst of zero).  The ingress policer of an Interface and QoS
 * type "egress-policer" are both this.
 *
 * A policer is shared by the threads that use the port: vhost_policer_run()
 * may be called from any of them.  It is published with RCU and replaced, not
 * changed. */

#include <stdint.h>

struct rte_mbuf;
struct vhost_policer;

struct vhost_policer *vhost_policer_create(uint64_t rate, uint64_t burst,
                                           int *errorp);
void vhost_policer_destroy(struct vhost_policer *);
void vhost_policer_destroy_postponed(struct vhost_policer *);
uint16_t vhost_policer_run(struct vhost_policer *, struct rte_mbuf **,
                           uint16_t n);

#endif /* vhost-policer.h */
