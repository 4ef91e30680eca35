/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_PORTS_H
#define VHOST_PORTS_H 1

/* All vhost-user ports, and the periodic work for them.
 *
 * A port is in the list from its construction to its destruction.  The list
 * does not own it: the netdev layer does.
 *
 * All functions are for the main thread, except that the netdev layer may
 * construct and destroy ports in others: 'vhost_ports_mutex' guards the list.
 * It is the outermost lock and is taken before any port's mutex. */

#include <stdbool.h>

#include "ovs-thread.h"

struct netdev;
struct vhost_port;

extern struct ovs_mutex vhost_ports_mutex;

void vhost_ports_add(struct vhost_port *);
void vhost_ports_remove(struct vhost_port *);

void vhost_ports_for_each(const char *name,
                          void (*)(struct vhost_port *, void *aux), void *aux);
void vhost_ports_run(void);
void vhost_ports_wait(void);
void vhost_ports_set_admin_state(struct netdev *, bool up);
void vhost_ports_update_socket_access(void);

#endif /* vhost-ports.h */
