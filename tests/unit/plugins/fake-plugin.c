/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

/* A netdev provider plugin to test the switch's plugin loader with.
 *
 * Its ports do nothing, but they can be added to a bridge, and what the switch
 * asks of the plugin shows up in the switch's log.  These macros, to be given
 * to the compiler, make one of the variants that automake.mk lists:
 *
 *   TYPE, OTHER_TYPE     The port types to provide, instead of "fake".
 *   BREAK_NUMBER=MEMBER  A wrong value in that member of the descriptor's ABI
 *   BREAK_STRING=MEMBER  part.
 *   FAIL_INIT=ERRNO      The plugin can't be initialized, and...
 *   FAIL_REASON=TEXT     ...says why.
 *   NO_DESCRIPTOR        A library that isn't a plugin.
 *   NO_SUCH_FUNCTION     A plugin that needs what the switch does not have. */

#include <errno.h>

#include "coverage.h"
#include "netdev-plugin.h"
#include "netdev-provider.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(fake_plugin);

COVERAGE_DEFINE(fake_plugin_set_config);

#ifndef TYPE
#define TYPE fake
#endif

struct fake_port {
    struct netdev up;
    enum netdev_flags flags;
};

static struct fake_port *
fake_port_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct fake_port, up);
}

static struct netdev *
fake_alloc(void)
{
    struct fake_port *port = xzalloc(sizeof *port);

    return &port->up;
}

static int
fake_construct(struct netdev *netdev OVS_UNUSED)
{
    return 0;
}

static void
fake_destruct(struct netdev *netdev OVS_UNUSED)
{
}

static void
fake_dealloc(struct netdev *netdev)
{
    free(fake_port_cast(netdev));
}

static int
fake_get_etheraddr(const struct netdev *netdev OVS_UNUSED,
                   struct eth_addr *mac)
{
    *mac = (struct eth_addr) ETH_ADDR_C(02,00,00,00,00,01);
    return 0;
}

static int
fake_update_flags(struct netdev *netdev, enum netdev_flags off,
                  enum netdev_flags on, enum netdev_flags *old_flags)
{
    struct fake_port *port = fake_port_cast(netdev);

    *old_flags = port->flags;
    port->flags = (port->flags & ~off) | on;
    return 0;
}

#define FAKE_CLASS(NAME)                        \
    {                                           \
        .type = NAME,                           \
        .alloc = fake_alloc,                    \
        .construct = fake_construct,            \
        .destruct = fake_destruct,              \
        .dealloc = fake_dealloc,                \
        .get_etheraddr = fake_get_etheraddr,    \
        .update_flags = fake_update_flags,      \
    }

static const struct netdev_class classes[] = {
    FAKE_CLASS(OVS_STRINGIZE(TYPE)),
#ifdef OTHER_TYPE
    FAKE_CLASS(OVS_STRINGIZE(OTHER_TYPE)),
#endif
};

#ifdef NO_SUCH_FUNCTION
void no_such_function(void);
#endif

static int
fake_init(char **errp OVS_UNUSED)
{
    VLOG_INFO("init");
#ifdef NO_SUCH_FUNCTION
    no_such_function();
#endif
#ifdef FAIL_REASON
    *errp = xstrdup(FAIL_REASON);
#endif
#ifdef FAIL_INIT
    return FAIL_INIT;
#else
    return 0;
#endif
}

static void
fake_set_config(const struct smap *other_config)
{
    static bool registered;

    COVERAGE_INC(fake_plugin_set_config);
    VLOG_INFO("set_config: %s", smap_get_def(other_config, "fake", "default"));
    if (!registered) {
        for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
            netdev_register_provider(&classes[i]);
        }
        registered = true;
    }
}

static void
fake_set_admin_state(struct netdev *netdev, bool up)
{
    VLOG_INFO("set_admin_state: %s: %s",
              netdev ? netdev_get_name(netdev) : "all ports",
              up ? "up" : "down");
}

static int
fake_dump_mempool(const struct netdev *netdev, FILE *stream)
{
    const char *name = netdev_get_name(netdev);

    if (!strcmp(name, "poolless")) {
        return ENOENT;
    }
    fprintf(stream, "mempool of %s\n", name);
    return 0;
}

static const char *const types[] = {
    OVS_STRINGIZE(TYPE),
#ifdef OTHER_TYPE
    OVS_STRINGIZE(OTHER_TYPE),
#endif
    NULL
};

#ifdef NO_DESCRIPTOR
#define ovs_netdev_plugin not_a_netdev_plugin
extern const struct netdev_plugin not_a_netdev_plugin;
#endif

#if defined(BREAK_NUMBER) || defined(BREAK_STRING)
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

const struct netdev_plugin ovs_netdev_plugin = {
    .abi = NETDEV_PLUGIN_ABI_INITIALIZER,
#ifdef BREAK_NUMBER
    .abi.BREAK_NUMBER = 1,
#endif
#ifdef BREAK_STRING
    .abi.BREAK_STRING = "other",
#endif
    .name = "fake",
    .version = "1.0",
    .types = types,
    .init = fake_init,
    .set_config = fake_set_config,
    .set_admin_state = fake_set_admin_state,
    .dump_mempool = fake_dump_mempool,
};
