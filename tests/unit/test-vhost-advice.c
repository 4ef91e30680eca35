/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "placement-fixture.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-numa.h"

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
    p.port = "vhu0";

    /* The guest's memory has moved since it connected. */
    p.port_node = 0;
    check_verdict(&p, "the PMD of rx queue 0 (CPU 1, node 0), "
                  "the PMD of rx queue 1 (CPU 0, node 0)",
                  "reconnect the guest");
}
VHOST_TEST(test_pmd, "placement-pmd", "placement: remote PMD", 0);

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
