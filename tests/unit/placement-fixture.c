/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "placement-fixture.h"

#include <stdlib.h>

#include "ovs-numa.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-advice.h"
#include "vhost-placement.h"

struct vhost_queue_placement fixture_queues[] = {
    { .vring = 0, .enabled = true, .node = 1, .cpu = -1, .cpu_node = -1 },
    { .vring = 1, .enabled = true, .node = 1, .cpu = 2, .cpu_node = 1 },
    { .vring = 2, .enabled = true, .node = 1, .cpu = -1, .cpu_node = -1 },
    { .vring = 3, .enabled = true, .node = 1, .cpu = 3, .cpu_node = 1 },
};

struct vhost_placement
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
        .queues = fixture_queues,
        .n_queues = ARRAY_SIZE(fixture_queues),
        .pool_node = 1,
        .pool_bytes = 100 << 20,
    };
}

void
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
