/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

#include <config.h>

#include "vhost-iotlb.h"

#include <stdint.h>
#include <stdlib.h>

#include <linux/virtio_config.h>
#include <rte_vhost.h>

#include "util.h"
#include "vhost-datapath.h"
#include "vhost-message.h"

/* Descriptors, available ring, used ring. */
#define N_PARTS 3

/* Types of an IOTLB_MSG. */
#define IOTLB_UPDATE 2
#define IOTLB_INVALIDATE 3

/* A part of a ring, by the device's addresses. */
struct part {
    uint64_t start;
    uint64_t size;
    bool is_translated;         /* Is any of its pages?  If so... */
    uint64_t shift;             /* ...what to add, for an address of ours. */
};

struct vhost_iotlb {
    bool packed;
    unsigned int n_vrings;      /* Up to the last one that has addresses. */
    struct part parts[VHOST_MAX_VRINGS][N_PARTS];
    bool scattered[VHOST_MAX_VRINGS];
};

static void set_addresses(struct vhost_iotlb *, const struct vhost_message *,
                          int vid);
static void set_size(struct vhost_iotlb *, unsigned int vring, uint64_t n);
static void change_translations(struct vhost_iotlb *,
                                const struct vhost_message *, int vid);

void
vhost_iotlb_consider(struct vhost_iotlb **iotlbp,
                     const struct vhost_message *m, int vid)
{
    struct vhost_iotlb *iotlb = *iotlbp;
    uint64_t features = 0;

    if (m->request == VHOST_REQUEST_SET_VRING_ADDR) {
        rte_vhost_get_negotiated_features(vid, &features);
        if (!(features & UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM)) {
            return;
        }
        if (!iotlb) {
            iotlb = *iotlbp = xzalloc(sizeof *iotlb);
        }
        iotlb->packed = (features & UINT64_C(1) << VIRTIO_F_RING_PACKED) != 0;
        set_addresses(iotlb, m, vid);
    } else if (m->request == VHOST_REQUEST_SET_VRING_NUM && iotlb) {
        set_size(iotlb, m->vring, m->value);
    } else if (m->request == VHOST_REQUEST_IOTLB_MSG && iotlb) {
        change_translations(iotlb, m, vid);
    }
}

const char *
vhost_iotlb_objection(const struct vhost_iotlb *iotlb, unsigned int vring)
{
    return (iotlb && iotlb->scattered[vring]
            ? "the guest's IOMMU has its pages scattered" : NULL);
}

/* Virtio 1.2, 2.7 and 2.8.  The parts of a packed ring other than its
 * descriptors are small, and aligned: they are in one page. */
static void
set_size(struct vhost_iotlb *iotlb, unsigned int vring, uint64_t n)
{
    struct part *parts = iotlb->parts[vring];

    parts[0].size = 16 * n;
    parts[1].size = iotlb->packed ? 0 : 6 + 2 * n;
    parts[2].size = iotlb->packed ? 0 : 6 + 8 * n;
}

static void
set_addresses(struct vhost_iotlb *iotlb, const struct vhost_message *m,
              int vid)
{
    struct part *parts = iotlb->parts[m->vring];
    struct rte_vhost_vring vring;

    iotlb->n_vrings = MAX(iotlb->n_vrings, m->vring + 1);
    iotlb->scattered[m->vring] = false;
    parts[0] = (struct part) { .start = m->more[0] };
    parts[1] = (struct part) { .start = m->more[2] };
    parts[2] = (struct part) { .start = m->more[1] };
    if (!rte_vhost_get_vhost_vring(vid, m->vring, &vring)) {
        set_size(iotlb, m->vring, vring.size);
    }
}

/* Does 'part' have addresses among the 'size' from 'start' on? */
static bool
overlaps(const struct part *part, uint64_t start, uint64_t size)
{
    return (start < part->start
            ? part->start - start < size && part->size
            : start - part->start < part->size && size);
}

/* Stores in '*address' what is the front end's 'user_address' here. */
static bool
find_address(int vid, uint64_t user_address, uint64_t *address)
{
    struct rte_vhost_memory *table;
    bool found = false;

    if (rte_vhost_get_mem_table(vid, &table)) {
        return false;
    }
    for (uint32_t i = 0; i < table->nregions && !found; i++) {
        const struct rte_vhost_mem_region *r = &table->regions[i];

        if (user_address - r->guest_user_addr < r->size) {
            *address = user_address - r->guest_user_addr + r->host_user_addr;
            found = true;
        }
    }
    free(table);
    return found;
}

static void
translate(struct vhost_iotlb *iotlb, unsigned int vring, struct part *part,
          const struct vhost_message *m, int vid)
{
    uint64_t address, shift;

    if (!find_address(vid, m->more[1], &address)) {
        return;                 /* librte_vhost refuses it. */
    }
    shift = address - m->payload;
    iotlb->scattered[vring] |= part->is_translated && part->shift != shift;
    part->is_translated = true;
    part->shift = shift;
}

/* Looks at each part of which 'm', an IOTLB_MSG, translates addresses or has
 * them forgotten. */
static void
change_translations(struct vhost_iotlb *iotlb, const struct vhost_message *m,
                    int vid)
{
    uint8_t type = m->more[2] >> 8;

    for (unsigned int i = 0; i < iotlb->n_vrings * N_PARTS; i++) {
        unsigned int vring = i / N_PARTS;
        struct part *part = &iotlb->parts[vring][i % N_PARTS];

        if (!overlaps(part, m->payload, m->more[0])) {
            continue;
        }
        if (type == IOTLB_UPDATE) {
            translate(iotlb, vring, part, m, vid);
        } else if (type == IOTLB_INVALIDATE) {
            part->is_translated = false;
        }
    }
}
