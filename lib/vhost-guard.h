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
 * So whoever accesses the memory of a connection says so before.  If SIGBUS is
 * raised then, the page is replaced by an empty one of ours, the access is
 * repeated, and the connection's memory counts as lost: its virtqueues stop
 * with the next burst.
 *
 * A mapping that is accessed outside of that, too, can be watched instead: the
 * address then tells whose it is.
 *
 * Any other SIGBUS ends the process, as without us.
 *
 *
 * File descriptors for notifications
 * ==================================
 *
 * An eventfd can be written to without waiting; who knows what a guest's side
 * sends instead. */

#include <stdbool.h>
#include <stddef.h>

#include <rte_vhost.h>

#include "ovs-atomic.h"

extern const char vhost_guard_fault[];

/* Whose memory is lost, and whose is accessed by this thread: 1 + a
 * connection's number, or 0. */
extern atomic_bool vhost_guard_lost[RTE_MAX_VHOST_DEVICE];
extern __thread volatile int vhost_guard_user
    __attribute__((tls_model("initial-exec")));

void vhost_guard_init(void);
bool vhost_guard_watch(void *start, size_t size, atomic_bool *lost);
void vhost_guard_unwatch(void *start);

bool vhost_guard_is_memory(int fd);
bool vhost_guard_callfd(int fd);

static inline bool
vhost_guard_is_lost(int vid)
{
    bool lost;

    atomic_read_relaxed(&vhost_guard_lost[vid], &lost);
    return lost;
}

/* From now on, this thread accesses the memory of connection 'vid'. */
static inline void
vhost_guard_enter(int vid)
{
    vhost_guard_user = 1 + vid;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void
vhost_guard_leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    vhost_guard_user = 0;
}

#endif /* vhost-guard.h */
