/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test-vhost.h"
#include "util.h"
#include "vhost-numa.h"

/* Pages that a guest has not touched must stay away. */
static void
test_count_pages(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);
    const size_t page = sysconf(_SC_PAGESIZE), n = 16;
    struct vhost_numa_census census;
    struct stat before, after;
    char *p;

    CHECK(fd >= 0 && !ftruncate(fd, n * page));
    p = mmap(NULL, n * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);

    vhost_numa_count_pages(p, n * page, fd, &census);
    CHECK_INT(census.n_known, 0);
    CHECK_INT(fstat(fd, &before), 0);
    CHECK_INT(before.st_blocks, 0);

    /* One that we touched, one that only the guest did. */
    p[3 * page] = 1;
    CHECK_INT(pwrite(fd, "x", 1, 5 * page), 1);
    CHECK_INT(fstat(fd, &before), 0);
    vhost_numa_count_pages(p, n * page, fd, &census);
    CHECK_INT(fstat(fd, &after), 0);
    CHECK_INT(after.st_blocks, before.st_blocks);
    CHECK_INT(census.n_asked, n);
    CHECK(census.n_known <= 2);         /* None without NUMA in the kernel. */

    close(fd);
    vhost_numa_count_pages(p, n * page, fd, &census);
    CHECK_INT(census.n_asked, 0);
}
VHOST_TEST(test_count_pages, "placement-count-pages",
           "placement: pages that are not there", 0);
