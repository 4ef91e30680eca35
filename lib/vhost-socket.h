/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_SOCKET_H
#define VHOST_SOCKET_H 1

/* What librte_vhost does not do for a vhost-user socket: checking its path,
 * removing a stale socket, setting owner and permissions, and timeouts.
 *
 * These functions may be called from any thread.  Those that take 'errp'
 * return 0 or a positive errno value; on error they store a message that names
 * the path, what was expected and what to do into '*errp', which the caller
 * must free. */

#include <stdbool.h>
#include <sys/types.h>

struct vhost_socket_access;

/* What a path leads to at the moment.  Two paths may lead to one socket, and
 * what they lead to may change at any time. */
struct vhost_socket_identity {
    char *name;                 /* The path without symbolic links. */
    bool exists;                /* If so, it is this file: */
    dev_t device;
    ino_t inode;
};

int vhost_socket_limit_waiting(void);
void vhost_socket_allow_waiting(unsigned int ms);
int vhost_socket_check_path(const char *path, char **errp);
int vhost_socket_remove_stale(const char *path, char **errp);
int vhost_socket_set_access(const char *path,
                            const struct vhost_socket_access *, char **errp);

void vhost_socket_identify(const char *path, struct vhost_socket_identity *);
bool vhost_socket_identity_equals(const struct vhost_socket_identity *,
                                  const struct vhost_socket_identity *);
void vhost_socket_identity_destroy(struct vhost_socket_identity *);

#endif /* vhost-socket.h */
