/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_DEVICE_H
#define VHOST_DEVICE_H 1

/* A running device, from librte_vhost's word that it is ready to the end: where
 * it is, which data path moves its packets, and which of its virtqueues that
 * data path has at the moment.
 *
 * For librte_vhost's event thread and for whoever closes a session.  Functions
 * that change what a published device has are called with the session's mutex
 * held, unless the device is not its connection's any more.
 *
 * What concerns virtqueues takes the first and the number of them. */

#include "vhost-datapath.h"

struct vhost_device *vhost_device_create(int vid, bool library_only,
                                         bool large_packets,
                                         const struct guest_memory *,
                                         const struct vhost_mapping *);
void vhost_device_free(struct vhost_device *);
void vhost_device_destroy(struct vhost_device *, struct vhost_counters *);

void vhost_device_start(struct vhost_device *, unsigned int vring,
                        const char *objection);
bool vhost_device_suspend(struct vhost_device *, unsigned int first,
                          unsigned int n, bool is_locked);
void vhost_device_stop(struct vhost_device *, unsigned int first,
                       unsigned int n);
void vhost_device_hand_back(struct vhost_device *, unsigned int first,
                            unsigned int n);
void vhost_device_note_rings(struct vhost_device *, unsigned int first,
                             unsigned int n);
int vhost_device_find_node(struct vhost_device *);
void vhost_device_map_txqs(struct vhost_device *, const bool enabled[]);

const char *vhost_device_jumbo_obstacle(const struct vhost_device *, int mtu);
char *vhost_device_ring_faults(struct vhost_device *);
const char *vhost_device_zero_copy_obstacle(const struct vhost_device *);

#endif /* vhost-device.h */
