/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-use.h"

#include <limits.h>
#include <stdio.h>

#include <rte_cycles.h>

#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "test-vhost.h"
#include "util.h"

static struct vhost_use use;

static bool
is_set(atomic_bool *flag)
{
    bool value;

    atomic_read(flag, &value);
    return value;
}

static bool
is_over(void)
{
    vhost_use_order();
    return vhost_use_await(&use, 0);
}

static void
test_marks(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    CHECK(is_set(&vhost_use_fences));
    CHECK(is_over());
    vhost_use_init();
    CHECK(is_over());

    vhost_use_begin(&use);
    CHECK(!is_over());
    vhost_use_end(&use);
    CHECK(is_over());

    /* Looks, one of them during a burst. */
    vhost_use_look(&use);
    CHECK(!is_over());
    vhost_use_look(&use);
    vhost_use_begin(&use);
    vhost_use_unlook(&use);
    CHECK(!is_over());
    vhost_use_end(&use);
    CHECK(!is_over());
    vhost_use_unlook(&use);
    CHECK(is_over());

    /* The number of bursts has no end. */
    atomic_store_relaxed(&use.n_changes, UINT_MAX);
    CHECK(!is_over());
    vhost_use_end(&use);
    CHECK(is_over());
}
VHOST_TEST(test_marks, "use-marks", "use: marks of bursts and looks", 0);

/* The other thread. */
static atomic_bool in_burst, may_end, done;

/* One burst after the other, with hardly any time in between, from the moment
 * that the first, long one may end. */
static void *
burst_on_burst(void *aux OVS_UNUSED)
{
    vhost_use_begin(&use);
    atomic_store(&in_burst, true);
    while (!is_set(&may_end)) {
        continue;
    }
    while (!is_set(&done)) {
        vhost_use_end(&use);
        vhost_use_begin(&use);
        rte_delay_us_block(1);
    }
    vhost_use_end(&use);
    return NULL;
}

static void *
let_end(void *aux OVS_UNUSED)
{
    rte_delay_us_sleep(50 * 1000);
    atomic_store(&may_end, true);
    return NULL;
}

/* A burst is waited for, but not those that begin later, nor a thread that
 * does not quiesce, as these. */
static void
test_await(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    pthread_t user, other;

    vhost_use_init();
    user = ovs_thread_create("user", burst_on_burst, NULL);
    while (!is_set(&in_burst)) {
        continue;
    }
    CHECK(!is_over());
    CHECK(!vhost_use_await(&use, rte_get_tsc_cycles()
                                 + rte_get_tsc_hz() / 100));
    other = ovs_thread_create("other", let_end, NULL);
    CHECK(!ovsrcu_is_quiescent());
    CHECK(vhost_use_await(&use, UINT64_MAX));
    CHECK(is_set(&may_end));
    for (int i = 0; i < 100; i++) {
        vhost_use_order();
        CHECK(vhost_use_await(&use, UINT64_MAX));
    }
    CHECK(!ovsrcu_is_quiescent());
    atomic_store(&done, true);
    xpthread_join(user, NULL);
    xpthread_join(other, NULL);
}
VHOST_TEST(test_await, "use-await", "use: waiting for a burst", TEST_DPDK);

/* Something that is taken away and given back again and again, while a thread
 * uses it and another looks at it.  Both find it whole, or not at all. */
#define N_ROUNDS 20000
static struct resource {
    ATOMIC(unsigned int *) words;       /* 'storage', or NULL. */
    unsigned int storage[2];            /* How often it was used, twice. */
} resource;
static unsigned int n_found, n_looks;

static unsigned int *
find(void)
{
    unsigned int *words;

    atomic_read_explicit(&resource.words, &words, memory_order_acquire);
    return words;
}

/* Stores that keep the next one waiting for its turn. */
static uint8_t memory[1 << 24];

static void
write_far_and_wide(void)
{
    static uint32_t at;

    for (int i = 0; i < 32; i++) {
        at = at * 1664525 + 1013904223;
        __atomic_store_n(&memory[at >> 8], i, __ATOMIC_RELAXED);
    }
}

static void *
use_it(void *aux OVS_UNUSED)
{
    while (!is_set(&done)) {
        volatile unsigned int *words;

        write_far_and_wide();
        vhost_use_begin(&use);
        words = find();
        if (words) {
            for (int i = 0; i < 16; i++) {
                CHECK_INT(words[0], words[1]);
                words[0]++;
                words[1]++;
            }
            n_found += 16;
        }
        vhost_use_end(&use);
    }
    return NULL;
}

static void *
look_at_it(void *aux OVS_UNUSED)
{
    while (!is_set(&done)) {
        const unsigned int *words;

        vhost_use_look(&use);
        words = find();
        if (words) {
            CHECK(*(const volatile unsigned int *) words != UINT_MAX);
            n_looks++;
        }
        vhost_use_unlook(&use);
        rte_delay_us_sleep(1);
    }
    return NULL;
}

/* Argument: with "fences", those take the place of membarrier(). */
static void
test_race(int argc, char *argv[] OVS_UNUSED)
{
    unsigned int n = 0;
    pthread_t user, other;

    vhost_use_init();
    if (argc > 1) {
        atomic_store(&vhost_use_fences, true);
    }
    user = ovs_thread_create("user", use_it, NULL);
    other = ovs_thread_create("other", look_at_it, NULL);
    for (int i = 0; i < N_ROUNDS || !n; i++) {
        resource.storage[0] = resource.storage[1] = n;
        atomic_store_explicit(&resource.words, resource.storage,
                              memory_order_release);
        for (volatile int j = i % 1024; j; j--) {
            continue;
        }
        if (!(i % 256)) {
            rte_delay_us_sleep(50);
        }
        atomic_store_relaxed(&resource.words, NULL);
        vhost_use_order();
        CHECK(vhost_use_await(&use, UINT64_MAX));
        n = resource.storage[0];
        CHECK_INT(resource.storage[1], n);
        resource.storage[0] = UINT_MAX;
        resource.storage[1] = 0;
    }
    atomic_store(&done, true);
    xpthread_join(user, NULL);
    xpthread_join(other, NULL);
    CHECK_INT(n_found, n);
    printf("used %u times, looked at %u times\n", n_found, n_looks);
}
VHOST_TEST(test_race, "use-race", "use: race", TEST_DPDK);
VHOST_TEST(test_race, "use-race fences", "use: race, with fences", TEST_DPDK);
