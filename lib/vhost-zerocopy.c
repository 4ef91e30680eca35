/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-zerocopy.h"

#include <rte_cycles.h>
#include <rte_eal.h>

#include "vhost-mapping.h"

/* How many buffers at most are looked at in one go. */
#define MAX_LOOK 128

/* State that is retired, in no order.  Any thread adds some, the main thread
 * alone removes it. */
static ATOMIC(struct vhost_zerocopy *) retired;
static atomic_uint n_retired;

static unsigned int
n_waiting(const struct vhost_zerocopy *zc)
{
    return zc->tail - zc->head;
}

static struct vhost_zerocopy_buffer *
buffer_at(const struct vhost_zerocopy *zc, uint32_t position)
{
    return &zc->buffers[position & (zc->capacity - 1)];
}

/* Does nothing wait to go back? */
bool
vhost_zerocopy_is_idle(const struct vhost_zerocopy *zc)
{
    return !n_waiting(zc) && !zc->previous;
}

/* Did buffers go back that were taken after one that still waits? */
bool
vhost_zerocopy_is_out_of_order(const struct vhost_zerocopy *zc)
{
    while (zc && !zc->n_overtaken) {
        zc = zc->previous;
    }
    return zc != NULL;
}

/* Returns how many more buffers can be taken.  If that is 0, the guest has
 * made some available that it had not got back. */
unsigned int
vhost_zerocopy_room(const struct vhost_zerocopy *zc)
{
    unsigned int room = zc->ring_size;

    for (; zc; zc = zc->previous) {
        room -= MIN(room, n_waiting(zc));
    }
    return room;
}

/* Notes that 'n' buffers, which were just taken, are to go back when their
 * 'slots' are free. */
void
vhost_zerocopy_add(struct vhost_zerocopy *zc,
                   const struct virtq_buffer *buffers,
                   const uint16_t slots[], unsigned int n)
{
    for (unsigned int i = 0; i < n; i++) {
        *buffer_at(zc, zc->tail++) = (struct vhost_zerocopy_buffer) {
            .id = buffers[i].id,
            .n_descs = buffers[i].n_descs,
            .slot = slots[i],
        };
    }
}

static bool
is_busy(struct vhost_zerocopy_slot *slot)
{
    bool busy;

    /* Pairs with mark_free(): the thread that had the packet has read it. */
    atomic_read_explicit(&slot->busy, &busy, memory_order_acquire);
    return busy;
}

/* Can '*buffer' go back?  If so, its slot is free now. */
static bool
release(struct vhost_zerocopy *zc, const struct vhost_zerocopy_buffer *buffer)
{
    uint16_t n_free;

    if (buffer->slot == VHOST_ZEROCOPY_NO_SLOT) {
        return true;
    }
    if (is_busy(&zc->slots[buffer->slot])) {
        return false;
    }
    atomic_read_relaxed(&zc->n_free, &n_free);
    zc->free_slots[n_free] = buffer->slot;
    atomic_store_relaxed(&zc->n_free, n_free + 1);
    return true;
}

static void
to_virtq(struct virtq_buffer *dst, const struct vhost_zerocopy_buffer *src,
         unsigned int *n_packets)
{
    *n_packets += src->slot != VHOST_ZEROCOPY_NO_SLOT;
    dst->id = src->id;
    dst->n_descs = src->n_descs;
    dst->written = 0;
}

/* Has the oldest buffer been held for so long, or do so many wait for it, that
 * others should not wait any longer? */
static bool
is_out_of_patience(struct vhost_zerocopy *zc)
{
    uint64_t now = rte_rdtsc();

    if (!zc->blocked_since) {
        zc->blocked_since = now;
    }
    return (n_waiting(zc) > zc->ring_size / 4
            || (now - zc->blocked_since
                > rte_get_tsc_hz() / 1000000 * VHOST_ZEROCOPY_PATIENCE));
}

/* Stores up to 'max' buffers that can go back in 'dst', the oldest ones first,
 * except for those that were overtaken. */
static unsigned int
collect(struct vhost_zerocopy *zc, struct virtq_buffer *dst, unsigned int max,
        unsigned int *n_packets)
{
    unsigned int left = MIN(n_waiting(zc), MAX_LOOK);
    bool overtake = false;
    unsigned int n = 0;

    for (; left && n < max; left--) {
        struct vhost_zerocopy_buffer oldest = *buffer_at(zc, zc->head);

        if (release(zc, &oldest)) {
            to_virtq(&dst[n++], &oldest, n_packets);
            zc->n_overtaken -= oldest.overtaken;
            zc->blocked_since = 0;
        } else {
            overtake = overtake || (!oldest.overtaken
                                    && is_out_of_patience(zc));
            if (!oldest.overtaken && !overtake) {
                break;
            }
            zc->n_overtaken += !oldest.overtaken;
            oldest.overtaken = true;
            *buffer_at(zc, zc->tail++) = oldest;
        }
        zc->head++;
    }
    return n;
}

/* As collect(), but also for the state before 'zc', whose buffers are older,
 * and which is retired when no buffer waits there. */
static unsigned int
collect_all(struct vhost_zerocopy *zc, struct virtq_buffer *dst,
            unsigned int max, unsigned int *n_packets)
{
    struct vhost_zerocopy *old = zc->previous;
    unsigned int n = 0;

    if (OVS_UNLIKELY(old)) {
        n = collect_all(old, dst, max, n_packets);
        if (vhost_zerocopy_is_idle(old)) {
            zc->previous = NULL;
            vhost_zerocopy_retire(old);
        } else if (n_waiting(old) && !buffer_at(old, old->head)->overtaken) {
            return n;
        }
    }
    return n + collect(zc, dst + n, max - n, n_packets);
}

/* Stores up to 'max' buffers that can go back to the guest in 'dst', as far as
 * virtq_return() needs it, and returns their number.  Stores how many packets
 * were out in '*n_packets'. */
unsigned int
vhost_zerocopy_collect(struct vhost_zerocopy *zc, struct virtq_buffer *dst,
                       unsigned int max, unsigned int *n_packets)
{
    *n_packets = 0;
    return collect_all(zc, dst, max, n_packets);
}

/* Called in the thread that frees the mbuf. */
static void
mark_free(void *data OVS_UNUSED, void *slot_)
{
    struct vhost_zerocopy_slot *slot = slot_;

    /* Pairs with is_busy(). */
    atomic_store_explicit(&slot->busy, false, memory_order_release);
}

static struct vhost_zerocopy *
create(struct vhost_mapping *mapping, unsigned int ring_size)
{
    struct vhost_zerocopy *zc = xzalloc(sizeof *zc);

    zc->mapping = vhost_mapping_ref(mapping);
    zc->no_iova = rte_eal_iova_mode() == RTE_IOVA_VA ? 0 : RTE_BAD_IOVA;
    zc->ring_size = ring_size;
    zc->capacity = ROUND_UP_POW2(ring_size);
    zc->buffers = xcalloc(zc->capacity, sizeof *zc->buffers);
    zc->n_slots = MIN(ring_size / 2, VHOST_ZEROCOPY_MAX_SLOTS);
    zc->slots = xzalloc_cacheline(MAX(zc->n_slots, 1) * sizeof *zc->slots);
    zc->free_slots = xcalloc(zc->n_slots, sizeof *zc->free_slots);
    for (unsigned int i = 0; i < zc->n_slots; i++) {
        zc->slots[i].shinfo.free_cb = mark_free;
        zc->slots[i].shinfo.fcb_opaque = &zc->slots[i];
        zc->free_slots[i] = i;
    }
    atomic_init(&zc->n_free, zc->n_slots);
    return zc;
}

/* Returns the state for a ring of 'ring_size' entries (at most VIRTQ_MAX_SIZE)
 * of a guest whose memory is 'mapping'.  It takes over 'zc', which was used
 * for the ring until now, or is NULL.  Returns NULL, and leaves 'zc' alone, if
 * too much former state is still needed. */
struct vhost_zerocopy *
vhost_zerocopy_renew(struct vhost_zerocopy *zc, struct vhost_mapping *mapping,
                     unsigned int ring_size)
{
    const struct vhost_zerocopy *previous;
    unsigned int n_previous = 0, n;
    struct vhost_zerocopy *new;

    if (zc && zc->mapping == mapping && zc->ring_size == ring_size) {
        return zc;
    }
    for (previous = zc; previous; previous = previous->previous) {
        n_previous++;
    }
    atomic_read_relaxed(&n_retired, &n);
    if (n_previous > VHOST_ZEROCOPY_MAX_PREVIOUS
        || n >= VHOST_ZEROCOPY_MAX_RETIRED) {
        return NULL;
    }
    new = create(mapping, ring_size);
    new->previous = zc;
    return new;
}

/* Returns until when rings that stop now may wait. */
uint64_t
vhost_zerocopy_deadline(void)
{
    return rte_rdtsc() + (rte_get_tsc_hz() / 1000000
                          * VHOST_ZEROCOPY_STOP_TIME);
}

/* Gives all buffers back to 'vq', which stops, after having waited until
 * 'deadline' for those that are held.  Returns how many packets were out. */
unsigned int
vhost_zerocopy_stop(struct vhost_zerocopy *zc, struct virtq *vq,
                    uint64_t deadline)
{
    struct virtq_buffer buffers[VIRTQ_MAX_BUFFERS];
    struct vhost_zerocopy *first;
    unsigned int n_packets = 0;

    for (;;) {
        unsigned int n_more;
        unsigned int n = vhost_zerocopy_collect(zc, buffers,
                                                ARRAY_SIZE(buffers), &n_more);

        if (n) {
            vq->out_of_order = vhost_zerocopy_is_out_of_order(zc);
            virtq_return(vq, buffers, n);
            n_packets += n_more;
        } else if (vhost_zerocopy_is_idle(zc) || rte_rdtsc() >= deadline) {
            break;
        } else {
            rte_delay_us_sleep(100);
        }
    }
    for (first = zc; zc; zc = zc->previous) {
        for (; n_waiting(zc); zc->head++) {
            to_virtq(&buffers[0], buffer_at(zc, zc->head), &n_packets);
            zc->n_overtaken -= buffer_at(zc, zc->head)->overtaken;
            vq->out_of_order = vhost_zerocopy_is_out_of_order(first);
            virtq_return(vq, buffers, 1);
        }
    }
    return n_packets;
}

/* Gives up 'zc', which may be NULL.  Its packets may still be out. */
void
vhost_zerocopy_retire(struct vhost_zerocopy *zc)
{
    while (zc) {
        struct vhost_zerocopy *previous = zc->previous;
        unsigned int orig;

        atomic_add_relaxed(&n_retired, 1, &orig);
        atomic_read_relaxed(&retired, &zc->next_retired);
        while (!atomic_compare_exchange_weak_explicit(
                   &retired, &zc->next_retired, zc,
                   memory_order_release, memory_order_relaxed)) {
            continue;
        }
        zc = previous;
    }
}

/* Returns how many packets of 'zc', which may be NULL, are out. */
unsigned int
vhost_zerocopy_n_out(const struct vhost_zerocopy *zc)
{
    uint16_t n_free;

    if (!zc) {
        return 0;
    }
    atomic_read_relaxed(&CONST_CAST(struct vhost_zerocopy *, zc)->n_free,
                        &n_free);
    return zc->n_slots - n_free;
}

static unsigned int
n_busy(struct vhost_zerocopy *zc)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < zc->n_slots; i++) {
        n += is_busy(&zc->slots[i]);
    }
    return n;
}

static void
destroy(struct vhost_zerocopy *zc)
{
    vhost_mapping_unref(zc->mapping);
    free(zc->buffers);
    free_cacheline(zc->slots);
    free(zc->free_slots);
    free(zc);
}

/* Frees retired state to which no mbuf refers. */
void
vhost_zerocopy_sweep(void)
{
    struct vhost_zerocopy *zc, *next;

    for (zc = atomic_exchange_explicit(&retired, NULL, memory_order_acquire);
         zc; zc = next) {
        unsigned int orig;

        next = zc->next_retired;
        atomic_sub_relaxed(&n_retired, 1, &orig);
        if (n_busy(zc)) {
            zc->previous = NULL;
            vhost_zerocopy_retire(zc);
        } else {
            destroy(zc);
        }
    }
}

/* Is there retired state, for which vhost_zerocopy_sweep() is to be called
 * again? */
bool
vhost_zerocopy_has_retired(void)
{
    unsigned int n;

    atomic_read_relaxed(&n_retired, &n);
    return n != 0;
}

/* Stores how many packets of guests of 'owner' that have gone are still out,
 * and how many bytes of their memory that keeps mapped. */
void
vhost_zerocopy_get_pinned(const char *owner, unsigned int *n_packets,
                          uint64_t *size)
{
    struct vhost_zerocopy *first, *zc, *other;

    *n_packets = 0;
    *size = 0;
    atomic_read_explicit(&retired, &first, memory_order_acquire);
    for (zc = first; zc; zc = zc->next_retired) {
        unsigned int n = (strcmp(zc->mapping->owner, owner) ? 0 : n_busy(zc));

        *n_packets += n;
        /* The queues of a guest have the same mapping. */
        for (other = first;
             n && other != zc && (other->mapping != zc->mapping
                                  || !n_busy(other));
             other = other->next_retired) {
            continue;
        }
        *size += n && other == zc ? zc->mapping->size : 0;
    }
}
