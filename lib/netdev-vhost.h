/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef NETDEV_VHOST_H
#define NETDEV_VHOST_H 1

/* Registers the classes of vhost-user netdevs.  Main thread, once. */
void netdev_vhost_register(void);

/* The types that netdev_vhost_register() registers, ended by NULL. */
extern const char *const netdev_vhost_types[];

#endif /* netdev-vhost.h */
