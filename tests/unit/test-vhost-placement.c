/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "placement-fixture.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-numa.h"

static void
test_local(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_placement p = make_placement();

    check_verdict(&p, NULL, NULL);

    /* What is not known is not remote. */
    p.library_node = p.pool_node = VHOST_NODE_UNKNOWN;
    fixture_queues[1].cpu_node = fixture_queues[2].node = VHOST_NODE_UNKNOWN;
    p.censuses[0].n_known = p.censuses[0].n_pages[1] = 0;
    check_verdict(&p, NULL, NULL);
    p = make_placement();
    p.node = VHOST_NODE_UNKNOWN;
    check_verdict(&p, NULL, NULL);
}
VHOST_TEST(test_local, "placement-local", "placement: local", 0);

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

    fixture_queues[2].node = 0;
    p.censuses[0].n_pages[1] = 10;
    p.censuses[0].n_pages[0] = 0;
    check_verdict(&p, "the ring of tx queue 1 (node 0)",
                  "host-nodes=1,policy=bind");
    fixture_queues[2].enabled = false;
    check_verdict(&p, NULL, NULL);
}
VHOST_TEST(test_memory, "placement-memory",
           "placement: remote guest memory", 0);
