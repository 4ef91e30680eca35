/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_MAPPING_H
#define VHOST_MAPPING_H 1

/* A guest's memory, mapped by us.
 *
 * librte_vhost maps the memory of each guest, too, and unmaps it when the
 * guest disconnects or its memory changes.  A mapping of ours stays for as
 * long as there is a reference: packets in flight in the switch that are still
 * in the guest's memory need that.
 *
 * A mapping also stays if the guest takes pages away from its file: see
 * vhost-guard.h.  Devices are told about mappings: see vhost-dma.h.
 *
 * Mappings are made, referenced and released outside of the data path.  All
 * functions are thread-safe. */

#include <stdbool.h>
#include <stdint.h>

#include "guest-memory.h"
#include "ovs-atomic.h"
#include "vhost-dma.h"

struct rte_vhost_memory;

struct vhost_mapping {
    struct guest_memory memory; /* Where we have it. */
    atomic_bool lost;           /* Were pages of it taken away? */
    char *owner;                /* Name of the port. */
    uint64_t size;              /* In bytes. */

    struct vhost_dma_memory dma;

    struct ovs_refcount refcount;
    struct iovec parts[GUEST_MEMORY_MAX_REGIONS];   /* As it was mapped. */
};

struct vhost_mapping *vhost_mapping_create(const struct rte_vhost_memory *,
                                           const char *owner, char **errp);
struct vhost_mapping *vhost_mapping_ref(const struct vhost_mapping *);
void vhost_mapping_unref(struct vhost_mapping *);

void *vhost_mapping_translate(const struct vhost_mapping *,
                              const struct guest_memory *other,
                              const void *);

static inline bool
vhost_mapping_is_lost(const struct vhost_mapping *mapping)
{
    bool lost;

    atomic_read_relaxed(&CONST_CAST(struct vhost_mapping *, mapping)->lost,
                        &lost);
    return lost;
}

#endif /* vhost-mapping.h */
