/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_NUMA_H
#define VHOST_NUMA_H 1

/* On which NUMA node memory is.  The kernel is asked, page by page, because
 * what a library reports is the node that it asked for, which may have had no
 * memory left.
 *
 * All functions may be called from any thread; they do not block. */

#include <stddef.h>
#include <stdint.h>

/* The kernel does not know: it has no NUMA support, or the page is not
 * present. */
#define VHOST_NODE_UNKNOWN (-1)

/* More nodes than any current machine has. */
#define VHOST_MAX_NODES 128

/* The nodes of the pages of a mapping, from a sample of them. */
struct vhost_numa_census {
    size_t page_size;                       /* In bytes. */
    unsigned int n_asked;                   /* Pages in the sample. */
    unsigned int n_known;                   /* Those whose node is known. */
    unsigned int n_pages[VHOST_MAX_NODES];  /* Those on each node. */
};

int vhost_numa_node_of(const void *);
int vhost_numa_node_of_most(const void *const addresses[], size_t n);
void vhost_numa_count_pages(const void *, size_t size, int fd,
                            struct vhost_numa_census *);

#endif /* vhost-numa.h */
