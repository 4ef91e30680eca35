/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_SHOW_H
#define VHOST_SHOW_H 1

/* ovs-appctl netdev-vhost/show [--json] [PORT]
 *
 * Shows what a vhost-user port is made of and where it is: PORT, or all ports
 * in the order of their names.
 *
 * vhost-show.c collects all facts of a port in a JSON object, once.  With
 * --json, that is the answer; without, vhost-show-text.c makes the text from
 * it.  Documentation/reference/placement.rst describes the members of the
 * object; they may be added to, but do not change.
 *
 * Main thread only. */

#include "vhost-port.h"

struct ds;
struct json;

/* Registers the command.  Once. */
void vhost_show_register(void);

/* Returns an element of "ports". */
struct json *vhost_show_to_json(struct vhost_port *port)
    OVS_REQUIRES(port->mutex);

/* Appends the text for 'port', an element of "ports", to the string. */
void vhost_show_text(const struct json *port, struct ds *);

#endif /* vhost-show.h */
