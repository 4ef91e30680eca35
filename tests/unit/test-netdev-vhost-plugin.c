/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rte_version.h>

#include "netdev-plugin.h"
#include "netdev-provider.h"
#include "port-fixture.h"
#include "smap.h"
#include "stub-memory.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"

/* The DPDK that runs: the linker replaces rte_version() (see
 * tests/unit/automake.mk). */
static const char *running;

const char *__real_rte_version(void);
const char *__wrap_rte_version(void);

const char *
__wrap_rte_version(void)
{
    return running ? running : __real_rte_version();
}

/* The plugin takes the series of DPDK that it was built with. */
static void
test_versions(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const char *const tested[] = VHOST_TESTED_DPDK;
    char *series = xasprintf("DPDK %d.%02d.", RTE_VER_YEAR, RTE_VER_MONTH);
    char *other = xasprintf("%s99", series);
    char *error = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(tested); i++) {
        if (!strncmp(tested[i], series, strlen(series))) {
            running = tested[i];
            CHECK_INT(ovs_netdev_plugin.init(&error), 0);
        }
    }
    CHECK_NOT_LOGGED("was not tested");
    running = other;
    CHECK_INT(ovs_netdev_plugin.init(&error), 0);
    CHECK_LOGGED("the plugin was not tested with DPDK ");
    CHECK_STR(error, NULL);
    free(other);

    running = "DPDK 1.02.3";
    CHECK_INT(ovs_netdev_plugin.init(&error), EINVAL);
    CHECK_HAS(error, "N and runs with DPDK 1.02.3: build it with the DPDK");
    free(error);

    /* A series is not another one that begins alike. */
    other = xasprintf("DPDK %d.%02d1.0", RTE_VER_YEAR, RTE_VER_MONTH);
    running = other;
    CHECK_INT(ovs_netdev_plugin.init(&error), EINVAL);
    free(error);
    free(other);
    free(series);
}
VHOST_TEST(test_versions, "plugin-versions", "plugin: versions of DPDK", 0);

static char *
dump_mempool(const struct netdev *netdev)
{
    size_t size;
    char *text;
    FILE *stream = open_memstream(&text, &size);

    CHECK_INT(ovs_netdev_plugin.dump_mempool(netdev, stream), 0);
    fclose(stream);
    return text;
}

static void
check_no_mempool(const struct netdev *netdev, const char *reason)
{
    char *text;

    if (VHOST_NO_MEMPOOL_IS_ERROR) {
        CHECK_INT(ovs_netdev_plugin.dump_mempool(netdev, stderr), ENODATA);
    } else {
        text = dump_mempool(netdev);
        CHECK_HAS(text, netdev->name);
        CHECK_HAS(text, " has no mempool: ");
        CHECK_HAS(text, reason);
        free(text);
    }
}

/* What the switch sees of the plugin. */
static void
test_plugin(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct netdev_plugin *plugin = &ovs_netdev_plugin;
    struct smap config = SMAP_INITIALIZER(&config);
    struct netdev *netdev, *client;
    enum netdev_flags flags;
    char *text;

    CHECK_INT(plugin->abi.length, sizeof *plugin);
    CHECK_STR(plugin->name, "netdev-vhost");
    CHECK_STR(plugin->types[0], "dpdkvhostuser");
    CHECK_STR(plugin->types[1], "dpdkvhostuserclient");
    CHECK(!plugin->types[2]);

    /* Nothing without DPDK. */
    smap_add(&config, "vhost-sock-mode", "0600");
    plugin->set_config(&config);
    CHECK_INT(netdev_open("vhu0", "dpdkvhostuser", &netdev), EAFNOSUPPORT);
    CHECK_INT(netdev_open("vhu0", "dpdkvhostuserclient", &netdev),
              EAFNOSUPPORT);

    stub_memory.dpdk_available = true;
    plugin->set_config(&config);
    CHECK_INT(netdev_open("vhu0", "dpdkvhostuser", &netdev), 0);
    CHECK_INT(mode_of("vhu0"), 0600);
    CHECK_INT(netdev_open("vhu1", "dpdkvhostuserclient", &client), 0);
    CHECK(reconfigure(netdev));

    /* It follows changes. */
    smap_replace(&config, "vhost-sock-mode", "0666");
    forget_log();
    plugin->set_config(&config);
    CHECK_INT(mode_of("vhu0"), 0666);
    CHECK_NOT_LOGGED("duplicate netdev provider");
    CHECK(!chmod("vhu0", 0611));
    plugin->set_config(&config);
    CHECK_INT(mode_of("vhu0"), 0611);
    smap_destroy(&config);

    plugin->set_admin_state(netdev, false);
    CHECK_INT(netdev_get_flags(netdev, &flags), 0);
    CHECK(!(flags & NETDEV_UP));

    /* A port that never had a guest has no mempool, which is no reason to
     * crash. */
    check_no_mempool(netdev, "no guest is connected.\n");
    check_no_mempool(client, "no guest is connected.\n");
    stub_memory.n_free_mbufs[0] = 0;
    attach_guest(path_of("vhu0"), 1);
    CHECK(reconfigure(netdev));
    check_no_mempool(netdev, "there is no memory for one");
    stub_memory.n_free_mbufs[0] = UINT_MAX;
    netdev_request_reconfigure(netdev);
    CHECK(reconfigure(netdev));
    text = dump_mempool(netdev);
    CHECK_HAS(text, "mempool <ovs-vhost-");
    CHECK_HAS(text, "count: avail (");
    free(text);

    netdev_close(netdev);
    netdev_close(client);
    check_all_closed();
}
VHOST_TEST(test_plugin, "port-plugin", "port: plugin", TEST_DPDK);
