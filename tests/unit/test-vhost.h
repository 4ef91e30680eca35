/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef TEST_VHOST_H
#define TEST_VHOST_H 1

/* Unit tests of the provider: "test-vhost TEST [ARGUMENT...]" runs one test in
 * a process of its own, with librte_vhost, NUMA and the supply of memory
 * stubbed (stub-rte-vhost.h, stub-memory.h).
 *
 * A test that fails says what it found and exits with a nonzero status.  It
 * leaves its files in the current directory. */

#include <stdbool.h>
#include <stddef.h>

struct dp_packet;
struct dp_packet_batch;
struct netdev;

struct vhost_test {
    const char *name;
    void (*run)(int argc, char *argv[]);        /* argv[0] is the name. */
    bool needs_dpdk;
};

extern const struct vhost_test config_tests[];
extern const struct vhost_test dma_tests[];
extern const struct vhost_test socket_tests[];
extern const struct vhost_test mempool_tests[];
extern const struct vhost_test loop_tests[];
extern const struct vhost_test message_tests[];
extern const struct vhost_test session_tests[];
extern const struct vhost_test native_tests[];
extern const struct vhost_test zerocopy_tests[];
extern const struct vhost_test offload_tests[];
extern const struct vhost_test placement_tests[];
extern const struct vhost_test port_tests[];
extern const struct vhost_test qos_tests[];
extern const struct vhost_test rxtx_tests[];
extern const struct vhost_test show_tests[];
extern const struct vhost_test supply_tests[];
extern const struct vhost_test virtq_tests[];
extern const struct vhost_test virtq_hostile_tests[];

/* Checks. */
#define CHECK(CONDITION) \
    check((CONDITION), OVS_SOURCE_LOCATOR, #CONDITION)
#define CHECK_INT(FOUND, EXPECTED) \
    check_int(FOUND, EXPECTED, OVS_SOURCE_LOCATOR, #FOUND)
#define CHECK_STR(FOUND, EXPECTED) \
    check_str(FOUND, EXPECTED, OVS_SOURCE_LOCATOR, #FOUND)
#define CHECK_HAS(FOUND, PART) \
    check_has(FOUND, PART, OVS_SOURCE_LOCATOR, #FOUND)

/* Does what was logged since the last forget_log() contain PART? */
#define CHECK_LOGGED(PART) CHECK_HAS(read_log(), PART)
#define CHECK_NOT_LOGGED(PART) CHECK(!strstr(read_log(), PART))

void check(bool ok, const char *where, const char *condition);
void check_int(long long int found, long long int expected, const char *where,
               const char *what);
void check_str(const char *found, const char *expected, const char *where,
               const char *what);
void check_has(const char *found, const char *part, const char *where,
               const char *what);
const char *read_log(void);
void forget_log(void);

/* Returns the absolute path of file 'name' in the current directory, as a
 * short string that need not be freed. */
const char *path_of(const char *name);

/* Configuration: pairs of keys and values, ended by NULL. */
void init_config(const char *key, ...);
bool update_config(const char *key, ...);
int set_options(struct netdev *, char **errp, const char *key, ...)
   ;
char *status_of(const struct netdev *, const char *key);
long long int counter_of(const struct netdev *, const char *name);

/* Lets time pass, with the main loop's periodic work at its end. */
void pass_time(int ms);

/* Ports. */
struct netdev *open_port(const char *name, const char *type);
struct netdev *open_client(const char *name, const char *path);
bool reconfigure(struct netdev *);

/* Checks that there are 'n' mempools when those that nobody needs are freed. */
void check_mempools(unsigned int n);

/* Checks that nothing of librte_vhost's and of sessions is left. */
void check_sessions_closed(void);

/* Packets. */
struct dp_packet *make_packet(size_t size);

#endif /* test-vhost.h */
