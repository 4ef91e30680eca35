/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef TEST_VHOST_H
#define TEST_VHOST_H 1

/* Unit tests of the provider: "test-vhost TEST [ARGUMENT...]" runs one test in
 * a process of its own, with librte_vhost, NUMA and the supply of memory
 * stubbed (stub-rte-vhost.h, stub-memory.h).
 * "test-vhost --list" prints the name, title and keywords of all.
 *
 * A test that fails says what it found and exits with a nonzero status.  It
 * leaves its files in the current directory. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/compiler.h"

struct dp_packet;
struct dp_packet_batch;
struct netdev;

/* VHOST_TEST(FUNCTION, NAME, TITLE, FLAGS), after FUNCTION, is all that
 * registers a test: "make check" runs "test-vhost NAME" under "unit - TITLE".
 * NAME may have arguments, and FUNCTION several NAMEs.  With NULL for TITLE,
 * vhost-unit.at says what is run.
 *
 * list-tests.awk reads the macro: it begins its line, and the strings are not
 * split. */
#define VHOST_TEST(FUNCTION, NAME, TITLE, FLAGS) \
    VHOST_TEST_AT(__LINE__, FUNCTION, NAME, TITLE, FLAGS)
#define VHOST_TEST_AT(LINE, ...) VHOST_TEST__(LINE, __VA_ARGS__)
#define VHOST_TEST__(LINE, FUNCTION, NAME, TITLE, FLAGS)                \
    OVS_CONSTRUCTOR(register_test_##LINE) {                             \
        static struct vhost_test test = {                               \
            FUNCTION, NAME, TITLE, FLAGS, NULL                          \
        };                                                              \
                                                                        \
        register_test(&test);                                           \
    }

enum {
    TEST_DPDK = 1 << 0,         /* Needs DPDK. */
    TEST_PARALLEL = 1 << 1,     /* Keyword "parallel": needs two threads at
                                 * a time. */
};

struct vhost_test {
    void (*run)(int argc, char *argv[]);        /* argv[0] is the name. */
    const char *name;
    const char *title;
    unsigned int flags;
    struct vhost_test *next;
};

void register_test(struct vhost_test *);

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
unsigned int count_mappings(void);

/* Configuration: pairs of keys and values, ended by NULL. */
void init_config(const char *key, ...);
bool update_config(const char *key, ...);
int set_options(struct netdev *, char **errp, const char *key, ...);
char *status_of(const struct netdev *, const char *key);
long long int counter_of(const struct netdev *, const char *name);

/* Lets time pass, with the main loop's periodic work at its end. */
void pass_time(int ms);

/* Ports. */
struct netdev *open_port(const char *name, const char *type);
struct netdev *open_client(const char *name, const char *path);
bool reconfigure(struct netdev *);

/* Checks that there are 'n' mempools once those without a user are freed. */
void check_mempools(unsigned int n);

/* Checks that nothing of librte_vhost's and of sessions is left. */
void check_sessions_closed(void);

/* Packets. */
struct dp_packet *make_packet(size_t size);

/* Has 'packet' ask for 'flags', of an mbuf, as the switch does.  If its L3
 * header is known, that gets the IP version that they say. */
void request_offloads(struct dp_packet *packet, uint64_t flags);

#endif /* test-vhost.h */
