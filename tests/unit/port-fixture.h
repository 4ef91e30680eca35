/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef PORT_FIXTURE_H
#define PORT_FIXTURE_H 1

/* Ports and their guests, for tests. */

#include <stddef.h>

struct netdev;

/* Checks that nothing is left of the ports that there were. */
void check_all_closed(void);

/* Returns the permissions of file 'name', or -1 if there is none. */
int mode_of(const char *name);

/* Connects a guest with 'n_pairs' pairs of virtqueues to the socket at 'path'
 * and returns it. */
int attach_guest(const char *path, unsigned int n_pairs);

/* Receives from queue 0 of 'netdev' and checks that it is 'n' packets. */
void receive_from(struct netdev *, int n);

/* Sends a packet of 'size' bytes to queue 'qid'. */
void send_to(struct netdev *, int qid, size_t size);

/* Lets time pass in which ports look for memory. */
void retry_pools(void);

#endif /* port-fixture.h */
