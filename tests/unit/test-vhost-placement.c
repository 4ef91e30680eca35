/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-placement.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ovs-numa.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-advice.h"
#include "vhost-numa.h"

/* A guest with all of it on node 1 of a machine with nodes 0 and 1, which have
 * CPUs 0, 1, 4 and 2, 3, 5. */
static struct vhost_queue_placement queues[] = {
    { .vring = 0, .enabled = true, .node = 1, .cpu = -1, .cpu_node = -1 },
    { .vring = 1, .enabled = true, .node = 1, .cpu = 2, .cpu_node = 1 },
    { .vring = 2, .enabled = true, .node = 1, .cpu = -1, .cpu_node = -1 },
    { .vring = 3, .enabled = true, .node = 1, .cpu = 3, .cpu_node = 1 },
};

static struct vhost_placement
make_placement(void)
{
    ovs_numa_set_dummy("0,0,1,1,0,1");
    ovs_numa_init();
    return (struct vhost_placement) {
        .port = "vhu0",
        .node = 1,
        .port_node = 1,
        .library_node = 1,
        .memory = {
            .n_regions = 2,
            .regions = { { .size = 1 << 20 }, { .size = 3 << 20 } },
        },
        .censuses = {
            { .n_known = 10, .n_pages[1] = 10 },
            { .n_known = 10, .n_pages[1] = 10 },
        },
        .queues = queues,
        .n_queues = ARRAY_SIZE(queues),
        .pool_node = 1,
        .pool_bytes = 100 << 20,
    };
}

/* Checks the verdict on 'p': 'text', unless that is null, with 'remedy'. */
static void
check_verdict(const struct vhost_placement *p, const char *text,
              const char *remedy)
{
    struct vhost_placement copy = *p;
    char *verdict;

    vhost_placement_find_remotes(&copy);
    vhost_advice_add(&copy);
    verdict = vhost_advice_verdict(&copy);
    copy.queues = NULL;
    vhost_placement_destroy(&copy);

    if (text) {
        char *expected = xasprintf("the guest is on NUMA node 1, remote: %s; "
                                   "to fix: ", text);

        CHECK_HAS(verdict, expected);
        CHECK_HAS(verdict, remedy);
        free(expected);
    } else {
        CHECK_STR(verdict, "local");
    }
    free(verdict);
}

static void
test_local(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_placement p = make_placement();

    check_verdict(&p, NULL, NULL);

    /* What is not known is not remote. */
    p.library_node = p.pool_node = queues[1].cpu_node = queues[2].node
        = VHOST_NODE_UNKNOWN;
    p.censuses[0].n_known = p.censuses[0].n_pages[1] = 0;
    check_verdict(&p, NULL, NULL);
    p = make_placement();
    p.node = VHOST_NODE_UNKNOWN;
    check_verdict(&p, NULL, NULL);
}
VHOST_TEST(test_local, "placement-local", "placement: local", 0);

static void
test_pmd(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_placement p = make_placement();

    queues[1].cpu = 1;
    queues[1].cpu_node = 0;

    /* No PMD there: the lowest CPU gets one. */
    update_config("pmd-cpu-mask", "0x2", NULL);
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0)",
                  "ovs-vsctl set Open_vSwitch . "
                  "other_config:pmd-cpu-mask=0x6");
    queues[3].cpu = 0;
    queues[3].cpu_node = 0;
    update_config("pmd-cpu-mask", "13", NULL);
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "other_config:pmd-cpu-mask=0x17");

    /* One that does not serve the port. */
    update_config("pmd-cpu-mask", "0x6", NULL);
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "ovs-vsctl remove Interface vhu0 other_config "
                  "pmd-rxq-affinity (if that is not set");
    update_config("pmd-cpu-mask", "", NULL);
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "ovs-vsctl remove Interface vhu0 other_config");

    /* A name is one word for the shell. */
    p.port = "vhu 0's";
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "ovs-vsctl remove Interface 'vhu 0'\\''s' other_config ");
    p.port = "vhu0";

    /* The guest's memory has moved since it connected. */
    p.port_node = 0;
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "reconnect the guest");
}
VHOST_TEST(test_pmd, "placement-pmd", "placement: remote PMD", 0);

static void
test_memory(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_placement p = make_placement();

    /* A quarter of the memory, of which a tenth, is not worth a word. */
    p.censuses[0].n_pages[1] = 9;
    p.censuses[0].n_pages[0] = 1;
    check_verdict(&p, NULL, NULL);

    p.censuses[0].n_pages[1] = 0;
    p.censuses[0].n_pages[0] = 10;
    check_verdict(&p, "25% of its memory (node 0)", "numactl --membind=1");

    queues[2].node = 0;
    p.censuses[0].n_pages[1] = 10;
    p.censuses[0].n_pages[0] = 0;
    check_verdict(&p, "the ring of tx queue 1 (node 0)",
                  "host-nodes=1,policy=bind");
    queues[2].enabled = false;
    check_verdict(&p, NULL, NULL);
}
VHOST_TEST(test_memory, "placement-memory",
           "placement: remote guest memory", 0);

static void
test_dpdk(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_placement p = make_placement();

    p.pool_node = p.library_node = 0;
    update_config("dpdk-socket-mem", "1024,0", NULL);
    check_verdict(&p, "mbufs (node 0), librte_vhost's structures (node 0)",
                  "other_config:dpdk-socket-mem=1024,128 "
                  "(restart ovs-vswitchd afterwards)");
    update_config("dpdk-socket-mem", "1024", "dpdk-socket-limit", "1024,16",
                  NULL);
    check_verdict(&p, "mbufs (node 0), librte_vhost's structures (node 0)",
                  "other_config:dpdk-socket-mem=1024,128 "
                  "other_config:dpdk-socket-limit=1024,128 "
                  "(restart ovs-vswitchd afterwards)");

    /* A limit of 0 is none. */
    update_config("dpdk-socket-limit", "1024,0,0", "dpdk-socket-mem",
                  "1024,1024", NULL);
    check_verdict(&p, "mbufs (node 0), librte_vhost's structures (node 0)",
                  "reconnect the guest");

    p.library_node = 1;
    p.pool_node = VHOST_NODE_UNKNOWN;
    p.pool_missing = true;
    check_verdict(&p, "mbufs (there is no memory for any)",
                  "reconnect the guest");
}
VHOST_TEST(test_dpdk, "placement-dpdk", "placement: remote DPDK memory", 0);

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
