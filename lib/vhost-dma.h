/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_DMA_H
#define VHOST_DMA_H 1

/* Memory that is not DPDK's, for devices that read packets themselves.
 *
 * A DPDK port hands addresses of packets to a device.  A device that is bound
 * to VFIO is behind an IOMMU: it can read what VFIO was told about, and the
 * kernel keeps the pages of that where they are until VFIO is told otherwise.
 *
 * Without an IOMMU, addresses are physical.  Nothing would keep a guest's
 * pages from being given to somebody else while a device reads them, so that
 * devices are not told.  Neither are drivers with an IOMMU of their own, for
 * which DPDK has no stable interface.
 *
 * Software ports, such as net_null, read packets as the switch does.
 *
 * VFIO is told about all memory when the first port comes that needs it, and
 * about more memory before that is used.  Packets are copied for as long as
 * nothing is known about a new port, and until VFIO knows about the memory:
 * the kernel then brings in and pins all pages of a guest, which can take
 * seconds and is done by a thread of its own.
 *
 * All functions are thread-safe, and none is for the data path but
 * vhost_dma_obstacle(). */

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "openvswitch/list.h"
#include "ovs-atomic.h"
#include "util.h"

struct vhost_dma_memory {
    struct ovs_list list_node;
    const char *owner;
    const struct iovec *parts;  /* Whole pages each. */
    size_t n_parts;
    void (*destroy)(struct vhost_dma_memory *);

    /* Protected by a mutex of vhost-dma.c. */
    bool busy;                  /* Is VFIO being told, or told to forget? */
    bool told;                  /* Does VFIO know of it? */
    bool failed;                /* Could it not be told? */
    bool removed;               /* Is it to be destroyed when forgotten? */

    /* Why there is a DPDK port that cannot read it, or NULL. */
    ATOMIC(const char *) obstacle;
};

void vhost_dma_init(void);
void vhost_dma_run(void);
void vhost_dma_wait(void);
void vhost_dma_add(struct vhost_dma_memory *, const char *owner,
                   const struct iovec parts[], size_t n_parts,
                   void (*destroy)(struct vhost_dma_memory *));
void vhost_dma_remove(struct vhost_dma_memory *);

/* Returns why there is a DPDK port that cannot read 'memory', or NULL. */
static inline const char *
vhost_dma_obstacle(const struct vhost_dma_memory *memory)
{
    const char *obstacle;

    atomic_read_relaxed(&CONST_CAST(struct vhost_dma_memory *,
                                    memory)->obstacle, &obstacle);
    return obstacle;
}

#endif /* vhost-dma.h */
