/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-show.h"

#include <inttypes.h>
#include <string.h>

#include <rte_mempool.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "unixctl.h"
#include "util.h"
#include "vhost-advice.h"
#include "vhost-compat.h"
#include "vhost-device.h"
#include "vhost-features.h"
#include "vhost-mempool.h"
#include "vhost-placement.h"
#include "vhost-port.h"
#include "vhost-ports.h"
#include "vhost-session.h"
#include "vhost-tally.h"

static unixctl_cb_func show_cb;
static void add_port(struct vhost_port *, void *ports);
static struct json *port_to_json(const struct vhost_port *,
                                 const struct vhost_placement *);

void
vhost_show_register(void)
{
    unixctl_command_register("netdev-vhost/show", "[--json] [port]", 0, 2,
                             show_cb, NULL);
}

static void
show_cb(struct unixctl_conn *conn, int argc, const char *argv[],
        void *aux OVS_UNUSED)
{
    bool as_json = argc > 1 && !strcmp(argv[1], "--json");
    const char *name = argc > 1 + as_json ? argv[1 + as_json] : NULL;
    struct json *reply = json_object_create();
    struct json *ports = json_array_create_empty();
    struct ds text = DS_EMPTY_INITIALIZER;
    size_t n;

    json_object_put(reply, "ports", ports);
    if (argc > 2 + as_json) {
        unixctl_command_reply_error(conn, "expected: [--json] [port]");
        goto out;
    }
    vhost_ports_for_each(name, add_port, ports);
    n = json_array_size(ports);
    if (name && !n) {
        ds_put_format(&text, "%s is not a vhost-user port", name);
        unixctl_command_reply_error(conn, ds_cstr(&text));
        goto out;
    }
    if (as_json) {
        json_to_ds(reply, JSSF_SORT, &text);
    }
    for (size_t i = 0; !as_json && i < n; i++) {
        ds_put_cstr(&text, i ? "\n" : "");
        vhost_show_text(json_array_at(ports, i), &text);
    }
    unixctl_command_reply(conn, ds_cstr(&text));

out:
    json_destroy(reply);
    ds_destroy(&text);
}

/* Adds 'port' to array 'ports'. */
static void
add_port(struct vhost_port *port, void *ports)
    OVS_REQUIRES(port->mutex)
{
    json_array_add(ports, vhost_show_to_json(port));
}

/* Returns the facts of 'port', which the caller must destroy. */
struct json *
vhost_show_to_json(struct vhost_port *port)
{
    struct vhost_placement placement;
    struct json *json;

    if (!vhost_port_init_placement(port, &placement)) {
        return port_to_json(port, NULL);
    }
    json = port_to_json(port, &placement);
    vhost_placement_destroy(&placement);
    return json;
}

/* Does transmit virtqueue 'vring' of 'device' serve the switch's transmit
 * queue 'txq'? */
static bool
serves(const struct vhost_device *device, uint16_t vring, int txq)
{
    int target;

    atomic_read_relaxed(&CONST_CAST(struct vhost_device *,
                                    device)->txq_map[txq], &target);
    return target == vring / 2;
}

static uint64_t
get_protocol_features(const struct vhost_device *device)
{
    uint64_t features;

    atomic_read_relaxed(&CONST_CAST(struct vhost_device *,
                                    device)->protocol_features, &features);
    return features;
}

/* Returns what identifies the guest: its memory is one or more files of its
 * own.  The caller must free the string. */
static char *
format_guest(const struct vhost_placement *p)
{
    const struct vhost_guest_region *region = &p->memory.regions[0];

    return (p->memory.n_regions
            ? xasprintf("%ju:%ju", (uintmax_t) region->device,
                        (uintmax_t) region->inode)
            : xstrdup(p->port));
}

static struct json *
number_or_null(int64_t value)
{
    return value >= 0 ? json_integer_create(value) : json_null_create();
}

static struct json *
string_or_null(const char *s)
{
    return s ? json_string_create(s) : json_null_create();
}

static struct json *
features_to_json(uint64_t bits, const char *const names[VHOST_N_FEATURES])
{
    struct json *json = json_object_create();
    struct json *array = json_array_create_empty();

    for (int i = 0; i < VHOST_N_FEATURES; i++) {
        if (bits & UINT64_C(1) << i) {
            json_array_add(array, json_string_create_nocopy(
                names[i] ? xstrdup(names[i]) : xasprintf("bit_%d", i)));
        }
    }
    json_object_put_format(json, "bits", "0x%016"PRIx64, bits);
    json_object_put(json, "names", array);
    return json;
}

static struct json *
region_to_json(const struct vhost_guest_region *region,
               const struct vhost_numa_census *census)
{
    struct json *json = json_object_create();
    struct json *pages = json_array_create_empty();

    for (int node = 0; node < VHOST_MAX_NODES; node++) {
        if (census->n_pages[node]) {
            struct json *element = json_object_create();

            json_object_put(element, "node", json_integer_create(node));
            json_object_put(element, "n",
                            json_integer_create(census->n_pages[node]));
            json_array_add(pages, element);
        }
    }
    json_object_put(json, "address",
                    json_integer_create(region->guest_address));
    json_object_put(json, "size", json_integer_create(region->size));
    json_object_put(json, "page_size", (census->page_size
                                        ? json_integer_create(
                                            census->page_size)
                                        : json_null_create()));
    json_object_put(json, "sampled", json_integer_create(census->n_asked));
    json_object_put(json, "pages", pages);
    return json;
}

static struct json *
queue_to_json(const struct vhost_port *port, const struct vhost_device *device,
              const struct vhost_queue_placement *qp)
{
    struct json *json = json_object_create();
    bool is_rx = qp->vring & 1;
    struct vhost_rate rate;
    bool has_rate;

    json_object_put(json, "vring", json_integer_create(qp->vring));
    json_object_put_string(json, "direction", is_rx ? "rx" : "tx");
    json_object_put(json, "queue", json_integer_create(qp->vring / 2));
    json_object_put(json, "enabled", json_boolean_create(qp->enabled));
    json_object_put(json, "size", json_integer_create(qp->size));
    json_object_put(json, "fill", number_or_null(qp->fill));
    has_rate = vhost_tally_get_rate(vhost_session_tally(port->session),
                                    qp->vring, &rate);
    json_object_put(json, "packets_per_second",
                    number_or_null(has_rate ? rate.packets : -1));
    json_object_put(json, "bits_per_second",
                    number_or_null(has_rate ? rate.bits : -1));
    json_object_put(json, "node", number_or_null(qp->node));
    if (is_rx) {
        json_object_put(json, "cpu", number_or_null(qp->cpu));
        json_object_put(json, "cpu_node", number_or_null(qp->cpu_node));
    } else {
        struct json *array = json_array_create_empty();

        for (int i = 0; i < port->up.n_txq; i++) {
            if (serves(device, qp->vring, i)) {
                json_array_add(array, json_integer_create(i));
            }
        }
        json_object_put(json, "serves", array);
    }
    return json;
}

static struct json *
zero_copy_to_json(const struct vhost_port *port)
{
    struct vhost_port_zero_copy zc;
    struct json *json;

    if (!vhost_port_get_zero_copy(port, &zc)) {
        return json_null_create();
    }
    json = json_object_create();
    json_object_put(json, "obstacle", string_or_null(zc.obstacle));
    json_object_put(json, "packets", json_integer_create(zc.n_out));
    json_object_put(json, "pinned_packets", json_integer_create(zc.n_pinned));
    json_object_put(json, "pinned_bytes",
                    json_integer_create(zc.pinned_size));
    return json;
}

static struct json *
pool_to_json(const struct vhost_mempool *pool)
{
    struct json *json;

    if (!pool) {
        return json_null_create();
    }
    json = json_object_create();
    json_object_put_string(json, "name", pool->mp->name);
    json_object_put(json, "node", json_integer_create(pool->node));
    json_object_put(json, "size", json_integer_create(pool->n_mbufs));
    json_object_put(json, "in_use", json_integer_create(
                        rte_mempool_in_use_count(pool->mp)));
    json_object_put(json, "users", json_integer_create(pool->n_users));
    return json;
}

static struct json *
placement_to_json(const struct vhost_placement *p)
{
    struct json *json = json_object_create();
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < p->n_remotes; i++) {
        const struct vhost_remote *r = &p->remotes[i];
        struct json *element = json_object_create();

        json_object_put_string(element, "what",
                               vhost_remote_name(r->kind));
        json_object_put_string(element, "text", r->text);
        json_object_put(element, "command", string_or_null(r->command));
        json_object_put(element, "hint", string_or_null(r->hint));
        json_array_add(array, element);
    }
    json_object_put(json, "local", json_boolean_create(!p->n_remotes));
    json_object_put(json, "text",
                    json_string_create_nocopy(vhost_advice_verdict(p)));
    json_object_put(json, "remote", array);
    return json;
}

static void
put_guest(struct json *json, const struct vhost_port *port,
          const struct vhost_device *device, const struct vhost_placement *p)
{
    struct json *memory = json_array_create_empty();
    struct json *queues = json_array_create_empty();

    for (unsigned int i = 0; i < p->memory.n_regions; i++) {
        json_array_add(memory, region_to_json(&p->memory.regions[i],
                                              &p->censuses[i]));
    }
    for (size_t i = 0; i < p->n_queues; i++) {
        json_array_add(queues, queue_to_json(port, device, &p->queues[i]));
    }
    json_object_put_string(json, "data_path", device->datapath->name);
    json_object_put(json, "guest", json_string_create_nocopy(format_guest(p)));
    json_object_put(json, "guest_node", number_or_null(p->node));
    json_object_put(json, "library_node", number_or_null(p->library_node));
    json_object_put(json, "features",
                    features_to_json(device->features, vhost_virtio_features));
    json_object_put(json, "protocol_features",
                    features_to_json(get_protocol_features(device),
                                     vhost_protocol_features));
    json_object_put(json, "memory", memory);
    json_object_put(json, "queues", queues);
    json_object_put(json, "placement", placement_to_json(p));
}

static struct json *
port_to_json(const struct vhost_port *port, const struct vhost_placement *p)
    OVS_REQUIRES(port->mutex)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "name", netdev_get_name(&port->up));
    json_object_put_string(json, "type", netdev_get_type(&port->up));
    json_object_put_string(json, "mode",
                           vhost_port_is_server(port) ? "server" : "client");
    json_object_put(json, "socket", string_or_null(
                        port->session ? vhost_session_path(port->session)
                                      : NULL));
    json_object_put(json, "node", json_integer_create(port->node));
    json_object_put(json, "zero_copy", zero_copy_to_json(port));
    json_object_put(json, "pool", pool_to_json(port->pool));
    json_object_put(json, "connected", json_boolean_create(p != NULL));
    if (p) {
        put_guest(json, port, p->device, p);
    }
    return json;
}
