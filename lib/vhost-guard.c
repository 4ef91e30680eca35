/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vhost_guard);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

#define MAX_PAGE_SIZE ((uintptr_t) 1 << 30)

const char vhost_guard_fault[] = "guest memory is missing (its file is "
    "too short, or no hugepage was left)";

atomic_bool vhost_guard_lost[RTE_MAX_VHOST_DEVICE];

/* See vhost_guard_suspect(): 1 + a connection's number, or 0. */
static __thread volatile int suspect
    __attribute__((tls_model("initial-exec")));

static struct sigaction other_sigbus, other_sigsegv;
static uintptr_t page_size;

/* Pages put where nothing was mapped, or 0.  The signal handler adds
 * some, vhost_guard_unwatch() removes them. */
#define MAX_PLACED 4096
static atomic_uintptr_t placed[MAX_PLACED];
static atomic_uint n_placed;

/* Mappings that are watched.  Written with 'watched_mutex' held, read by the
 * signal handler.  'version' is odd while the rest changes. */
#define MAX_WATCHED 16384
static struct ovs_mutex watched_mutex = OVS_MUTEX_INITIALIZER;
static struct watched {
    atomic_uint version;
    atomic_uintptr_t start;
    atomic_size_t size;         /* 0 for none. */
    ATOMIC(atomic_bool *) lost; /* To be set if it is. */
} watched[MAX_WATCHED];
static atomic_uint watched_end; /* No element from here on is used. */

/* Puts an empty page at 'p'.  Of memory in hugepages, only a whole one can be
 * replaced: the kernel refuses anything smaller. */
static bool
replace_page(void *p)
{
    for (uintptr_t size = page_size; size <= MAX_PAGE_SIZE; size *= 2) {
        void *page = (void *) ((uintptr_t) p & ~(size - 1));

        if (mmap(page, size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
                 -1, 0) == page) {
            return true;
        }
    }
    return false;
}

/* Is 'p' in 'w'?  If so, stores the flag to be set when it is lost. */
static bool
contains(struct watched *w, const void *p, atomic_bool **lost)
{
    unsigned int before, after;
    uintptr_t start;
    size_t size;

    do {
        /* Pairs with the release in set_watched(). */
        atomic_read_explicit(&w->version, &before, memory_order_acquire);
        atomic_read_relaxed(&w->start, &start);
        atomic_read_relaxed(&w->size, &size);
        atomic_read_relaxed(&w->lost, lost);
        /* Pairs with the fence in set_watched(). */
        atomic_thread_fence(memory_order_acquire);
        atomic_read_relaxed(&w->version, &after);
        if (before & 1) {
            return false;       /* No thread uses the mapping now. */
        }
    } while (before != after);
    return (uintptr_t) p - start < size;
}

/* Puts an empty page at 'p', where nothing is mapped.  Does nothing but return
 * true if another thread was faster. */
static bool
place_page(void *p)
{
    void *page = (void *) ((uintptr_t) p & ~(page_size - 1));

    if (mmap(page, page_size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE,
             -1, 0) != page) {
        return errno == EEXIST;
    }
    for (unsigned int i = 0; i < MAX_PLACED; i++) {
        uintptr_t none = 0;

        if (atomic_compare_exchange_strong(&placed[i], &none,
                                           (uintptr_t) page)) {
            unsigned int orig;

            atomic_add(&n_placed, 1, &orig);
            return true;
        }
    }
    return false;
}

/* Removes the pages that place_page() put into the 'size' bytes at 'start'. */
static void
remove_placed(uintptr_t start, size_t size)
{
    unsigned int n, orig;

    atomic_read(&n_placed, &n);
    for (unsigned int i = 0; n && i < MAX_PLACED; i++) {
        uintptr_t page;

        atomic_read(&placed[i], &page);
        if (page && page - start < size) {
            munmap((void *) page, page_size);
            atomic_store(&placed[i], 0);
            atomic_sub(&n_placed, 1, &orig);
        }
    }
}

/* Returns the flag to be set if the memory at 'p', which is watched, is lost,
 * or NULL. */
static atomic_bool *
owner_of(const void *p)
{
    unsigned int end;

    atomic_read_explicit(&watched_end, &end, memory_order_acquire);
    for (unsigned int i = 0; i < end; i++) {
        atomic_bool *lost;

        if (contains(&watched[i], p, &lost)) {
            return lost;
        }
    }
    return NULL;
}

static void
handle_sigbus(int sig, siginfo_t *info, void *context OVS_UNUSED)
{
    atomic_bool *lost = NULL;
    int error = errno;

    if (info->si_code == BUS_ADRERR) {
        lost = owner_of(info->si_addr);
        if (!lost && suspect) {
            lost = &vhost_guard_lost[suspect - 1];
        }
    }
    if (lost && replace_page(info->si_addr)) {
        atomic_store_relaxed(lost, true);
    } else {
        /* Not ours: the access is repeated, with the effect it always had. */
        sigaction(sig, &other_sigbus, NULL);
    }
    errno = error;
}

static void
handle_sigsegv(int sig, siginfo_t *info, void *context OVS_UNUSED)
{
    atomic_bool *lost = (info->si_code == SEGV_MAPERR
                         ? owner_of(info->si_addr) : NULL);
    int error = errno;

    if (lost && place_page(info->si_addr)) {
        atomic_store_relaxed(lost, true);
    } else {
        sigaction(sig, &other_sigsegv, NULL);   /* As above. */
    }
    errno = error;
}

static void
install(int sig, void (*handler)(int, siginfo_t *, void *),
        struct sigaction *other)
{
    struct sigaction action = {
        .sa_sigaction = handler,
        .sa_flags = SA_SIGINFO | SA_RESTART,
    };

    sigemptyset(&action.sa_mask);
    if (sigaction(sig, &action, other)) {
        VLOG_ERR("cannot guard against guests that shrink their memory "
                 "(%s)", ovs_strerror(errno));
    }
}

void
vhost_guard_init(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        page_size = sysconf(_SC_PAGESIZE);
        install(SIGBUS, handle_sigbus, &other_sigbus);
        install(SIGSEGV, handle_sigsegv, &other_sigsegv);
        ovsthread_once_done(&once);
    }
}

void
vhost_guard_suspect(int vid)
{
    suspect = 1 + vid;
    atomic_signal_fence(memory_order_seq_cst);
}

static void
set_watched(struct watched *w, uintptr_t start, size_t size, atomic_bool *lost)
    OVS_REQUIRES(watched_mutex)
{
    unsigned int version;

    atomic_read_relaxed(&w->version, &version);
    atomic_store_relaxed(&w->version, version + 1);
    /* The fence, and the release below, pair with contains(). */
    atomic_thread_fence(memory_order_release);
    atomic_store_relaxed(&w->start, start);
    atomic_store_relaxed(&w->size, size);
    atomic_store_relaxed(&w->lost, lost);
    atomic_store_explicit(&w->version, version + 2, memory_order_release);
}

/* Forgets what is watched among the 'size' bytes at 'start', where there is a
 * new mapping: it is gone. */
static void
forget_overlapping(uintptr_t start, size_t size)
    OVS_REQUIRES(watched_mutex)
{
    unsigned int end;

    atomic_read_relaxed(&watched_end, &end);
    for (unsigned int i = 0; i < end; i++) {
        uintptr_t other;
        size_t other_size;

        atomic_read_relaxed(&watched[i].size, &other_size);
        atomic_read_relaxed(&watched[i].start, &other);
        if (other_size && (other - start < size
                           || start - other < other_size)) {
            set_watched(&watched[i], 0, 0, NULL);
            remove_placed(other, other_size);
        }
    }
}

/* From now on until vhost_guard_unwatch(), sets '*lost' if an access to the
 * 'size' bytes at 'start' fails.  No thread may access them afterwards.
 * Returns false if too many mappings are watched already. */
bool
vhost_guard_watch(void *start, size_t size, atomic_bool *lost)
{
    unsigned int i, end;

    ovs_mutex_lock(&watched_mutex);
    forget_overlapping((uintptr_t) start, size);
    atomic_read_relaxed(&watched_end, &end);
    for (i = 0; i < MAX_WATCHED; i++) {
        size_t other;

        atomic_read_relaxed(&watched[i].size, &other);
        if (!other) {
            set_watched(&watched[i], (uintptr_t) start, size, lost);
            atomic_store_explicit(&watched_end, MAX(end, i + 1),
                                  memory_order_release);
            break;
        }
    }
    ovs_mutex_unlock(&watched_mutex);
    return i < MAX_WATCHED;
}

/* Ends vhost_guard_watch() for the mapping that was at 'start' and whose loss
 * sets '*lost'. */
void
vhost_guard_unwatch(void *start, atomic_bool *lost)
{
    unsigned int end;

    ovs_mutex_lock(&watched_mutex);
    atomic_read_relaxed(&watched_end, &end);
    for (unsigned int i = 0; i < end; i++) {
        atomic_bool *other_lost;
        uintptr_t other;
        size_t size;

        atomic_read_relaxed(&watched[i].size, &size);
        atomic_read_relaxed(&watched[i].start, &other);
        atomic_read_relaxed(&watched[i].lost, &other_lost);
        if (size && other == (uintptr_t) start && other_lost == lost) {
            set_watched(&watched[i], 0, 0, NULL);
            remove_placed(other, size);
            break;
        }
    }
    ovs_mutex_unlock(&watched_mutex);
}

/* Is 'fd' a file of tmpfs or hugetlbfs?  System calls for a file in another
 * file system might block, or return whatever that file system's owner
 * likes. */
bool
vhost_guard_is_memory(int fd)
{
    struct statfs fs;
    struct stat file;

    return (!fstatfs(fd, &fs)
            && (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC)
            && !fstat(fd, &file) && S_ISREG(file.st_mode));
}

/* Makes writing to 'fd', which is to notify the guest, return at once.
 * Returns false if that is impossible, because it is not an eventfd. */
bool
vhost_guard_callfd(int fd)
{
    char path[64], target[64];
    int flags, n;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    n = readlink(path, target, sizeof target - 1);
    target[MAX(n, 0)] = '\0';
    flags = fcntl(fd, F_GETFL);
    if (strcmp(target, "anon_inode:[eventfd]")
        || (!(flags & O_NONBLOCK)
            && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)) {
        VLOG_WARN_RL(&rl, "the guest's side offers %s for notifications; "
                     "it gets none (an eventfd was expected)", target);
        return false;
    }
    return true;
}
