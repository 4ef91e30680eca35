/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_QOS_H
#define VHOST_QOS_H 1

/* Egress QoS of a vhost-user port: types "egress-policer" and "trtcm-policer",
 * with the parameters that ovs-vswitchd.conf.db(5) gives for them.
 *
 * A configuration is published with RCU.  vhost_qos_run() may be called from
 * any thread; the other functions are called with the port's mutex held.  The
 * queues of "trtcm-policer" change while threads use them, under the lock of
 * its meter (see vhost-meter.h).  Rates are in bytes per second, bursts in
 * bytes.
 *
 * Functions return 0 or a positive errno value. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netdev_queue_stats;
struct rte_mbuf;
struct smap;
struct sset;
struct vhost_qos;

void vhost_qos_get_types(struct sset *);

int vhost_qos_create(const char *type, const struct smap *details,
                     struct vhost_qos **);
void vhost_qos_destroy(struct vhost_qos *);
void vhost_qos_destroy_postponed(struct vhost_qos *);
const char *vhost_qos_type(const struct vhost_qos *);
void vhost_qos_get(const struct vhost_qos *, struct smap *details);
bool vhost_qos_is_equal(const struct vhost_qos *, const char *type,
                        const struct smap *details);

uint16_t vhost_qos_run(struct vhost_qos *, struct rte_mbuf **, uint16_t n);

int vhost_qos_set_queue(struct vhost_qos *, uint32_t queue_id,
                        const struct smap *details);
int vhost_qos_delete_queue(struct vhost_qos *, uint32_t queue_id);
int vhost_qos_get_queue(struct vhost_qos *, uint32_t queue_id,
                        struct smap *details);
int vhost_qos_get_queue_stats(struct vhost_qos *, uint32_t queue_id,
                              struct netdev_queue_stats *);
int vhost_qos_get_queues(struct vhost_qos *, uint32_t **queue_ids, size_t *n);

#endif /* vhost-qos.h */
