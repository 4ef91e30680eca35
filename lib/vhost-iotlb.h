/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_IOTLB_H
#define VHOST_IOTLB_H 1

/* The IOTLB: are the rings of a guest with an IOMMU contiguous in memory?
 *
 * With VIRTIO_F_ACCESS_PLATFORM (virtio 1.2, 6), a ring's addresses are I/O
 * virtual addresses (IOVAs).  The front end sends the translations, usually
 * one per page, in VHOST_USER_IOTLB_MSG.
 *
 * librte_vhost takes a range of IOVAs to be contiguous in memory.  It need not
 * be: Linux may allocate a ring that is larger than a page from scattered
 * pages.  The library would then access whatever follows the first page.
 *
 * So a copy of all translations is kept here.  As in librte_vhost, they stay
 * valid until the front end invalidates them, even if a ring gets other
 * addresses.  A virtqueue is not used while one of its parts (descriptor
 * table, available ring, used ring) is scattered.
 *
 * All functions are for librte_vhost's event thread, while no burst on the
 * guest's queues is under way.  vhost_iotlb_destroy() is also for the thread
 * that closes the session. */

#include <stdbool.h>

struct vhost_iotlb;
struct vhost_message;

/* Updates '*iotlb' after librte_vhost has handled 'm' of connection 'vid'.
 * '*iotlb' is NULL at first, and allocated when it is needed: once the guest
 * has negotiated VIRTIO_F_ACCESS_PLATFORM.  The caller must destroy it. */
void vhost_iotlb_consider(struct vhost_iotlb **iotlb,
                          const struct vhost_message *m, int vid);
void vhost_iotlb_destroy(struct vhost_iotlb *);

/* Does 'm' of connection 'vid', which librte_vhost has not handled yet,
 * translate an IOVA to another address than a translation that is still valid?
 * librte_vhost might then use either.  'iotlb' may be NULL. */
bool vhost_iotlb_contradicts(const struct vhost_iotlb *iotlb,
                             const struct vhost_message *m, int vid);

/* Returns why virtqueue 'vring' cannot be used, or NULL if it can.  'iotlb'
 * may be NULL. */
const char *vhost_iotlb_objection(const struct vhost_iotlb *iotlb,
                                  unsigned int vring);

#endif /* vhost-iotlb.h */
