/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-iotlb.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <rte_vhost.h>

#include "util.h"
#include "vhost-device.h"
#include "vhost-message.h"

/* The parts of a ring: descriptor table, available ring, used ring. */
#define N_PARTS 3

/* At most this many translations are kept.  A guest that has more cannot use
 * any virtqueue. */
#define MAX_EXTENTS 65536

/* The IOVAs of a part of a ring. */
struct part {
    uint64_t start;
    uint64_t size;
};

/* A contiguous range of IOVAs whose translation is contiguous, too. */
struct extent {
    uint64_t start;
    uint64_t last;              /* Inclusive. */
    uint64_t shift;             /* Added to an IOVA: address in our mapping. */
};

struct vhost_iotlb {
    struct extent *extents;     /* Sorted, without overlap. */
    size_t n_extents, allocated;
    bool overflow;              /* Were there more than MAX_EXTENTS? */

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
static void review(struct vhost_iotlb *, unsigned int vring);
static bool make_extent(const struct vhost_message *, int vid,
                        struct extent *);
static size_t find_extent(const struct vhost_iotlb *, uint64_t address);

void
vhost_iotlb_consider(struct vhost_iotlb **iotlbp,
                     const struct vhost_message *m, int vid)
{
    struct vhost_iotlb *iotlb = *iotlbp;
    uint64_t features = 0;

    switch (m->request) {
    case VHOST_REQUEST_SET_VRING_ADDR:
    case VHOST_REQUEST_IOTLB_MSG:
        rte_vhost_get_negotiated_features(vid, &features);
        if (!(features & UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM)) {
            return;
        }
        if (!iotlb) {
            iotlb = *iotlbp = xzalloc(sizeof *iotlb);
        }
        iotlb->packed = (features & UINT64_C(1) << VIRTIO_F_RING_PACKED) != 0;
        if (m->request == VHOST_REQUEST_SET_VRING_ADDR) {
            set_addresses(iotlb, m, vid);
        } else {
            change_translations(iotlb, m, vid);
        }
        break;
    case VHOST_REQUEST_SET_VRING_NUM:
        if (iotlb) {
            set_size(iotlb, m->vring, m->state.num);
        }
        break;
    case VHOST_REQUEST_SET_MEM_TABLE:
        /* librte_vhost flushes its IOTLB, too. */
        if (iotlb) {
            iotlb->n_extents = 0;
            iotlb->overflow = false;
            memset(iotlb->scattered, 0, sizeof iotlb->scattered);
        }
        break;
    }
}

void
vhost_iotlb_destroy(struct vhost_iotlb *iotlb)
{
    if (iotlb) {
        free(iotlb->extents);
        free(iotlb);
    }
}

bool
vhost_iotlb_contradicts(const struct vhost_iotlb *iotlb,
                        const struct vhost_message *m, int vid)
{
    struct extent new;

    if (!iotlb || m->request != VHOST_REQUEST_IOTLB_MSG
        || m->iotlb.type != VHOST_IOTLB_UPDATE || !make_extent(m, vid, &new)) {
        return false;
    }
    for (size_t i = find_extent(iotlb, new.start);
         i < iotlb->n_extents && iotlb->extents[i].start <= new.last; i++) {
        if (iotlb->extents[i].shift != new.shift) {
            return true;
        }
    }
    return false;
}

const char *
vhost_iotlb_objection(const struct vhost_iotlb *iotlb, unsigned int vring)
{
    return (!iotlb ? NULL
            : iotlb->overflow ? "the guest's IOMMU has too many translations"
            : iotlb->scattered[vring]
            ? "its pages are not contiguous" : NULL);
}

/* Sets the sizes of the parts of virtqueue 'vring', whose ring has 'n'
 * entries: virtio 1.2, 2.7 and 2.8.  Both event suppression structures of a
 * packed ring have 4 bytes, aligned to 4, and so cannot cross a page. */
static void
set_size(struct vhost_iotlb *iotlb, unsigned int vring, uint64_t n)
{
    struct part *parts = iotlb->parts[vring];

    parts[0].size = 16 * n;
    parts[1].size = iotlb->packed ? 0 : 6 + 2 * n;
    parts[2].size = iotlb->packed ? 0 : 6 + 8 * n;
    review(iotlb, vring);
}

static void
set_addresses(struct vhost_iotlb *iotlb, const struct vhost_message *m,
              int vid)
{
    struct part *parts = iotlb->parts[m->vring];
    struct rte_vhost_vring vring;

    iotlb->n_vrings = MAX(iotlb->n_vrings, m->vring + 1);
    parts[0].start = m->addr.desc_user_addr;
    parts[1].start = m->addr.avail_user_addr;
    parts[2].start = m->addr.used_user_addr;
    set_size(iotlb, m->vring,
             rte_vhost_get_vhost_vring(vid, m->vring, &vring) ? 0
             : vring.size);
}

/* Sets '*extent' to the IOVAs that 'm', an IOTLB message, is about.  Returns
 * false if there are none, or if 'm' translates them to an address outside of
 * guest memory. */
static bool
make_extent(const struct vhost_message *m, int vid, struct extent *extent)
{
    uint64_t size = MIN(m->iotlb.size, UINT64_MAX - m->iotlb.iova);
    uint64_t address = 0;

    extent->start = m->iotlb.iova;
    extent->last = m->iotlb.iova + size - 1;
    if (!size || (m->iotlb.type == VHOST_IOTLB_UPDATE
                  && !vhost_message_find_address(vid, m->iotlb.uaddr,
                                                 &address))) {
        return false;
    }
    extent->shift = address - extent->start;
    return true;
}

/* Returns the index of the first extent that ends at or after 'address'. */
static size_t
find_extent(const struct vhost_iotlb *iotlb, uint64_t address)
{
    size_t low = 0, high = iotlb->n_extents;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (iotlb->extents[middle].last < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
insert_extent(struct vhost_iotlb *iotlb, size_t i, struct extent extent)
{
    if (iotlb->n_extents >= MAX_EXTENTS) {
        iotlb->overflow = true;
        return;
    }
    if (iotlb->n_extents >= iotlb->allocated) {
        iotlb->extents = x2nrealloc(iotlb->extents, &iotlb->allocated,
                                    sizeof *iotlb->extents);
    }
    memmove(&iotlb->extents[i + 1], &iotlb->extents[i],
            (iotlb->n_extents - i) * sizeof *iotlb->extents);
    iotlb->extents[i] = extent;
    iotlb->n_extents++;
}

/* Removes the translations of 'start' to 'last', inclusive.  Returns the index
 * at which an extent for this range would have to be inserted. */
static size_t
cut_extents(struct vhost_iotlb *iotlb, uint64_t start, uint64_t last)
{
    size_t i = find_extent(iotlb, start), n;

    if (i < iotlb->n_extents && iotlb->extents[i].start < start) {
        struct extent rest = iotlb->extents[i];

        iotlb->extents[i].last = start - 1;
        i++;
        if (rest.last > last) {
            rest.start = last + 1;
            insert_extent(iotlb, i, rest);
            return i;
        }
    }
    for (n = 0; (i + n < iotlb->n_extents
                 && iotlb->extents[i + n].last <= last); n++) {
        continue;
    }
    memmove(&iotlb->extents[i], &iotlb->extents[i + n],
            (iotlb->n_extents - i - n) * sizeof *iotlb->extents);
    iotlb->n_extents -= n;
    if (i < iotlb->n_extents && iotlb->extents[i].start <= last) {
        iotlb->extents[i].start = last + 1;
    }
    return i;
}

static void
change_translations(struct vhost_iotlb *iotlb, const struct vhost_message *m,
                    int vid)
{
    struct extent new;
    size_t i;

    if (!make_extent(m, vid, &new)) {
        return;
    }
    i = cut_extents(iotlb, new.start, new.last);
    if (m->iotlb.type == VHOST_IOTLB_UPDATE) {
        insert_extent(iotlb, i, new);
    }
    for (unsigned int vring = 0; vring < iotlb->n_vrings; vring++) {
        review(iotlb, vring);
    }
}

/* Are there two pages of 'part' with contiguous IOVAs that are not contiguous
 * in memory?  Pages without a translation do not count. */
static bool
is_scattered(const struct vhost_iotlb *iotlb, const struct part *part)
{
    uint64_t last = part->start + part->size - 1;
    size_t i = find_extent(iotlb, part->start);

    if (!part->size || last < part->start) {
        return false;           /* librte_vhost refuses such a ring. */
    }
    for (; (i + 1 < iotlb->n_extents
            && iotlb->extents[i + 1].start <= last); i++) {
        const struct extent *extent = &iotlb->extents[i];

        if (extent[0].last + 1 == extent[1].start
            && extent[0].shift != extent[1].shift) {
            return true;
        }
    }
    return false;
}

/* Checks whether any part of virtqueue 'vring' is scattered. */
static void
review(struct vhost_iotlb *iotlb, unsigned int vring)
{
    iotlb->scattered[vring] = false;
    for (unsigned int i = 0; i < N_PARTS; i++) {
        iotlb->scattered[vring] |= is_scattered(iotlb,
                                                &iotlb->parts[vring][i]);
    }
}
