/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-mapping.h"

#include <errno.h>
#include <sys/mman.h>

#include <rte_vhost.h>

#include "util.h"
#include "vhost-guard.h"

static void
destroy(struct vhost_mapping *mapping)
{
    for (unsigned int i = 0; i < mapping->memory.n_regions; i++) {
        vhost_guard_unwatch(mapping->parts[i].iov_base, &mapping->lost);
        munmap(mapping->parts[i].iov_base, mapping->parts[i].iov_len);
    }
    free(mapping->owner);
    free(mapping);
}

static void
destroy_forgotten(struct vhost_dma_memory *dma)
{
    destroy(CONTAINER_OF(dma, struct vhost_mapping, dma));
}

/* Maps the memory in 'table', that of a guest of port 'owner' as librte_vhost
 * has it.  Returns the mapping, with one reference, or NULL and a message in
 * '*errp' that the caller must free. */
struct vhost_mapping *
vhost_mapping_create(const struct rte_vhost_memory *table, const char *owner,
                     char **errp)
{
    struct vhost_mapping *mapping = xzalloc(sizeof *mapping);

    mapping->owner = xstrdup(owner);
    ovs_refcount_init(&mapping->refcount);
    atomic_init(&mapping->lost, false);
    for (uint32_t i = 0; i < table->nregions; i++) {
        const struct rte_vhost_mem_region *region = &table->regions[i];
        struct iovec *part = &mapping->parts[mapping->memory.n_regions];
        /* librte_vhost maps files from their beginning. */
        uint64_t offset = (region->host_user_addr
                           - (uintptr_t) region->mmap_addr);
        void *start;

        if (mapping->memory.n_regions >= GUEST_MEMORY_MAX_REGIONS) {
            *errp = xstrdup("it has too many regions");
            goto error;
        }
        if (!vhost_guard_is_memory(region->fd)) {
            *errp = xstrdup("it is not tmpfs or hugetlbfs");
            goto error;
        }
        start = mmap(NULL, region->mmap_size, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_NORESERVE, region->fd, 0);
        if (start == MAP_FAILED) {
            *errp = xasprintf("it cannot be mapped (%s)",
                              ovs_strerror(errno));
            goto error;
        }
        part->iov_base = start;
        part->iov_len = region->mmap_size;
        if (!guest_memory_add(&mapping->memory, region->guest_phys_addr,
                              region->size, (uint8_t *) start + offset)) {
            munmap(start, part->iov_len);
            *errp = xstrdup("a region of it is invalid");
            goto error;
        }
        madvise(start, part->iov_len, MADV_DONTDUMP);
        mapping->size += region->size;
        if (!vhost_guard_watch(start, part->iov_len, &mapping->lost)) {
            *errp = xstrdup("too much is already mapped");
            goto error;
        }
    }
    vhost_dma_add(&mapping->dma, mapping->owner, mapping->parts,
                  mapping->memory.n_regions, destroy_forgotten);
    return mapping;

error:
    destroy(mapping);
    return NULL;
}

struct vhost_mapping *
vhost_mapping_ref(const struct vhost_mapping *mapping_)
{
    struct vhost_mapping *mapping = CONST_CAST(struct vhost_mapping *,
                                               mapping_);

    if (mapping) {
        ovs_refcount_ref(&mapping->refcount);
    }
    return mapping;
}

/* Gives up a reference to 'mapping', which may be NULL. */
void
vhost_mapping_unref(struct vhost_mapping *mapping)
{
    if (mapping && ovs_refcount_unref(&mapping->refcount) == 1) {
        vhost_dma_remove(&mapping->dma);        /* Then it is destroyed. */
    }
}

/* Returns where 'mapping' has what 'other' has at 'p', or NULL. */
void *
vhost_mapping_translate(const struct vhost_mapping *mapping,
                        const struct guest_memory *other, const void *p)
{
    uint64_t address;

    return (guest_memory_address_of(other, p, &address)
            ? guest_memory_at(&mapping->memory, address, 1) : NULL);
}
