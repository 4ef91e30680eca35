/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_NUMA_H
#define VHOST_NUMA_H 1

/* Where memory really is: what the kernel says of its pages, as opposed to
 * what a library's bookkeeping believes.
 *
 * All functions may be called from any thread; they do not block. */

#include <stddef.h>
#include <stdint.h>

/* No answer: one-node kernel without NUMA support, or a page not there. */
#define VHOST_NODE_UNKNOWN (-1)

/* More nodes than any machine of today has. */
#define VHOST_MAX_NODES 128

/* The nodes of a mapping's pages, by a sample of them. */
struct vhost_numa_census {
    size_t page_size;
    unsigned int n_asked;                   /* Size of the sample. */
    unsigned int n_known;                   /* Sum over 'n_pages'. */
    unsigned int n_pages[VHOST_MAX_NODES];
};

int vhost_numa_node_of(const void *);
int vhost_numa_node_of_most(const void *const addresses[], size_t n);
void vhost_numa_count_pages(const void *, size_t size, int fd,
                            struct vhost_numa_census *);

#endif /* vhost-numa.h */
