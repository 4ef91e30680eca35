/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-numa.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <numaif.h>

#include "util.h"

/* Pages that a census asks for. */
#define MAX_SAMPLE 64

static bool can_trust_mincore(int fd);

/* Returns the NUMA node of the page at address 'p', which must be mapped, or
 * VHOST_NODE_UNKNOWN.
 *
 * A page that is not there yet is brought in by the question, on the node
 * that its memory policy says: ask only for memory that is in use. */
int
vhost_numa_node_of(const void *p)
{
    int node;

    if (!p || get_mempolicy(&node, NULL, 0, CONST_CAST(void *, p),
                            MPOL_F_NODE | MPOL_F_ADDR)) {
        return VHOST_NODE_UNKNOWN;
    }
    return node;
}

/* Returns the NUMA node on which most of the 'n' 'addresses' are, or
 * VHOST_NODE_UNKNOWN.  Null pointers and addresses
 * without memory do not count.
 *
 * Of a guest, these are its rings.  Its driver has initialized them, so their
 * pages are there; the packet buffers are of the same guest. */
int
vhost_numa_node_of_most(const void *const addresses[], size_t n)
{
    uint16_t votes[VHOST_MAX_NODES] = { 0 };
    int best = VHOST_NODE_UNKNOWN;

    for (size_t i = 0; i < n; i++) {
        int node = vhost_numa_node_of(addresses[i]);

        if (node >= 0 && node < VHOST_MAX_NODES) {
            votes[node]++;
            if (best < 0 || votes[node] > votes[best]) {
                best = node;
            }
        }
    }
    return best;
}

/* Finds out on which nodes the pages of the 'size' bytes at 'p' are, a shared
 * mapping of the file 'fd', by asking for some of them, evenly spread.
 *
 * The pages are the guest's.  One that it never touched is on no node yet, and
 * it is not for us to choose one by bringing the page in.  move_pages() does
 * not, but it goes by our own page tables: for a page that we never touched it
 * has no answer (-ENOENT), although the guest may well use it.  For such a
 * page vhost_numa_node_of() has one, provided that the page is there, which
 * one of two things tells:
 *
 *     - the file has as many blocks as its size asks for, that is, all of its
 *       pages: the usual case, memory that was allocated in advance;
 *
 *     - mincore() says so.  It looks into the page cache of files in ordinary
 *       pages, but for hugetlbfs again only into our page tables.
 *
 * Other pages are left out.  In hugetlbfs these may be pages of the guest's
 * that we never touched: none of them ever held a packet for us. */
void
vhost_numa_count_pages(const void *p, size_t size, int fd,
                       struct vhost_numa_census *census)
{
    const size_t small_page = sysconf(_SC_PAGESIZE);
    bool all_there, ask_mincore;
    void *pages[MAX_SAMPLE];
    int nodes[MAX_SAMPLE];
    struct stat s;
    size_t step;

    memset(census, 0, sizeof *census);
    if (!size || fstat(fd, &s) || s.st_blksize < small_page) {
        return;
    }
    census->page_size = s.st_blksize;
    all_there = s.st_blocks * UINT64_C(512) >= s.st_size;
    ask_mincore = !all_there && can_trust_mincore(fd);

    step = (census->page_size
            * DIV_ROUND_UP(DIV_ROUND_UP(size, census->page_size), MAX_SAMPLE));
    for (size_t ofs = 0; ofs < size; ofs += step) {
        uintptr_t page = ROUND_DOWN((uintptr_t) p + ofs, small_page);

        pages[census->n_asked++] = (void *) page;
    }
    if (move_pages(0, census->n_asked, pages, NULL, nodes, 0)) {
        return;
    }
    for (unsigned int i = 0; i < census->n_asked; i++) {
        unsigned char resident = 0;

        if (nodes[i] < 0
            && (all_there
                || (ask_mincore && !mincore(pages[i], small_page, &resident)
                    && resident & 1))) {
            nodes[i] = vhost_numa_node_of(pages[i]);
        }
        if (nodes[i] >= 0 && nodes[i] < VHOST_MAX_NODES) {
            census->n_pages[nodes[i]]++;
            census->n_known++;
        }
    }
}

/* To those who may not write to 'fd', mincore() says that all is there. */
static bool
can_trust_mincore(int fd)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return !faccessat(AT_FDCWD, path, W_OK, AT_EACCESS);
}
