/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H 1

/* The memory of a guest, as it was told to us by VHOST_USER_SET_MEM_TABLE.
 *
 * What a descriptor says is a claim.  The functions here turn one into a
 * pointer only for as many bytes as really are there.  They know nothing of
 * virtqueues, DPDK or Open vSwitch's packets.
 *
 * Thread-safe as long as the table does not change: the thread that changes it
 * makes sure first that no thread reads it (see vhost-conn-message.c). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_MEMORY_MAX_REGIONS 8      /* The limit of librte_vhost. */

struct guest_memory_region {
    uint64_t address;           /* First address, in the guest. */
    uint64_t size;              /* In bytes; 'address' + 'size' fits. */
    uint8_t *mapping;           /* Where we have it. */
};

struct guest_memory {
    unsigned int n_regions;
    struct guest_memory_region regions[GUEST_MEMORY_MAX_REGIONS];
};

/* Returns where we have the 'len' bytes at 'address' of the guest, if they are
 * in one region, and NULL otherwise. */
static inline uint8_t *
guest_memory_at(const struct guest_memory *memory, uint64_t address,
                uint64_t len)
{
    for (unsigned int i = 0; i < memory->n_regions; i++) {
        const struct guest_memory_region *region = &memory->regions[i];
        uint64_t offset = address - region->address;

        if (offset < region->size && len <= region->size - offset) {
            return region->mapping + offset;
        }
    }
    return NULL;
}

uint8_t *guest_memory_piece(const struct guest_memory *, uint64_t address,
                            uint64_t *len);
bool guest_memory_contains(const struct guest_memory *, const void *,
                           uint64_t len);
bool guest_memory_address_of(const struct guest_memory *, const void *,
                             uint64_t *address);
bool guest_memory_add(struct guest_memory *, uint64_t address, uint64_t size,
                      void *mapping);

#endif /* guest-memory.h */
