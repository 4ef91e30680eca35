/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_VDUSE_H
#define VHOST_VDUSE_H 1

/* VDUSE devices, which a port has instead of a socket if its path is below
 * /dev/vduse/.
 *
 * librte_vhost makes such a device with the kernel, on whose vDPA bus it is a
 * network device for a driver: the kernel's own for virtio-net, or QEMU.  It
 * stays there when the switch ends, and librte_vhost finds it again by its
 * name.  What was negotiated, and how far the virtqueues have come, is in a
 * file that the library keeps for it.
 *
 * The differences for a session: see vhost-conn.h.
 *
 * These functions may be called from any thread.  Strings in '*errp' and those
 * that are returned are the caller's, to be freed. */

#include <stdbool.h>

bool vhost_vduse_is_path(const char *path);
int vhost_vduse_check_path(const char *path, char **errp);
void vhost_vduse_remove_stale(const char *path);
char *vhost_vduse_obstacle(const char *path, unsigned int n_queue_pairs);

#endif /* vhost-vduse.h */
