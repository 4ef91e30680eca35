/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "smap.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-mempool.h"

static struct vhost_socket_access
parse_access(const char *owner, const char *mode)
{
    struct vhost_socket_access access;
    char *error;

    CHECK(vhost_config_parse_socket_access(owner, mode, &access, &error));
    CHECK(!error);
    return access;
}

/* Checks that 'owner' and 'mode' are refused with a message that has
 * 'part'. */
static void
check_bad_access(const char *owner, const char *mode, const char *part)
{
    struct vhost_socket_access access;
    char *error = NULL;

    if (vhost_config_parse_socket_access(owner, mode, &access, &error)) {
        ovs_fatal(0, "owner %s, mode %s were accepted",
                  owner ? owner : "none", mode ? mode : "none");
    }
    CHECK_HAS(error, owner && !mode ? "vhost-sock-owner" : "vhost-sock-mode");
    CHECK_HAS(error, part);
    free(error);
}

static void
test_socket_access(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct group *gr = getgrgid(0);
    struct vhost_socket_access a;
    char *owner;

    a = parse_access(NULL, NULL);
    CHECK(!a.has_owner && !a.has_mode);

    a = parse_access("root", NULL);
    CHECK(a.has_owner && !a.has_mode);
    CHECK_INT(a.uid, 0);
    CHECK(a.gid == (gid_t) -1);

    a = parse_access("root:", NULL);
    CHECK(a.has_owner && !a.uid && a.gid == (gid_t) -1);

    owner = xasprintf("12345:%s", gr ? gr->gr_name : "0");
    a = parse_access(owner, "660");
    free(owner);
    CHECK(a.has_owner && a.has_mode);
    CHECK_INT(a.uid, 12345);
    CHECK_INT(a.gid, 0);
    CHECK_INT(a.mode, 0660);

    a = parse_access(":4711", NULL);
    CHECK(a.has_owner && a.uid == (uid_t) -1);
    CHECK_INT(a.gid, 4711);

    CHECK_INT(parse_access(NULL, "000").mode, 0);
    CHECK_INT(parse_access(NULL, "0777").mode, 0777);
    CHECK_INT(parse_access(NULL, "0600").mode, 0600);

    check_bad_access("", NULL, "expected \"user\" or \"user:group\"");
    check_bad_access(":", NULL, "expected \"user\" or \"user:group\"");
    check_bad_access("no-such-user", NULL, "no user \"no-such-user\"");
    check_bad_access("no-such-user:0", NULL, "no user \"no-such-user\"");
    check_bad_access("root:no-such-group", NULL,
                     "no group \"no-such-group\"");
    check_bad_access("root:root:root", NULL, "no group \"root:root\"");
    check_bad_access("-1", NULL, "no user \"-1\"");
    check_bad_access("4294967295", NULL, "no user");
    check_bad_access("0:4294967295", NULL, "no group");
    check_bad_access("4294967296", NULL, "no user");
    check_bad_access("0x10", NULL, "no user");

    check_bad_access(NULL, "", "expected octal permissions");
    check_bad_access(NULL, "7", "\"7\"");
    check_bad_access(NULL, "66", "\"66\"");
    check_bad_access(NULL, "00660", "\"00660\"");
    check_bad_access(NULL, "1777", "\"1777\"");
    check_bad_access(NULL, "0888", "\"0888\"");
    check_bad_access(NULL, " 660", "\" 660\"");
    check_bad_access(NULL, "-660", "\"-660\"");
    check_bad_access(NULL, "u=rw", "\"u=rw\"");
    check_bad_access("root", "rw", "\"rw\"");
}
VHOST_TEST(test_socket_access, "config-socket-access",
           "config: owner and mode of sockets", 0);

/* The keys that are followed at run time. */
static void
test_update(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct vhost_socket_access *access = &vhost_config()->socket_access;

    CHECK(!update_config(NULL));
    CHECK(update_config("vhost-sock-mode", "0660", NULL));
    CHECK(access->has_mode && !access->has_owner);
    CHECK(!update_config("vhost-sock-mode", "0660", NULL));

    /* A bad value is logged once and changes nothing. */
    forget_log();
    CHECK(!update_config("vhost-sock-mode", "0669", NULL));
    CHECK_LOGGED("vhost-sock-mode \"0669\"");
    CHECK_INT(access->mode, 0660);
    forget_log();
    CHECK(!update_config("vhost-sock-mode", "0669", NULL));
    CHECK_STR(read_log(), "");

    CHECK(update_config("vhost-sock-mode", "0600", "vhost-sock-owner", "1:2",
                        NULL));
    CHECK_INT(access->mode, 0600);
    CHECK_INT(access->uid, 1);
    CHECK_INT(access->gid, 2);

    CHECK(update_config(NULL));
    CHECK(!access->has_mode && !access->has_owner);
}
VHOST_TEST(test_update, "config-update", "config: followed at run time", 0);

static void
check_pools(const char *s, size_t n_expected, ...)
{
    struct vhost_shared_mempool *pools;
    va_list args;
    char *error;
    size_t n;

    CHECK(vhost_config_parse_shared_mempools(s, &pools, &n, &error));
    CHECK(!error);
    CHECK_INT(n, n_expected);
    va_start(args, n_expected);
    for (size_t i = 0; i < n; i++) {
        CHECK_INT(pools[i].mtu, va_arg(args, int));
        CHECK_INT(pools[i].node, va_arg(args, int));
    }
    va_end(args);
    free(pools);
}

static void
check_bad_pools(const char *s, const char *part)
{
    struct vhost_shared_mempool *pools;
    char *error;
    size_t n;

    if (vhost_config_parse_shared_mempools(s, &pools, &n, &error)) {
        ovs_fatal(0, "shared-mempool-config \"%s\" was accepted", s);
    }
    CHECK_HAS(error, part);
    CHECK(!pools && !n);
    free(error);
}

static void
test_shared_mempools(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_pools("", 0);
    check_pools("9000", 1, 9000, VHOST_ANY_NODE);
    check_pools("9000,1500:1,6000:0", 3, 9000, VHOST_ANY_NODE, 1500, 1,
                6000, 0);
    check_pools(" 1500 , 9000:7", 2, 1500, VHOST_ANY_NODE, 9000, 7);
    check_pools("1500,", 1, 1500, VHOST_ANY_NODE);

    check_bad_pools("jumbo", "\"jumbo\" is not an MTU");
    check_bad_pools("1500,-1", "\"-1\" is not an MTU");
    check_bad_pools("1500:x", "\"x\" is not a NUMA node");
    check_bad_pools("1500:-1", "\"-1\" is not a NUMA node");
    check_bad_pools("99999999999", "is not an MTU");
    /* A buffer's size has 16 bits. */
    check_bad_pools("2147483647", "is not an MTU");
    check_bad_pools("65500", "is not an MTU");
}
VHOST_TEST(test_shared_mempools, "config-shared-mempools",
           "config: shared-mempool-config", 0);

static void
test_tx_retries(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct {
        const char *value;
        int expected;
    } cases[] = {
        { "0", 0 }, { "1", 1 }, { "8", 8 }, { "32", 32 },
        { "33", 8 }, { "-1", 8 }, { "many", 8 }, { "", 8 },
    };
    const struct smap none = SMAP_INITIALIZER(&none);

    CHECK_INT(vhost_config_parse_tx_retries(&none), 8);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct smap options = SMAP_CONST1(&options, "tx-retries-max",
                                                cases[i].value);

        CHECK_INT(vhost_config_parse_tx_retries(&options), cases[i].expected);
    }
}
VHOST_TEST(test_tx_retries, "config-tx-retries", "config: tx-retries-max", 0);

/* config-init [KEY VALUE]...: shows what comes of these keys. */
static void
test_init(int argc, char *argv[])
{
    const struct vhost_config *config = vhost_config();
    struct smap smap = SMAP_INITIALIZER(&smap);

    mkdir("subdirectory", 0777);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--mlockall")) {
            vhost_set_memory_locked();
        } else {
            smap_add(&smap, argv[i], argv[i + 1]);
        }
    }
    vhost_config_init(&smap);
    smap_destroy(&smap);

    printf("%s iommu=%d postcopy=%d per-port=%d", config->sock_dir,
           config->iommu, config->postcopy, config->per_port_memory);
    if (config->library_data_path) {
        printf(" librte_vhost");
    }
    for (size_t i = 0; i < config->n_shared_mempools; i++) {
        printf(" %d:%d", config->shared_mempools[i].mtu,
               config->shared_mempools[i].node);
    }
    printf("\n");
}
VHOST_TEST(test_init, "config-init", NULL, 0);
