/* SPDX-License-Identifier: Apache-2.0
 *
 * How long does a cache line take from one core to another and back?
 *
 * usage: ovs-vhost-bench-probe CPU CPU
 *
 * Prints the median round trip in cycles of the time stamp counter, and that
 * counter's frequency in Hz.  It takes both cores from whatever else runs
 * there, if it may.  Otherwise it has to wait for moments in which it has
 * both, for MAX_NS at most. */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_NS 1000000000
#define N_BATCHES 500
#define BATCH 50                /* Round trips for each time stamp. */
#define MAX_TRIP_NS 5000        /* One that takes longer was interrupted. */

enum turn { PING, PONG, END };
static _Alignas(128) atomic_int turn;
static int cpus[2];

static uint64_t
cycles(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t count;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r" (count));
    return count;
#else
#error "no cycle counter for this architecture"
#endif
}

static uint64_t
nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

static void
run_on(int cpu)
{
    struct sched_param first = { .sched_priority = 1 };
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set)) {
        fprintf(stderr, "cannot run on CPU %d\n", cpu);
        exit(1);
    }
    /* Not allowed everywhere. */
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
}

static void *
echo(void *aux)
{
    int now;

    run_on(cpus[1]);
    atomic_store(&turn, PING);
    while ((now = atomic_load(&turn)) != END) {
        if (now == PONG) {
            atomic_store(&turn, PING);
        }
    }
    return aux;
}

static int
compare(const void *a_, const void *b_)
{
    const uint64_t *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

int
main(int argc, char *argv[])
{
    static uint64_t batches[N_BATCHES];
    uint64_t start_ns, start, ns, count;
    pthread_t peer;
    int n = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: %s CPU CPU\n", argv[0]);
        return 2;
    }
    cpus[0] = atoi(argv[1]);
    cpus[1] = atoi(argv[2]);
    atomic_store(&turn, PONG);
    if (cpus[0] == cpus[1] || pthread_create(&peer, NULL, echo, NULL)) {
        fprintf(stderr, "cannot probe CPUs %d and %d\n", cpus[0], cpus[1]);
        return 1;
    }
    run_on(cpus[0]);
    while (atomic_load(&turn) != PING) {
        continue;
    }

    start_ns = nanoseconds();
    start = cycles();
    ns = start_ns;
    do {
        uint64_t before_ns = ns;
        uint64_t before = cycles();

        for (int i = 0; i < BATCH; i++) {
            atomic_store(&turn, PONG);
            while (atomic_load(&turn) != PING) {
                continue;
            }
        }
        batches[n] = cycles() - before;
        ns = nanoseconds();
        n += ns - before_ns < BATCH * MAX_TRIP_NS;
    } while (n < N_BATCHES && ns - start_ns < MAX_NS);
    count = cycles() - start;
    atomic_store(&turn, END);
    pthread_join(peer, NULL);

    if (!n) {
        fprintf(stderr, "CPUs %d and %d have no time for a probe\n", cpus[0],
                cpus[1]);
        return 1;
    }
    qsort(batches, n, sizeof batches[0], compare);
    printf("%.0f %.0f\n", (double) batches[n / 2] / BATCH,
           count * 1e9 / (ns - start_ns));
    return 0;
}
