/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-metrics.h"

#include <inttypes.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "netdev-provider.h"
#include "unixctl.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-port.h"
#include "vhost-ports.h"
#include "vhost-session.h"
#include "vhost-show.h"
#include "vhost-stats.h"
#include "vhost-tally.h"

/* What OpenMetrics calls a type of metrics, with the suffix of its samples'
 * names. */
enum type { COUNTER, GAUGE, INFO };
static const char *const type_names[] = { "counter", "gauge", "info" };
static const char *const suffixes[] = { "_total", "", "_info" };

/* The families, in the order of the output: name after "ovs_vhost_", type,
 * and what it is. */
#define FAMILIES                                                            \
    FAMILY(port, INFO, "A vhost-user port.")                                \
    FAMILY(connected, GAUGE, "1 if a guest is connected and ready.")        \
    FAMILY(local, GAUGE, "1 if all memory and threads of the port are on "  \
           "the guest's NUMA node.")                                        \
    FAMILY(remote, GAUGE, "1 for what is on another NUMA node than the "    \
           "guest.")                                                        \
    FAMILY(node, GAUGE, "NUMA node of a kind of memory, -1 if not known.")  \
    FAMILY(memory_region_bytes, GAUGE, "Size of the guest's memory.")       \
    FAMILY(queue_enabled, GAUGE, "1 if the guest has enabled the "          \
           "virtqueue.")                                                    \
    FAMILY(queue_size, GAUGE, "Descriptors of the virtqueue.")              \
    FAMILY(queue_fill, GAUGE, "Descriptors that wait for the switch.")      \
    FAMILY(queue_cpu, GAUGE, "CPU of the PMD thread that polls the "        \
           "virtqueue.")                                                    \
    FAMILY(packets, COUNTER, "Packets through the virtqueue.")              \
    FAMILY(bytes, COUNTER, "Bytes of these packets.")                       \
    FAMILY(multicast_packets, COUNTER, "Those to multicast addresses.")     \
    FAMILY(broadcast_packets, COUNTER, "Those to the broadcast address.")   \
    FAMILY(sized_packets, COUNTER, "Packets by size in bytes.")             \
    FAMILY(guest_notifications, COUNTER, "Notifications of the guest.")     \
    FAMILY(iotlb_hits, COUNTER, "Translations that were known.")            \
    FAMILY(iotlb_misses, COUNTER, "Translations that the guest's side "     \
           "was asked for.")                                                \
    FAMILY(queue_events, COUNTER, "What else the data path counts.")        \
    FAMILY(dropped_packets, COUNTER, "Packets that were dropped, by "       \
           "reason.")                                                       \
    FAMILY(events, COUNTER, "What else happened on the port.")              \
    FAMILY(mempool_mbufs, GAUGE, "Size of the port's mempool.")             \
    FAMILY(mempool_mbufs_in_use, GAUGE, "Mbufs that are not in the "        \
           "mempool.")                                                      \
    FAMILY(zero_copy_packets, GAUGE, "Packets in guest memory that the "    \
           "switch holds.")                                                 \
    FAMILY(zero_copy_pinned_bytes, GAUGE, "Memory of guests that have "     \
           "left, but whose packets have not.")

enum family {
#define FAMILY(NAME, TYPE, HELP) M_##NAME,
    FAMILIES
#undef FAMILY
    N_FAMILIES
};

static const struct {
    const char *name;
    enum type type;
    const char *help;
} families[] = {
#define FAMILY(NAME, TYPE, HELP) { "ovs_vhost_" #NAME, TYPE, HELP },
    FAMILIES
#undef FAMILY
};

/* Samples of each family, as text: those of a family must follow each other,
 * while the ports are looked at one by one. */
struct metrics {
    struct ds samples[N_FAMILIES];
    size_t n_ports;
};

static unixctl_cb_func metrics_cb;
static void add_port(struct vhost_port *, void *metrics);

void
vhost_metrics_register(void)
{
    unixctl_command_register("netdev-vhost/metrics", "[port]", 0, 1,
                             metrics_cb, NULL);
}

const char *
vhost_metrics_family(size_t i)
{
    return i < N_FAMILIES ? families[i].name : NULL;
}

static void
metrics_cb(struct unixctl_conn *conn, int argc, const char *argv[],
           void *aux OVS_UNUSED)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    struct ds reply = DS_EMPTY_INITIALIZER;
    struct metrics metrics = { .n_ports = 0 };

    for (int i = 0; i < N_FAMILIES; i++) {
        ds_init(&metrics.samples[i]);
    }
    vhost_ports_for_each(name, add_port, &metrics);
    for (int i = 0; i < N_FAMILIES; i++) {
        if (metrics.samples[i].length) {
            ds_put_format(&reply, "# TYPE %s %s\n# HELP %s %s\n%s",
                          families[i].name, type_names[families[i].type],
                          families[i].name, families[i].help,
                          ds_cstr(&metrics.samples[i]));
        }
        ds_destroy(&metrics.samples[i]);
    }
    ds_put_cstr(&reply, "# EOF\n");
    if (name && !metrics.n_ports) {
        ds_clear(&reply);
        ds_put_format(&reply, "%s is not a vhost-user port", name);
        unixctl_command_reply_error(conn, ds_cstr(&reply));
    } else {
        unixctl_command_reply(conn, ds_cstr(&reply));
    }
    ds_destroy(&reply);
}

/* Appends LABEL="value" to 's', with a comma unless it is the first one. */
static void
put_label(struct ds *s, const char *label, const char *value)
{
    ds_put_format(s, "%s%s=\"", s->length ? "," : "", label);
    for (; *value; value++) {
        if (*value == '\n') {
            ds_put_cstr(s, "\\n");
            continue;
        }
        if (*value == '"' || *value == '\\') {
            ds_put_char(s, '\\');
        }
        ds_put_char(s, *value);
    }
    ds_put_char(s, '"');
}

/* Adds a sample with 'labels' and, unless it is null, LABEL="extra". */
static void
put(struct metrics *m, enum family family, const struct ds *labels,
    const char *label, const char *extra, int64_t value)
{
    struct ds all = DS_EMPTY_INITIALIZER;

    ds_put_buffer(&all, labels->string, labels->length);
    if (label) {
        put_label(&all, label, extra);
    }
    ds_put_format(&m->samples[family], "%s%s{%s} %"PRId64"\n",
                  families[family].name, suffixes[families[family].type],
                  ds_cstr(&all), value);
    ds_destroy(&all);
}

/* The labels of a port, or of one of its virtqueues. */
static void
init_labels(struct ds *labels, const char *port, int vring)
{
    ds_init(labels);
    put_label(labels, "port", port);
    if (vring >= 0) {
        ds_put_format(labels, ",queue=\"%d\"", vring / 2);
        put_label(labels, "direction", vring & 1 ? "rx" : "tx");
    }
}

/* A member of 'object', or NULL if it is null or not there. */
static const struct json *
get(const struct json *object, const char *name)
{
    const struct json *member = shash_find_data(json_object(object), name);

    return member && member->type != JSON_NULL ? member : NULL;
}

static int64_t
get_number(const struct json *object, const char *name)
{
    const struct json *member = get(object, name);

    return member ? json_integer(member) : -1;
}

static bool
is_true(const struct json *object, const char *name)
{
    return get(object, name)->type == JSON_TRUE;
}

static void
put_queue(struct metrics *m, const char *port, const struct json *queue)
{
    struct ds labels;

    init_labels(&labels, port, get_number(queue, "vring"));
    put(m, M_queue_enabled, &labels, NULL, NULL, is_true(queue, "enabled"));
    put(m, M_queue_size, &labels, NULL, NULL, get_number(queue, "size"));
    if (get(queue, "fill")) {
        put(m, M_queue_fill, &labels, NULL, NULL, get_number(queue, "fill"));
    }
    if (get(queue, "cpu")) {
        put(m, M_queue_cpu, &labels, NULL, NULL, get_number(queue, "cpu"));
    }
    ds_destroy(&labels);
}

/* What there is only with a guest. */
static void
put_guest(struct metrics *m, const struct ds *labels, const char *port,
          const struct json *json)
{
    const struct json *placement = get(json, "placement");
    const struct json *array;
    int64_t size = 0;

    put(m, M_local, labels, NULL, NULL, is_true(placement, "local"));
    array = get(placement, "remote");
    for (size_t i = 0; i < json_array_size(array); i++) {
        put(m, M_remote, labels, "what",
            json_string(get(json_array_at(array, i), "what")), 1);
    }
    put(m, M_node, labels, "memory", "guest", get_number(json, "guest_node"));
    put(m, M_node, labels, "memory", "library",
        get_number(json, "library_node"));
    array = get(json, "memory");
    for (size_t i = 0; i < json_array_size(array); i++) {
        size += get_number(json_array_at(array, i), "size");
    }
    if (json_array_size(array)) {
        put(m, M_memory_region_bytes, labels, NULL, NULL, size);
    }
    array = get(json, "queues");
    for (size_t i = 0; i < json_array_size(array); i++) {
        put_queue(m, port, json_array_at(array, i));
    }
}

static void
put_facts(struct metrics *m, const char *port, const struct json *json)
{
    static const char *const info[] = { "type", "mode", "socket", "data_path",
                                        "guest" };
    const struct json *pool = get(json, "pool");
    const struct json *zero_copy = get(json, "zero_copy");
    struct ds labels, more;

    init_labels(&labels, port, -1);
    init_labels(&more, port, -1);
    for (size_t i = 0; i < ARRAY_SIZE(info); i++) {
        const struct json *member = get(json, info[i]);

        if (member) {
            put_label(&more, info[i], json_string(member));
        }
    }
    put(m, M_port, &more, NULL, NULL, 1);
    put(m, M_connected, &labels, NULL, NULL, is_true(json, "connected"));
    put(m, M_node, &labels, "memory", "mbufs", get_number(json, "node"));
    if (pool) {
        put(m, M_mempool_mbufs, &labels, "pool",
            json_string(get(pool, "name")), get_number(pool, "size"));
        put(m, M_mempool_mbufs_in_use, &labels, "pool",
            json_string(get(pool, "name")), get_number(pool, "in_use"));
    }
    if (zero_copy) {
        put(m, M_zero_copy_packets, &labels, NULL, NULL,
            get_number(zero_copy, "packets"));
        put(m, M_zero_copy_pinned_bytes, &labels, NULL, NULL,
            get_number(zero_copy, "pinned_bytes"));
    }
    if (is_true(json, "connected")) {
        put_guest(m, &labels, port, json);
    }
    ds_destroy(&labels);
    ds_destroy(&more);
}

/* Counter 'name' of a port, after its direction: those whose names end in
 * "_drops" tell a reason, others what happened. */
static void
put_port_counter(struct metrics *m, const char *port, const char *name,
                 uint64_t value)
{
    static const char drops[] = "_drops";
    char *what = xstrdup(name + 3);
    size_t len = strlen(what), drops_len = strlen(drops);
    bool is_drop = len > drops_len && !strcmp(what + len - drops_len, drops);
    struct ds labels;

    if (is_drop) {
        what[len - drops_len] = '\0';
    }
    init_labels(&labels, port, -1);
    put_label(&labels, "direction", name[0] == 'r' ? "rx" : "tx");
    put(m, is_drop ? M_dropped_packets : M_events, &labels,
        is_drop ? "reason" : "event", what, value);
    ds_destroy(&labels);
    free(what);
}

/* Counter 'name' of a virtqueue. */
static void
put_vring_counter(struct metrics *m, const struct ds *labels, const char *name,
                  uint64_t value)
{
    static const struct {
        const char *name;
        enum family family;
        const char *size;
    } known[] = {
        { "good_packets", M_packets, NULL },
        { "good_bytes", M_bytes, NULL },
        { "multicast_packets", M_multicast_packets, NULL },
        { "broadcast_packets", M_broadcast_packets, NULL },
        { "undersize_packets", M_sized_packets, "0-63" },
        { "size_64_packets", M_sized_packets, "64" },
        { "size_65_127_packets", M_sized_packets, "65-127" },
        { "size_128_255_packets", M_sized_packets, "128-255" },
        { "size_256_511_packets", M_sized_packets, "256-511" },
        { "size_512_1023_packets", M_sized_packets, "512-1023" },
        { "size_1024_1518_packets", M_sized_packets, "1024-1518" },
        { "size_1519_max_packets", M_sized_packets, "1519-" },
        { "guest_notifications", M_guest_notifications, NULL },
        { "iotlb_hits", M_iotlb_hits, NULL },
        { "iotlb_misses", M_iotlb_misses, NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (!strcmp(name, known[i].name)) {
            put(m, known[i].family, labels, known[i].size ? "size" : NULL,
                known[i].size, value);
            return;
        }
    }
    put(m, M_queue_events, labels, "event", name, value);
}

static void
put_counter(struct metrics *m, const char *port,
            const struct netdev_custom_counter *counter)
{
    unsigned int queue;
    char direction[3];
    int len;

    if (!strncmp(counter->name, "ovs_", 4)) {
        put_port_counter(m, port, counter->name + 4, counter->value);
    } else if (ovs_scan(counter->name, "%2[rtx]_q%u_%n", direction, &queue,
                        &len)) {
        struct ds labels;

        init_labels(&labels, port, 2 * queue + (direction[0] == 'r'));
        put_vring_counter(m, &labels, counter->name + len, counter->value);
        ds_destroy(&labels);
    }
}

static void
add_port(struct vhost_port *port, void *metrics)
    OVS_REQUIRES(port->mutex)
{
    struct netdev_custom_stats custom = { .counters = NULL };
    const char *name = netdev_get_name(&port->up);
    struct json *json = vhost_show_to_json(port);
    struct metrics *m = metrics;

    m->n_ports++;
    put_facts(m, name, json);
    json_destroy(json);

    vhost_stats_add_counters(&port->counters, &custom);
    if (port->session) {
        vhost_tally_add_vrings(vhost_session_tally(port->session), &custom);
    }
    for (size_t i = 0; i < custom.size; i++) {
        put_counter(m, name, &custom.counters[i]);
    }
    free(custom.counters);
}
