/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-config.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dirs.h"
#include "openvswitch/ofp-parse.h"
#include "openvswitch/vlog.h"
#include "smap.h"
#include "util.h"
#include "vhost-compat.h"

VLOG_DEFINE_THIS_MODULE(vhost_config);

static struct vhost_config config;

static void follow(const struct smap *other_config, const char *key, char **);
static char *parse_sock_dir(const struct smap *other_config);
static void parse_startup_flags(const struct smap *other_config);
static bool parse_data_path(const struct smap *other_config);
static bool parse_id(const char *name, bool is_group, unsigned int *id);

/* Returns the configuration in effect. */
const struct vhost_config *
vhost_config(void)
{
    return &config;
}

/* Reads the keys of 'other_config' that take effect when DPDK starts.  The
 * mempool keys are logged by the provider of "dpdk" ports, which reads them
 * too, so only an error is logged here. */
void
vhost_config_init(const struct smap *other_config)
{
    const char *pools = smap_get(other_config, "shared-mempool-config");
    char *error;

    config.sock_dir = parse_sock_dir(other_config);
    parse_startup_flags(other_config);
    config.library_data_path = parse_data_path(other_config);
    config.per_port_memory = smap_get_bool(other_config, "per-port-memory",
                                           false);
    if (pools && !vhost_config_parse_shared_mempools(
            pools, &config.shared_mempools, &config.n_shared_mempools,
            &error)) {
        VLOG_WARN("shared-mempool-config: %s; vhost-user ports choose their "
                  "mempools without it", error);
        free(error);
    }
}

/* Follows the keys of 'other_config' that may change at run time.  Returns
 * true if the access to server sockets changed.  A bad value is logged once
 * and leaves the previous setting in force. */
bool
vhost_config_update(const struct smap *other_config)
{
    static char *last_owner, *last_mode;
    const char *owner = smap_get(other_config, "vhost-sock-owner");
    const char *mode = smap_get(other_config, "vhost-sock-mode");
    struct vhost_socket_access access;
    char *error;

    follow(other_config, "pmd-cpu-mask", &config.pmd_cpu_mask);
    follow(other_config, "dpdk-socket-mem", &config.dpdk_socket_mem);
    follow(other_config, "dpdk-socket-limit", &config.dpdk_socket_limit);

    if (nullable_string_is_equal(owner, last_owner)
        && nullable_string_is_equal(mode, last_mode)) {
        return false;
    }
    free(last_owner);
    free(last_mode);
    last_owner = nullable_xstrdup(owner);
    last_mode = nullable_xstrdup(mode);

    if (!vhost_config_parse_socket_access(owner, mode, &access, &error)) {
        VLOG_ERR("%s; the sockets of dpdkvhostuser ports keep their owner and "
                 "permissions", error);
        free(error);
        return false;
    }
    config.socket_access = access;
    return true;
}

/* Parses 'owner' ("USER", "USER:GROUP" or ":GROUP", by name or number) and
 * 'mode' (three or four octal digits), each of which may be NULL, into
 * '*access'.  Returns true if successful, otherwise false and stores a
 * message that the caller must free into '*errp'. */
bool
vhost_config_parse_socket_access(const char *owner, const char *mode,
                                 struct vhost_socket_access *access,
                                 char **errp)
{
    memset(access, 0, sizeof *access);
    *errp = NULL;

    if (owner) {
        char *user = xstrdup(owner);
        char *group = strchr(user, ':');
        unsigned int uid = UINT_MAX, gid = UINT_MAX;

        if (group) {
            *group++ = '\0';
        }
        if (!*user && !(group && *group)) {
            *errp = xasprintf("vhost-sock-owner \"%s\": expected \"user\" or "
                              "\"user:group\"", owner);
        } else if (*user && !parse_id(user, false, &uid)) {
            *errp = xasprintf("vhost-sock-owner \"%s\": there is no user "
                              "\"%s\" on this system", owner, user);
        } else if (group && *group && !parse_id(group, true, &gid)) {
            *errp = xasprintf("vhost-sock-owner \"%s\": there is no group "
                              "\"%s\" on this system", owner, group);
        }
        free(user);
        if (*errp) {
            return false;
        }
        access->has_owner = true;
        access->uid = uid;
        access->gid = gid;
    }

    if (mode) {
        size_t n = strlen(mode);

        if (n < 3 || n > 4 || strspn(mode, "01234567") != n
            || strtoul(mode, NULL, 8) > 0777) {
            *errp = xasprintf("vhost-sock-mode \"%s\": expected octal "
                              "permissions from 000 to 0777, such as 0660",
                              mode);
            return false;
        }
        access->has_mode = true;
        access->mode = strtoul(mode, NULL, 8);
    }
    return true;
}

/* Parses 's', a "shared-mempool-config" such as "9000,1500:1", into a newly
 * allocated array in '*poolsp' with '*n' elements.  Returns true if
 * successful, otherwise false, with an empty array and a message that the
 * caller must free in '*errp'. */
bool
vhost_config_parse_shared_mempools(const char *s,
                                   struct vhost_shared_mempool **poolsp,
                                   size_t *n, char **errp)
{
    struct vhost_shared_mempool *pools = NULL;
    char *copy = xstrdup(s), *list = copy, *key, *value;
    size_t allocated = 0;

    *n = 0;
    *errp = NULL;
    while (ofputil_parse_key_value(&list, &key, &value)) {
        int mtu, node = VHOST_ANY_NODE;

        if (!str_to_int(key, 0, &mtu) || mtu < 0 || mtu > VHOST_MAX_MTU) {
            *errp = xasprintf("\"%s\" is not an MTU", key);
            break;
        }
        if (*value && (!str_to_int(value, 0, &node) || node < 0)) {
            *errp = xasprintf("\"%s\" is not a NUMA node", value);
            break;
        }
        if (*n >= allocated) {
            pools = x2nrealloc(pools, &allocated, sizeof *pools);
        }
        pools[*n].mtu = mtu;
        pools[(*n)++].node = node;
    }
    free(copy);

    if (*errp) {
        free(pools);
        pools = NULL;
        *n = 0;
    }
    *poolsp = pools;
    return !*errp;
}

/* Returns the number of retries that 'options' of an Interface ask for.  A
 * value out of range counts as the default. */
int
vhost_config_parse_tx_retries(const struct smap *options)
{
    int retries = smap_get_int(options, "tx-retries-max",
                               VHOST_TX_RETRIES_DEFAULT);

    return (retries < 0 || retries > VHOST_TX_RETRIES_MAX
            ? VHOST_TX_RETRIES_DEFAULT : retries);
}

/* Likewise for the number of queue pairs of a VDUSE device. */
int
vhost_config_parse_queue_pairs(const struct smap *options)
{
    int pairs = smap_get_int(options, "vhost-max-queue-pairs",
                             VHOST_QUEUE_PAIRS_DEFAULT);

    return (pairs < 1 || pairs > VHOST_QUEUE_PAIRS_MAX
            ? VHOST_QUEUE_PAIRS_DEFAULT : pairs);
}

static void
follow(const struct smap *other_config, const char *key, char **value)
{
    free(*value);
    *value = nullable_xstrdup(smap_get(other_config, key));
}

static char *
parse_sock_dir(const struct smap *other_config)
{
    const char *subdir = smap_get(other_config, "vhost-sock-dir");
    struct stat s;
    char *dir;

    if (!subdir || strlen(subdir) > NAME_MAX) {
        VLOG_INFO("No vhost-sock-dir provided - defaulting to %s",
                  ovs_rundir());
        return xstrdup(ovs_rundir());
    }
    VLOG_INFO("User-provided vhost-sock-dir in use: %s", subdir);
    if (strstr(subdir, "..")) {
        VLOG_ERR("vhost-user sock directory request '%s/%s' has invalid "
                 "characters '..' - using %s instead.",
                 ovs_rundir(), subdir, ovs_rundir());
        return xstrdup(ovs_rundir());
    }

    dir = xasprintf("%s/%s", ovs_rundir(), subdir);
    if (stat(dir, &s)) {
        VLOG_ERR("vhost-user sock directory '%s' does not exist.", dir);
    }
    return dir;
}

static void
parse_startup_flags(const struct smap *other_config)
{
    config.iommu = smap_get_bool(other_config, "vhost-iommu-support", false);
    VLOG_INFO("IOMMU support for vhost-user-client %s.",
              config.iommu ? "enabled" : "disabled");

    config.postcopy = smap_get_bool(other_config, "vhost-postcopy-support",
                                    false);
    if (config.postcopy && vhost_memory_is_locked()) {
        VLOG_WARN("vhost-postcopy-support and mlockall are not compatible.");
        config.postcopy = false;
    }
    VLOG_INFO("POSTCOPY support for vhost-user-client %s.",
              config.postcopy ? "enabled" : "disabled");
}

static bool
parse_data_path(const struct smap *other_config)
{
    const char *name = smap_get_def(other_config, "vhost-data-path",
                                    "native");

    if (!strcmp(name, "librte_vhost")) {
        VLOG_INFO("vhost-user ports use librte_vhost's data path");
        return true;
    }
    if (strcmp(name, "native")) {
        VLOG_ERR("vhost-data-path \"%s\": expected \"native\" or "
                 "\"librte_vhost\"; vhost-user ports use \"native\"", name);
    }
    return false;
}

/* Looks up user or group 'name', which may be a number, into '*id'. */
static bool
parse_id(const char *name, bool is_group, unsigned int *id)
{
    const struct passwd *pw = is_group ? NULL : getpwnam(name);
    const struct group *gr = is_group ? getgrnam(name) : NULL;

    if (pw || gr) {
        *id = pw ? pw->pw_uid : gr->gr_gid;
        return true;
    }
    return str_to_uint(name, 10, id) && *id != UINT_MAX;
}
