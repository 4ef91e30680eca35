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

/* At most this many pages are in the sample of a census. */
#define MAX_SAMPLE 64

static bool can_trust_mincore(int fd);

/* Returns the NUMA node of the page at address 'p', which must be mapped, or
 * VHOST_NODE_UNKNOWN.
 *
 * get_mempolicy() faults the page in if it is not present, and so allocates it
 * on the node that the memory policy selects: call this only for memory that
 * is in use. */
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
 * VHOST_NODE_UNKNOWN.  Null pointers, and addresses whose node is unknown, do
 * not count.
 *
 * Callers pass the rings of a guest.  Its driver has initialized them, so that
 * their pages are present.  They stand for the guest's packet buffers. */
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

/* Takes a sample of the pages of the 'size' bytes at 'p', a shared mapping of
 * guest memory from the file 'fd', evenly spaced, and counts them by node in
 * '*census'.
 *
 * A page that the guest has not touched is not allocated yet.  It must not be
 * allocated here either, because that would choose its node.  move_pages()
 * does not fault pages in, but it looks only at the page tables of this
 * process: for a page that the switch has not accessed it returns -ENOENT,
 * although the guest may use the page.  get_mempolicy() has the answer for
 * such a page, but would allocate a missing one.  So it is asked only if the
 * page is known to be allocated:
 *
 *     - The file has all of its blocks: guest memory was preallocated, which
 *       is the usual case.
 *
 *     - Or mincore() says that the page is resident.  For tmpfs it looks at
 *       the page cache.  For hugetlbfs it, too, looks only at the page tables
 *       of this process.
 *
 * The node of other pages stays unknown.  In hugetlbfs, the guest may use some
 * of them, but the switch has never accessed these: no packet was ever in
 * them. */
void
vhost_numa_count_pages(const void *p, size_t size, int fd,
                       struct vhost_numa_census *census)
{
    const size_t small_page = sysconf(_SC_PAGESIZE);
    bool preallocated, ask_mincore;
    void *pages[MAX_SAMPLE];
    int nodes[MAX_SAMPLE];
    struct stat s;
    size_t step;

    memset(census, 0, sizeof *census);
    if (!size || fstat(fd, &s) || s.st_blksize < small_page) {
        return;
    }
    census->page_size = s.st_blksize;
    preallocated = s.st_blocks * UINT64_C(512) >= s.st_size;
    ask_mincore = !preallocated && can_trust_mincore(fd);

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
            && (preallocated
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

/* Is mincore() reliable for a mapping of 'fd'?  If this process may not write
 * to the file, it reports all pages as resident. */
static bool
can_trust_mincore(int fd)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return !faccessat(AT_FDCWD, path, W_OK, AT_EACCESS);
}
