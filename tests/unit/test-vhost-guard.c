/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-guard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "test-vhost.h"
#include "util.h"

static atomic_bool lost = false, other_lost = false;

static bool
is_set(atomic_bool *flag)
{
    bool value;

    atomic_read(flag, &value);
    return value;
}

/* Returns 'n' pages of a file that has no page, or only one if 'has_page'. */
static volatile uint8_t *
map_pages(size_t n, bool has_page)
{
    size_t page = sysconf(_SC_PAGESIZE);
    int fd = memfd_create("guest", MFD_CLOEXEC);
    void *p;

    CHECK(fd >= 0 && !ftruncate(fd, has_page ? page : 0));
    p = mmap(NULL, n * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    close(fd);
    return p;
}

/* Checks that SIGBUS ends a process that does 'access' to 'p'.  This is for a
 * process that has no guard yet: it takes the place of whatever handles
 * SIGBUS, such as a sanitizer. */
static void
check_dies(void (*access)(volatile uint8_t *p), volatile uint8_t *p)
{
    pid_t pid = fork();
    int status;

    CHECK(pid >= 0);
    if (!pid) {
        const struct rlimit no_core = { 0, 0 };

        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGBUS, SIG_DFL);
        vhost_guard_init();
        access(p);
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void
access_before(volatile uint8_t *p)
{
    size_t page = sysconf(_SC_PAGESIZE);

    CHECK(vhost_guard_watch((void *) (p + page), 2 * page, &lost));
    p[page - 1] = 1;
}

static void
access_after(volatile uint8_t *p)
{
    size_t page = sysconf(_SC_PAGESIZE);

    CHECK(vhost_guard_watch((void *) (p + page), 2 * page, &lost));
    p[3 * page] = 1;
}

static void
access_unwatched(volatile uint8_t *p)
{
    CHECK(vhost_guard_watch((void *) p, sysconf(_SC_PAGESIZE), &lost));
    vhost_guard_unwatch((void *) p, &lost);
    *p = 1;
}

static void
test_watch(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    size_t page = sysconf(_SC_PAGESIZE);
    volatile uint8_t *p = map_pages(4, false), *q = map_pages(2, true);

    check_dies(access_before, p);
    check_dies(access_after, p);
    check_dies(access_unwatched, p);

    /* The first and the last byte of what is watched. */
    vhost_guard_init();
    vhost_guard_init();
    CHECK(vhost_guard_watch((void *) q, 2 * page, &other_lost));
    CHECK(vhost_guard_watch((void *) (p + page), 2 * page, &lost));
    CHECK(!is_set(&lost));
    CHECK_INT(p[3 * page - 1], 0);
    CHECK(is_set(&lost));
    atomic_store(&lost, false);
    p[page] = 5;
    CHECK(is_set(&lost));
    CHECK_INT(p[page], 5);

    /* It is one mapping that was lost, and one page of the other is. */
    CHECK(!is_set(&other_lost));
    q[0] = 1;
    CHECK(!is_set(&other_lost));
    q[page] = 1;
    CHECK(is_set(&other_lost));
    CHECK_INT(q[0], 1);

    /* What is not watched need not be. */
    vhost_guard_unwatch((void *) p, &lost);
    vhost_guard_unwatch(NULL, &lost);
    vhost_guard_unwatch((void *) (p + page), &lost);
    vhost_guard_unwatch((void *) (p + page), &lost);
    vhost_guard_unwatch((void *) q, &other_lost);
}
VHOST_TEST(test_watch, "guard-watch", "guard: memory that is watched", 0);

static void
access_suspected(volatile uint8_t *p)
{
    vhost_guard_suspect(5);
    vhost_guard_suspect(-1);
    *p = 1;
}

static void *
access_in_thread(void *p)
{
    *(volatile uint8_t *) p = 1;
    return NULL;
}

static void
access_in_other_thread(volatile uint8_t *p)
{
    vhost_guard_suspect(5);
    xpthread_join(ovs_thread_create("other", access_in_thread, (void *) p),
                  NULL);
}

/* Memory of which nothing is known yet is that of the connection whose
 * message this thread handles. */
static void
test_suspect(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    size_t page = sysconf(_SC_PAGESIZE);
    volatile uint8_t *p = map_pages(3, false);

    check_dies(access_suspected, p);
    check_dies(access_in_other_thread, p);

    vhost_guard_init();
    vhost_guard_suspect(0);
    p[0] = 1;
    CHECK(vhost_guard_is_lost(0));
    vhost_guard_suspect(RTE_MAX_VHOST_DEVICE - 1);
    CHECK(!vhost_guard_is_lost(RTE_MAX_VHOST_DEVICE - 1));
    p[page] = 1;
    CHECK(vhost_guard_is_lost(RTE_MAX_VHOST_DEVICE - 1));
    CHECK(!vhost_guard_is_lost(1));

    /* What is known comes first. */
    vhost_guard_suspect(1);
    CHECK(vhost_guard_watch((void *) (p + 2 * page), page, &lost));
    p[2 * page] = 1;
    CHECK(is_set(&lost));
    CHECK(!vhost_guard_is_lost(1));
    vhost_guard_unwatch((void *) (p + 2 * page), &lost);
}
VHOST_TEST(test_suspect, "guard-suspect",
           "guard: memory that is not watched yet", 0);

static atomic_bool stop = false;

/* Watches other memory all the time. */
static void *
watch_others(void *aux OVS_UNUSED)
{
    static uint8_t others[8];

    while (!is_set(&stop)) {
        for (int i = 0; i < ARRAY_SIZE(others); i++) {
            CHECK(vhost_guard_watch(&others[i], 1, &other_lost));
        }
        for (int i = 0; i < ARRAY_SIZE(others); i++) {
            vhost_guard_unwatch(&others[i], &other_lost);
        }
    }
    return NULL;
}

/* SIGBUS in one thread while another one changes what is watched. */
static void
test_threads(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    size_t page = sysconf(_SC_PAGESIZE), n = 2000;
    volatile uint8_t *p = map_pages(n, false);
    pthread_t thread;

    vhost_guard_init();
    thread = ovs_thread_create("others", watch_others, NULL);
    for (size_t i = 0; i < n; i++) {
        CHECK(vhost_guard_watch((void *) (p + i * page), page, &lost));
        p[i * page] = 1;
        CHECK(is_set(&lost));
        atomic_store(&lost, false);
        vhost_guard_unwatch((void *) (p + i * page), &lost);
    }
    atomic_store(&stop, true);
    xpthread_join(thread, NULL);
    CHECK(!is_set(&other_lost));
}
VHOST_TEST(test_threads, "guard-threads",
           "guard: several threads", TEST_PARALLEL);

static void
test_memory(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    int fds[2], fd = memfd_create("guest", MFD_CLOEXEC);

    CHECK(vhost_guard_is_memory(fd));
    close(fd);
    CHECK(!vhost_guard_is_memory(fd));
    CHECK(!vhost_guard_is_memory(-1));
    CHECK((fd = open("/proc/self/stat", O_RDONLY)) >= 0);
    CHECK(!vhost_guard_is_memory(fd));
    close(fd);

    /* /dev is a tmpfs, too, but this is no file with pages. */
    CHECK((fd = open("/dev/null", O_RDWR)) >= 0);
    CHECK(!vhost_guard_is_memory(fd));
    close(fd);
    CHECK(!pipe(fds));
    CHECK(!vhost_guard_is_memory(fds[0]));
    close(fds[0]);
    close(fds[1]);
}
VHOST_TEST(test_memory, "guard-memory", "guard: files of memory", 0);

static void
test_callfd(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    int fds[2], fd = eventfd(0, EFD_CLOEXEC);

    /* An eventfd, with or without O_NONBLOCK, which it has afterwards. */
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    for (int i = 0; i < 2; i++) {
        CHECK(vhost_guard_callfd(fd));
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    }
    CHECK_STR(read_log(), "");
    close(fd);
    CHECK(!vhost_guard_callfd(fd));
    CHECK(!vhost_guard_callfd(-1));

    /* What might block, or is written to with another effect. */
    forget_log();
    CHECK(!pipe(fds));
    CHECK(!vhost_guard_callfd(fds[1]));
    CHECK(!(fcntl(fds[1], F_GETFL) & O_NONBLOCK));
    CHECK_LOGGED("the guest's side offers pipe:[");
    CHECK_LOGGED("an eventfd was expected");
    close(fds[0]);
    close(fds[1]);
    CHECK((fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) >= 0);
    CHECK(!vhost_guard_callfd(fd));
    CHECK_LOGGED("offers anon_inode:[timerfd]");
    close(fd);
}
VHOST_TEST(test_callfd, "guard-callfd",
           "guard: file descriptors for notifications", 0);

static atomic_bool gone = false, other_gone = false;

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
    CHECK(!is_set(&gone));
    CHECK_INT(p[5 * page], 0);
    CHECK(is_set(&gone));
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
    CHECK(is_set(&other_gone));
    vhost_guard_unwatch((void *) q, &other_gone);
    check_fatal(q);
}
VHOST_TEST(test_unmapped, "guard-unmapped",
           "guard: memory that is unmapped in use", 0);
