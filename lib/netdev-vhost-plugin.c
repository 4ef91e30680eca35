/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

/* The plugin's entry point: what ovs-vswitchd looks for in netdev-vhost.so.
 *
 * Start-up is a ladder.  The switch loads the plugin and accepts its
 * handshake; with each change of its configuration it calls
 * plugin_set_config(), which registers the port types as soon as DPDK has been
 * initialized. */

#include <errno.h>
#include <string.h>

#include <rte_version.h>

#include "dpdk.h"
#include "netdev-plugin.h"
#include "netdev-provider.h"
#include "netdev-vhost.h"
#include "openvswitch/vlog.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-port.h"
#include "vhost-ports.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhost_plugin);

/* The plugin relies on what librte_vhost does beyond its interface.  Compares
 * the library that is here with those with which all of it was tested. */
static int
plugin_init(char **errp)
{
    static const char *const tested[] = VHOST_TESTED_DPDK;
    const char *running = rte_version();
    char series[32];

    snprintf(series, sizeof series, "DPDK %d.%02d.", RTE_VER_YEAR,
             RTE_VER_MONTH);
    if (strncmp(running, series, strlen(series))) {
        *errp = xasprintf("it was built with %sN and runs with %s: build it "
                          "with the DPDK that it is to run with",
                          series, running);
        return EINVAL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(tested); i++) {
        if (!strcmp(running, tested[i])) {
            return 0;
        }
    }
    VLOG_WARN("the plugin was not tested with %s, but with %s",
              running, tested[0]);
    return 0;
}

static void
plugin_set_config(const struct smap *other_config)
{
    static bool registered;
    bool access_changed;

    if (!dpdk_available()) {
        return;
    }
    access_changed = vhost_config_update(other_config);
    if (!registered) {
        vhost_config_init(other_config);
        netdev_vhost_register();
        registered = true;
    } else if (access_changed) {
        vhost_ports_update_socket_access();
    }
}

static int
plugin_dump_mempool(const struct netdev *netdev, FILE *stream)
{
    return vhost_port_dump_mempool(vhost_port_cast(netdev), stream);
}

/* The library's only visible symbol. */
__attribute__((visibility("default")))
const struct netdev_plugin ovs_netdev_plugin = {
    .abi = NETDEV_PLUGIN_ABI_INITIALIZER,
    .name = "netdev-vhost",
    .version = NETDEV_VHOST_VERSION,
    .types = netdev_vhost_types,
    .init = plugin_init,
    .set_config = plugin_set_config,
    .set_admin_state = vhost_ports_set_admin_state,
    .dump_mempool = plugin_dump_mempool,
};
