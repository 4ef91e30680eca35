/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef PLACEMENT_FIXTURE_H
#define PLACEMENT_FIXTURE_H 1

/* A placement for tests. */

#include "vhost-placement.h"

/* A guest with all of it on node 1 of a machine with nodes 0 and 1, which have
 * CPUs 0, 1, 4 and 2, 3, 5. */
struct vhost_placement make_placement(void);

/* Its virtqueues: two pairs. */
extern struct vhost_queue_placement fixture_queues[4];

/* Checks the verdict on 'p': 'text', unless that is null, with 'remedy'. */
void check_verdict(const struct vhost_placement *p, const char *text,
                   const char *remedy);

#endif /* placement-fixture.h */
