/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef SESSION_FIXTURE_H
#define SESSION_FIXTURE_H 1

/* Sessions without ports, for tests: the netdev, a port without a socket of
 * its own, is there to be told of changes. */

#include <stdbool.h>

#include "vhost-session.h"

struct netdev;
struct rte_mempool;

extern struct netdev *fixture_netdev;

/* Opens a session of a client, on librte_vhost's data path, or one of any
 * kind. */
struct vhost_session *open_session(const char *name);
struct vhost_session *open_session_as(const struct vhost_session_config *);

/* Closes 'session', the last one, and the netdev, and checks that nothing is
 * left. */
void close_last_session(struct vhost_session *session);

/* Connects a guest with 'n_pairs' pairs of virtqueues to 'session'. */
int connect_guest(const struct vhost_session *, unsigned int n_pairs);

/* What the device does with a virtqueue. */
bool rxq_enabled(struct vhost_device *, unsigned int);
int txq_target(const struct vhost_session *, unsigned int);

/* Takes what the guest of 'session' wants and checks that it is this. */
void check_demand(struct vhost_session *session, bool has_guest,
                  unsigned int n_rxqs, unsigned int n_txqs, int node);

struct rte_mempool *make_mempool(void);

#endif /* session-fixture.h */
