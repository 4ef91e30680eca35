/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-advice.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "ovs-numa.h"
#include "placement-fixture.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-numa.h"

/* What is remote is all named, but the same advice is given once. */
static void
test_verdict(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_placement p = {
        .node = 3,
        .remotes = {
            { .text = CONST_CAST(char *, "A"),
              .command = CONST_CAST(char *, "do"),
              .hint = CONST_CAST(char *, "then") },
            { .text = CONST_CAST(char *, "B"),
              .hint = CONST_CAST(char *, "then") },
            { .text = CONST_CAST(char *, "C"),
              .command = CONST_CAST(char *, "do"),
              .hint = CONST_CAST(char *, "then") },
            { .text = CONST_CAST(char *, "D"),
              .command = CONST_CAST(char *, "do") },
        },
        .n_remotes = 4,
    };
    char *verdict = vhost_advice_verdict(&p);

    CHECK_STR(verdict, "the guest is on NUMA node 3, remote: A, B, C, D; "
              "to fix: do (then); then; do");
    free(verdict);
    p.n_remotes = 0;
    verdict = vhost_advice_verdict(&p);
    CHECK_STR(verdict, "local");
    free(verdict);
}
VHOST_TEST(test_verdict, "advice-verdict", "advice: in one line", 0);

static void
test_pmd(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_placement p = make_placement();

    fixture_queues[1].cpu = 1;
    fixture_queues[1].cpu_node = 0;

    /* No PMD there: the lowest CPU gets one. */
    update_config("pmd-cpu-mask", "0x2", NULL);
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0)",
                  "ovs-vsctl set Open_vSwitch . "
                  "other_config:pmd-cpu-mask=0x6");
    fixture_queues[3].cpu = 0;
    fixture_queues[3].cpu_node = 0;
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
    p.port = "";
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "ovs-vsctl remove Interface '' other_config ");
    p.port = "vhu0:%+,-./=@_$";
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "ovs-vsctl remove Interface 'vhu0:%+,-./=@_$' other_");
    p.port = "vhu0:%+,-./=@_";
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "ovs-vsctl remove Interface vhu0:%+,-./=@_ other_config ");
    p.port = "vhu0";

    /* The guest's memory has moved since it connected. */
    p.port_node = 0;
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "reconnect the guest");
}
VHOST_TEST(test_pmd, "placement-pmd", "placement: remote PMD", 0);

/* advice-mask NODES MASK REMEDY: the nodes of the CPUs, the mask that is
 * configured, and what is said of it, with _ for a
 * blank. */
static void
test_mask(int argc, char *argv[])
{
    struct vhost_placement p;

    CHECK_INT(argc, 4);
    ovs_numa_set_dummy(argv[1]);
    ovs_numa_init();
    p = make_placement();
    fixture_queues[1].cpu = 1;
    fixture_queues[1].cpu_node = 0;
    update_config("pmd-cpu-mask", argv[2], NULL);
    for (char *s = argv[3]; (s = strchr(s, '_')); s++) {
        *s = ' ';
    }
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0)", argv[3]);
}
VHOST_TEST(test_mask, "advice-mask 1,0,1,1 0x2 mask=0x6",
           "advice: the CPU of the main thread comes last", 0);
VHOST_TEST(test_mask, "advice-mask 1,0 0x2 mask=0x3",
           "advice: there is only the CPU of the main thread", 0);
VHOST_TEST(test_mask, "advice-mask 0,0 0x2 add_CPUs_to_node_1",
           "advice: there is no CPU", 0);

/* A mask of more than one word, with zeros between. */
static void
test_many_cpus(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct ds nodes = DS_EMPTY_INITIALIZER;
    struct vhost_placement p;

    for (int i = 0; i < 133; i++) {
        ds_put_cstr(&nodes, "0,");
    }
    ds_put_cstr(&nodes, "1");
    ovs_numa_set_dummy(ds_cstr(&nodes));
    ovs_numa_init();
    p = make_placement();
    fixture_queues[1].cpu = 1;
    fixture_queues[1].cpu_node = 0;
    update_config("pmd-cpu-mask", "0x00052", NULL);
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0)",
                  "mask=0x2000000000000000000000000000000052");
    ds_destroy(&nodes);
}
VHOST_TEST(test_many_cpus, "advice-many-cpus", "advice: many CPUs", 0);

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

    /* What there is more of stays. */
    update_config("dpdk-socket-mem", " 64,127,,7", NULL);
    check_verdict(&p, "mbufs (node 0), librte_vhost's structures (node 0)",
                  "other_config:dpdk-socket-mem=64,128,0,7 (restart");

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
