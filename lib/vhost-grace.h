/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_GRACE_H
#define VHOST_GRACE_H 1

/* Waiting for a grace period of the RCU, with a way out.
 *
 * vhost_grace_wait() is ovsrcu_synchronize(), except that it also returns when
 * the caller's 'give_up' says so.  A thread needs that if another one, which
 * must not be kept waiting, holds a lock that keeps the rest from quiescing.
 *
 * Any thread that holds no lock and uses nothing that the RCU protects.  The
 * thread is quiescent afterwards.  'give_up' is called about every 100 us, by
 * the waiting thread. */

#include <stdbool.h>

bool vhost_grace_wait(bool (*give_up)(void *aux), void *aux);

#endif /* vhost-grace.h */
