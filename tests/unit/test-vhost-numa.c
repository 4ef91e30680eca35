/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_vhost.h>

#include "port-fixture.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "netdev-provider.h"
#include "util.h"
#include "vhost-numa.h"

/* Where most of some addresses are. */
static void
test_most(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const int nodes[] = { 2, 1, 1, 2, 1, -1, VHOST_MAX_NODES };
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    const void *rings[ARRAY_SIZE(nodes)], *some[4];
    int vid = guest_connect(path_of("s0"));

    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        struct rte_vhost_vring vring;

        guest_set_node(vid, i, nodes[i]);
        guest_set_vring(vid, i, true);
        CHECK(!rte_vhost_get_vhost_vring(vid, i, &vring));
        rings[i] = vring.desc;
    }
    CHECK_INT(vhost_numa_node_of(NULL), VHOST_NODE_UNKNOWN);
    CHECK_INT(vhost_numa_node_of(&nodes), VHOST_NODE_UNKNOWN);
    CHECK_INT(vhost_numa_node_of(rings[0]), 2);
    CHECK_INT(vhost_numa_node_of(rings[5]), VHOST_NODE_UNKNOWN);

    CHECK_INT(vhost_numa_node_of_most(rings, 0), VHOST_NODE_UNKNOWN);
    CHECK_INT(vhost_numa_node_of_most(rings, 1), 2);
    CHECK_INT(vhost_numa_node_of_most(rings, 2), 2);
    CHECK_INT(vhost_numa_node_of_most(rings, 3), 1);
    CHECK_INT(vhost_numa_node_of_most(rings, ARRAY_SIZE(rings)), 1);

    /* What has no answer has no vote. */
    some[0] = NULL;
    some[1] = rings[5];
    some[2] = rings[6];
    some[3] = rings[0];
    CHECK_INT(vhost_numa_node_of_most(some, 3), VHOST_NODE_UNKNOWN);
    CHECK_INT(vhost_numa_node_of_most(some, 4), 2);

    guest_disconnect(vid);
    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_most, "numa-most", "NUMA: node of most addresses", TEST_DPDK);

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
