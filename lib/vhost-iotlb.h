/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_IOTLB_H
#define VHOST_IOTLB_H 1

/* Where a guest with an IOMMU has its rings.
 *
 * The addresses of rings are then the device's (VIRTIO_F_ACCESS_PLATFORM,
 * virtio 1.2, 6.), and the front end tells, page by page, where that is
 * (VHOST_USER_IOTLB_MSG).  librte_vhost takes pages that follow each other
 * there for pages that follow each other in memory.  Linux allocates rings
 * page by page, so that the pages of a larger one may be anywhere:
 * librte_vhost would read and write what is beside the first.
 *
 * So all translations are kept here, too, as librte_vhost keeps them: over a
 * new address of a ring, and until the front end invalidates them.  A
 * virtqueue cannot be used while one of its parts (descriptors, available
 * ring, used ring) is scattered.
 *
 * All functions are called by the thread that handles the connection's
 * messages, while no burst of the guest's runs. */

#include <stdbool.h>

struct vhost_iotlb;
struct vhost_message;

/* Considers 'm' of connection 'vid', which librte_vhost has obeyed.  '*iotlb'
 * is a null pointer before the first, made as soon as the guest has an IOMMU,
 * and the caller's to destroy. */
void vhost_iotlb_consider(struct vhost_iotlb **iotlb,
                          const struct vhost_message *m, int vid);
void vhost_iotlb_destroy(struct vhost_iotlb *);

/* Does 'm' of connection 'vid', which librte_vhost has not seen yet, translate
 * what is translated to something else?  librte_vhost would use either.
 * 'iotlb' may be null. */
bool vhost_iotlb_contradicts(const struct vhost_iotlb *iotlb,
                             const struct vhost_message *m, int vid);

/* Why the virtqueue cannot be used, or a null pointer if it can.  'iotlb' may
 * be null. */
const char *vhost_iotlb_objection(const struct vhost_iotlb *iotlb,
                                  unsigned int vring);

#endif /* vhost-iotlb.h */
