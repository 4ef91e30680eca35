/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

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

const char vhost_guard_fault[] = "the guest's memory has gone (its file is "
    "too short, or no hugepage was left)";

atomic_bool vhost_guard_lost[RTE_MAX_VHOST_DEVICE];
__thread volatile int vhost_guard_user;

static struct sigaction other_action;
static uintptr_t page_size;

/* Mappings that are watched.  Written with 'watched_mutex' held, read by the
 * signal handler; 'size' is written last, and 0 while the rest changes. */
#define MAX_WATCHED 4096
static struct ovs_mutex watched_mutex = OVS_MUTEX_INITIALIZER;
static struct {
    atomic_size_t size;
    atomic_uintptr_t start;
    ATOMIC(atomic_bool *) lost; /* To be set if it is. */
} watched[MAX_WATCHED];
static atomic_uint watched_end;

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

/* Returns whom to tell that the memory at 'p' is lost, or NULL. */
static atomic_bool *
owner_of(const void *p)
{
    int user = vhost_guard_user;
    unsigned int end;

    atomic_read_relaxed(&watched_end, &end);
    for (unsigned int i = 0; i < end; i++) {
        atomic_bool *lost;
        uintptr_t start;
        size_t size;

        /* Pairs with vhost_guard_watch(). */
        atomic_read_explicit(&watched[i].size, &size, memory_order_acquire);
        atomic_read_relaxed(&watched[i].start, &start);
        atomic_read_relaxed(&watched[i].lost, &lost);
        if ((uintptr_t) p - start < size) {
            return lost;
        }
    }
    return user ? &vhost_guard_lost[user - 1] : NULL;
}

static void
handle_sigbus(int sig, siginfo_t *info, void *context OVS_UNUSED)
{
    atomic_bool *lost = (info->si_code == BUS_ADRERR
                         ? owner_of(info->si_addr) : NULL);
    int error = errno;

    if (lost && replace_page(info->si_addr)) {
        atomic_store_relaxed(lost, true);
    } else {
        /* Not ours: the access is repeated, with the effect it always had. */
        sigaction(sig, &other_action, NULL);
    }
    errno = error;
}

void
vhost_guard_init(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        struct sigaction action = {
            .sa_sigaction = handle_sigbus,
            .sa_flags = SA_SIGINFO | SA_RESTART,
        };

        page_size = sysconf(_SC_PAGESIZE);
        sigemptyset(&action.sa_mask);
        if (sigaction(SIGBUS, &action, &other_action)) {
            VLOG_ERR("cannot guard against guests that shrink their memory "
                     "(%s)", ovs_strerror(errno));
        }
        ovsthread_once_done(&once);
    }
}

/* Has '*lost' set if an access to the 'size' bytes at 'start' fails, until
 * vhost_guard_unwatch() is called, before which nobody may access them any
 * more.  Returns false if too many are watched already. */
bool
vhost_guard_watch(void *start, size_t size, atomic_bool *lost)
{
    unsigned int i, end;

    ovs_mutex_lock(&watched_mutex);
    for (i = 0; i < MAX_WATCHED; i++) {
        size_t other;

        atomic_read_relaxed(&watched[i].size, &other);
        if (!other) {
            atomic_store_relaxed(&watched[i].start, (uintptr_t) start);
            atomic_store_relaxed(&watched[i].lost, lost);
            /* Pairs with owner_of(). */
            atomic_store_explicit(&watched[i].size, size,
                                  memory_order_release);
            atomic_read_relaxed(&watched_end, &end);
            atomic_store_relaxed(&watched_end, MAX(end, i + 1));
            break;
        }
    }
    ovs_mutex_unlock(&watched_mutex);
    return i < MAX_WATCHED;
}

void
vhost_guard_unwatch(void *start)
{
    ovs_mutex_lock(&watched_mutex);
    for (unsigned int i = 0; i < MAX_WATCHED; i++) {
        uintptr_t other;
        size_t size;

        atomic_read_relaxed(&watched[i].size, &size);
        atomic_read_relaxed(&watched[i].start, &other);
        if (size && other == (uintptr_t) start) {
            atomic_store_relaxed(&watched[i].size, 0);
            break;
        }
    }
    ovs_mutex_unlock(&watched_mutex);
}

/* Is 'fd' a file of memory?  Questions about one in another file system might
 * be answered, or not, by whoever runs that. */
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
 * Returns false if that is impossible, because it is no eventfd. */
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
