/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "test-vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "dp-packet.h"
#include "fatal-signal.h"
#include "netdev-provider.h"
#include "netdev-vhost.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "packets.h"
#include "smap.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-mempool.h"

static struct vhost_test *tests;
static struct vhost_test **last_test = &tests;

void
register_test(struct vhost_test *test)
{
    *last_test = test;
    last_test = &test->next;
}

static const struct vhost_test *
find_test(const char *name)
{
    for (const struct vhost_test *test = tests; test; test = test->next) {
        size_t len = strcspn(test->name, " ");

        if (len == strlen(name) && !memcmp(test->name, name, len)) {
            return test;
        }
    }
    ovs_fatal(0, "there is no test \"%s\"", name);
}

static void
list_tests(void)
{
    for (const struct vhost_test *test = tests; test; test = test->next) {
        printf("%s\t%s\t%s\n", test->name, test->title ? test->title : "",
               test->flags & TEST_PARALLEL ? "parallel" : "");
    }
}

/* DPDK without hugepages, PCI devices, privileges, or files. */
static void
start_dpdk(void)
{
    char *core = xasprintf("0@%d", sched_getcpu());
    char *argv[] = {
        CONST_CAST(char *, program_name), "--no-huge", "--no-pci",
        "--no-shconf", "--no-telemetry", "-m", "1024", "--lcores", core,
        "--log-level=lib.eal:error", "--log-level=lib.mempool:emerg", NULL,
    };
    cpu_set_t cpus;

    /* EAL binds the calling thread to a CPU, which other threads would
     * inherit, and makes a directory although nothing is put there. */
    pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus);
    setenv("RUNTIME_DIRECTORY", path_of(""), 1);
    if (rte_eal_init(ARRAY_SIZE(argv) - 1, argv) < 0) {
        ovs_fatal(0, "cannot start DPDK: %s", rte_strerror(rte_errno));
    }
    pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
    free(core);
}

/* Called by the leak sanitizer, if there is one: what Open vSwitch leaves
 * allocated. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
    return "leak:syslog_libc_open\n";
}

/* The stub of librte_vhost has packets, but no rings. */
static void
use_library_data_path(void)
{
    CONST_CAST(struct vhost_config *, vhost_config())->library_data_path
        = true;
}

int
main(int argc, char *argv[])
{
    const struct vhost_test *test;

    set_program_name(argv[0]);
    if (argc < 2) {
        ovs_fatal(0, "usage: %s --list | TEST [ARGUMENT...]", program_name);
    }
    if (!strcmp(argv[1], "--list")) {
        list_tests();
        return 0;
    }
    setenv("OVS_RUNDIR", path_of(""), 1);
    vlog_set_levels(NULL, VLF_FILE, VLL_DBG);
    vlog_set_log_file("test-vhost.log");
    forget_log();

    /* A test that hangs is one that fails.  Open vSwitch would only note the
     * signal, for the next time that a thread blocks.  Valgrind is slow. */
    fatal_signal_init();
    signal(SIGALRM, SIG_DFL);
    alarm(getenv("VALGRIND") ? 3600 : 120);

    /* As the switch's main thread. */
    ovsrcu_quiesce_end();

    test = find_test(argv[1]);
    use_library_data_path();
    if (test->flags & TEST_DPDK) {
        start_dpdk();
    }
    test->run(argc - 1, argv + 1);
    ovsrcu_exit();
    return 0;
}

/* Checks. */

static void OVS_NO_RETURN
failed(void)
{
    fflush(stdout);
    fflush(stderr);
    _exit(EXIT_FAILURE);
}

void
check(bool ok, const char *where, const char *condition)
{
    if (!ok) {
        fprintf(stderr, "%s: this is not so: %s\n", where, condition);
        failed();
    }
}

void
check_int(long long int found, long long int expected, const char *where,
          const char *what)
{
    if (found != expected) {
        fprintf(stderr, "%s: %s is %lld, not %lld\n", where, what, found,
                expected);
        failed();
    }
}

void
check_str(const char *found, const char *expected, const char *where,
          const char *what)
{
    if (!nullable_string_is_equal(found, expected)) {
        fprintf(stderr, "%s: %s is \"%s\", not \"%s\"\n", where, what,
                found ? found : "(null)", expected ? expected : "(null)");
        failed();
    }
}

void
check_has(const char *found, const char *part, const char *where,
          const char *what)
{
    if (!found || !strstr(found, part)) {
        fprintf(stderr, "%s: %s has no \"%s\", but is \"%s\"\n", where, what,
                part, found ? found : "(null)");
        failed();
    }
}

/* The log. */

static off_t log_start;

/* Returns what was logged since the last forget_log().  The string lasts until
 * the next call. */
const char *
read_log(void)
{
    static char log[65536];
    int fd = open("test-vhost.log", O_RDONLY);
    ssize_t n = pread(fd, log, sizeof log - 1, log_start);

    ovs_assert(n >= 0);
    log[n] = '\0';
    close(fd);
    return log;
}

void
forget_log(void)
{
    int fd = open("test-vhost.log", O_RDONLY);

    log_start = lseek(fd, 0, SEEK_END);
    close(fd);
}

const char *
path_of(const char *name)
{
    static __thread char paths[8][256];
    static __thread unsigned int i;
    char *path = paths[i++ % ARRAY_SIZE(paths)];

    /* The real name of the directory may be too long for a socket. */
    snprintf(path, sizeof paths[0], "/proc/self/cwd%s%s", *name ? "/" : "",
             name);
    return path;
}

/* Configuration. */

static void
add_pairs(struct smap *smap, const char *key, va_list args)
{
    smap_init(smap);
    for (; key; key = va_arg(args, const char *)) {
        smap_add(smap, key, va_arg(args, const char *));
    }
}

void
init_config(const char *key, ...)
{
    struct smap smap;
    va_list args;

    va_start(args, key);
    add_pairs(&smap, key, args);
    va_end(args);
    vhost_config_init(&smap);
    smap_destroy(&smap);
    use_library_data_path();
}

bool
update_config(const char *key, ...)
{
    struct smap smap;
    bool changed;
    va_list args;

    va_start(args, key);
    add_pairs(&smap, key, args);
    va_end(args);
    changed = vhost_config_update(&smap);
    smap_destroy(&smap);
    return changed;
}

/* Sets the 'options' of an Interface. */
int
set_options(struct netdev *netdev, char **errp, const char *key, ...)
{
    struct smap smap;
    va_list args;
    int error;

    va_start(args, key);
    add_pairs(&smap, key, args);
    va_end(args);
    *errp = NULL;
    error = netdev_set_config(netdev, &smap, errp);
    smap_destroy(&smap);
    return error;
}

/* Returns 'key' of the status of 'netdev', or NULL.  The string lasts until
 * the next call. */
char *
status_of(const struct netdev *netdev, const char *key)
{
    static char *value;
    struct smap status;

    free(value);
    smap_init(&status);
    CHECK_INT(netdev_get_status(netdev, &status), 0);
    value = nullable_xstrdup(smap_get(&status, key));
    smap_destroy(&status);
    return value;
}

/* Returns custom statistic 'name' of 'netdev', or -1. */
long long int
counter_of(const struct netdev *netdev, const char *name)
{
    struct netdev_custom_stats stats;
    long long int value = -1;

    CHECK_INT(netdev_get_custom_stats(netdev, &stats), 0);
    for (int i = 0; i < stats.size; i++) {
        if (!strcmp(stats.counters[i].name, name)) {
            value = stats.counters[i].value;
        }
    }
    netdev_free_custom_stats_counters(&stats);
    return value;
}

/* Ports. */

struct netdev *
open_port(const char *name, const char *type)
{
    static bool registered;
    struct netdev *netdev;

    if (!registered) {
        netdev_vhost_register();
        registered = true;
    }
    CHECK_INT(netdev_open(name, type, &netdev), 0);
    return netdev;
}

/* Opens client port 'name' on 'path' and configures it. */
struct netdev *
open_client(const char *name, const char *path)
{
    struct netdev *netdev = open_port(name, "dpdkvhostuserclient");
    char *error;

    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path, NULL),
              0);
    CHECK(reconfigure(netdev));
    return netdev;
}

/* Reconfigures 'netdev', as the datapath does, if it asked for it, and returns
 * whether it did. */
bool
reconfigure(struct netdev *netdev)
{
    if (!netdev_is_reconf_required(netdev)) {
        return false;
    }
    CHECK_INT(netdev_reconfigure(netdev), 0);
    return true;
}

void
pass_time(int ms)
{
    stub_memory.time_offset += ms;
    netdev_run();
}

void
check_mempools(unsigned int n)
{
    /* Mempools are freed when all threads have quiesced since. */
    for (int i = 0; i < 5000 && (i < 4 || stub_memory.n_pools != n); i++) {
        vhost_mempool_run();
        ovsrcu_quiesce();
        xnanosleep(1000 * 1000);
    }
    CHECK_INT(stub_memory.n_pools, n);
}

void
check_sessions_closed(void)
{
    /* Devices are freed when all threads have quiesced. */
    for (int i = 0; i < 5000 && atomic_count_get(&stub_memory.n_blocks); i++) {
        ovsrcu_quiesce();
        xnanosleep(1000 * 1000);
    }
    CHECK_INT(atomic_count_get(&stub_memory.n_blocks), 0);
    CHECK_INT(stub_vhost.n_sockets, 0);
    CHECK_INT(stub_vhost.n_thread_ends, 0);
    CHECK_INT(stub_vhost.n_late_calls, 0);
}

/* Returns a packet of 'size' bytes that is not DPDK's. */
struct dp_packet *
make_packet(size_t size)
{
    struct dp_packet *packet = dp_packet_new(size);
    uint8_t *data = dp_packet_put_uninit(packet, size);

    for (size_t i = 0; i < size; i++) {
        data[i] = i * 7 + (i >> 8);
    }
    pkt_metadata_init(&packet->md, 0);
    return packet;
}

void
request_offloads(struct dp_packet *packet, uint64_t flags)
{
    struct ip_header *ip = dp_packet_l3(packet);

    if (ip) {
        ip->ip_ihl_ver = IP_IHL_VER(IP_IHL(ip->ip_ihl_ver),
                                    flags & RTE_MBUF_F_TX_IPV6 ? 6 : 4);
    }
    packet->mbuf.ol_flags |= flags;
#if OVS_SINCE(3, 6)
    if (flags & RTE_MBUF_F_TX_TCP_SEG) {
        packet->mbuf.ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
        if (!dp_packet_get_tso_segsz(packet)) {
            dp_packet_set_tso_segsz(packet, UINT16_MAX);
        }
    }
    if (flags & RTE_MBUF_F_TX_IP_CKSUM) {
        dp_packet_ip_checksum_set_partial(packet);
    }
    vhost_request_to_packet(packet);
#endif
}

/* Returns how often a guest's memory is mapped. */
unsigned int
count_mappings(void)
{
    FILE *stream = fopen("/proc/self/maps", "r");
    unsigned int n = 0;
    char line[512];

    CHECK(stream);
    while (fgets(line, sizeof line, stream)) {
        n += strstr(line, "memfd:guest") != NULL;
    }
    fclose(stream);
    return n;
}
