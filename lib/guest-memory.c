/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "guest-memory.h"


/* Adds a region to 'memory'.  Returns false if that is impossible: there are
 * too many, it is empty, or it wraps around. */
bool
guest_memory_add(struct guest_memory *memory, uint64_t address, uint64_t size,
                 void *mapping)
{
    if (memory->n_regions >= GUEST_MEMORY_MAX_REGIONS || !size
        || address + size < address
        || (uintptr_t) mapping + size < (uintptr_t) mapping) {
        return false;
    }
    memory->regions[memory->n_regions++] = (struct guest_memory_region) {
        .address = address, .size = size, .mapping = mapping,
    };
    return true;
}

/* Returns where we have 'address' of the guest, or NULL, and reduces '*len' to
 * the number of bytes from there that are in the same region. */
uint8_t *
guest_memory_piece(const struct guest_memory *memory, uint64_t address,
                   uint64_t *len)
{
    for (unsigned int i = 0; i < memory->n_regions; i++) {
        const struct guest_memory_region *region = &memory->regions[i];
        uint64_t offset = address - region->address;

        if (offset < region->size) {
            if (*len > region->size - offset) {
                *len = region->size - offset;
            }
            return region->mapping + offset;
        }
    }
    return NULL;
}

static const struct guest_memory_region *
region_of(const struct guest_memory *memory, const void *p)
{
    for (unsigned int i = 0; i < memory->n_regions; i++) {
        const struct guest_memory_region *region = &memory->regions[i];

        if ((uintptr_t) p - (uintptr_t) region->mapping < region->size) {
            return region;
        }
    }
    return NULL;
}

/* Are the 'len' bytes at 'p' wholly in one region? */
bool
guest_memory_contains(const struct guest_memory *memory, const void *p,
                      uint64_t len)
{
    const struct guest_memory_region *region = region_of(memory, p);

    return region && len <= (region->size
                             - ((const uint8_t *) p - region->mapping));
}

/* Stores the guest's address of 'p' in '*address'.  Returns false if 'p' is
 * not in the guest's memory. */
bool
guest_memory_address_of(const struct guest_memory *memory, const void *p,
                        uint64_t *address)
{
    const struct guest_memory_region *region = region_of(memory, p);

    if (region) {
        *address = region->address + ((const uint8_t *) p - region->mapping);
    }
    return region != NULL;
}
