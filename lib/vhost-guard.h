/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_GUARD_H
#define VHOST_GUARD_H 1

/* What a guest shares with us and can change while we use it.
 *
 *
 * Memory
 * ======
 *
 * A guest's memory is a file that the guest can shrink at any time, or make
 * too small for its regions in the first place.  An access beyond the end of
 * the file raises SIGBUS, as does one for which there is no hugepage left.
 * Nothing that could be checked before would prevent that.
 *
 * So mappings of such files are watched, for as long as they exist: those that
 * librte_vhost makes of a guest's memory and of its log of dirty pages, and
 * ours (see vhost-mapping.h).  If SIGBUS is raised for an address in one of
 * them, in whatever thread, the page is replaced by an empty one of ours, the
 * access is repeated, and the memory counts as lost: threads that use it stop
 * as soon as they see that.
 *
 * librte_vhost itself may read a new mapping before it can be watched.  The
 * thread that handles the message says for which connection it does: see
 * vhost_guard_suspect().
 *
 * While librte_vhost replaces a guest's memory, a burst of its data path may
 * wait for its lock.  If the library fails in the middle, it has unmapped the
 * old memory, and the burst continues in what was there: SIGSEGV in a mapping
 * that is watched until the replacement is known to have succeeded, or the
 * connection ends, is handled as SIGBUS is.
 *
 * Any other of these signals ends the process, as without us.
 *
 *
 * File descriptors for notifications
 * ==================================
 *
 * An eventfd can be written to without waiting.  A front end might send
 * something else instead.
 *
 *
 * Thread-safety
 * =============
 *
 * Any thread. */

#include <stdbool.h>
#include <stddef.h>

#include <rte_vhost.h>

#include "ovs-atomic.h"

extern const char vhost_guard_fault[];

/* Is the memory of connection N lost? */
extern atomic_bool vhost_guard_lost[RTE_MAX_VHOST_DEVICE];

void vhost_guard_init(void);
bool vhost_guard_watch(void *start, size_t size, atomic_bool *lost);
void vhost_guard_unwatch(void *start, atomic_bool *lost);

/* Until it is called again in this thread, SIGBUS in it is blamed on
 * connection 'vid' if nothing else is known of the address, or on no
 * connection if 'vid' is -1. */
void vhost_guard_suspect(int vid);

bool vhost_guard_is_memory(int fd);
bool vhost_guard_callfd(int fd);

static inline bool
vhost_guard_is_lost(int vid)
{
    bool lost;

    atomic_read_relaxed(&vhost_guard_lost[vid], &lost);
    return lost;
}

#endif /* vhost-guard.h */
