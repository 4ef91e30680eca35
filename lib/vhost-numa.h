/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

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
