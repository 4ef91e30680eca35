/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ovs-atomic.h"
#include "test-vhost.h"

static atomic_bool gone = false, other_gone = false;

static bool
is_gone(atomic_bool *flag)
{
    bool value;

    atomic_read(flag, &value);
    return value;
}

static volatile uint8_t *
map_anonymous(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

static bool
is_mapped(volatile uint8_t *p)
{
    unsigned char v;

    return !mincore((void *) p, 1, &v);
}

/* Checks that an access to 'p' ends the process. */
static void
check_fatal(volatile uint8_t *p)
{
    pid_t pid = fork();
    int status;

    CHECK(pid >= 0);
    if (!pid) {
        const struct rlimit no_core = { 0, 0 };

        setrlimit(RLIMIT_CORE, &no_core);
        *p = 1;
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(status != 0);
}

/* Memory that librte_vhost has unmapped while a burst still uses it. */
static void
test_unmapped(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    size_t page = sysconf(_SC_PAGESIZE), size = 8 * page;
    volatile uint8_t *p, *q;

    vhost_guard_init();
    p = map_anonymous(size);
    p[5 * page] = 5;
    CHECK(vhost_guard_watch((void *) p, size, &gone));
    CHECK(!munmap((void *) p, size));
    CHECK(!is_gone(&gone));
    CHECK_INT(p[5 * page], 0);
    CHECK(is_gone(&gone));
    p[5 * page] = 6;
    CHECK_INT(p[5 * page], 6);
    CHECK(!is_mapped(p));
    p[0] = 1;
    CHECK(is_mapped(p) && is_mapped(p + 5 * page));

    /* Nothing of it is left, and it is guarded no more. */
    vhost_guard_unwatch((void *) p, &other_gone);
    CHECK(is_mapped(p));
    vhost_guard_unwatch((void *) p, &gone);
    CHECK(!is_mapped(p) && !is_mapped(p + 5 * page));
    check_fatal(p);

    /* Something else is mapped there before the loss is known. */
    CHECK(vhost_guard_watch((void *) p, size, &gone));
    p[2 * page] = 1;
    q = mmap((void *) (p + 4 * page), page, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(q == p + 4 * page);
    q[0] = 9;
    CHECK(vhost_guard_watch((void *) q, page, &other_gone));
    CHECK(!is_mapped(p + 2 * page));
    check_fatal(p);
    vhost_guard_unwatch((void *) p, &gone);
    CHECK_INT(q[0], 9);
    munmap((void *) q, page);
    CHECK_INT(q[0], 0);
    CHECK(is_gone(&other_gone));
    vhost_guard_unwatch((void *) q, &other_gone);
    check_fatal(q);
}
VHOST_TEST(test_unmapped, "guard-unmapped",
           "guard: memory that is unmapped in use", 0);
