/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-qos.h"

#include <errno.h>

#include <rte_mbuf.h>
#include <rte_meter.h>

#include "dp-packet.h"
#include "hash.h"
#include "netdev-provider.h"
#include "openvswitch/hmap.h"
#include "ovs-rcu.h"
#include "smap.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"
#include "vhost-bucket.h"
#include "vhost-meter.h"
#include "vhost-policer.h"

/* Rates are in bytes per second, burst sizes in bytes. */
struct qos_params {
    uint64_t cir, cbs;          /* Committed. */
    uint64_t eir, ebs;          /* Excess, "trtcm-policer" only. */
};

/* A two-rate meter (RFC 4115) and what passed it. */
struct trtcm {
    struct qos_params params;
    struct vhost_bucket committed, excess;
    struct netdev_queue_stats stats;
};

/* A QoS queue.  The skb_priority of a packet chooses it; queue 0 takes the
 * packets that no other takes. */
struct qos_queue {
    struct hmap_node hmap_node; /* In struct vhost_qos's 'queues'. */
    uint32_t id;
    struct trtcm trtcm;
};

struct vhost_qos {
    const struct qos_type *type;
    struct qos_params params;

    struct vhost_policer *policer;      /* "egress-policer". */

    /* "trtcm-policer".  Guarded by the lock of 'meter'. */
    struct vhost_meter meter;
    struct trtcm port;
    struct hmap queues;                 /* Contains struct qos_queue. */
};

struct qos_type {
    const char *name;
    bool has_queues;
    int (*init)(struct vhost_qos *);
    uint16_t (*run)(struct vhost_qos *, struct rte_mbuf **, uint16_t n);
};

static const struct qos_type egress_policer, trtcm_policer;
static const struct qos_type *const qos_types[] = {
    &egress_policer,
    &trtcm_policer,
    NULL,
};

static const struct qos_type *find_type(const char *name);
static void parse_params(const struct qos_type *, const struct smap *,
                         struct qos_params *);
static void format_params(const struct qos_type *, const struct qos_params *,
                          struct smap *);
static int trtcm_init(struct trtcm *, const struct qos_params *);
static struct qos_queue *find_queue(const struct vhost_qos *, uint32_t id);

/* Adds the names of all QoS types to 'types'. */
void
vhost_qos_get_types(struct sset *types)
{
    for (const struct qos_type *const *t = qos_types; *t; t++) {
        sset_add(types, (*t)->name);
    }
}

/* Creates a QoS configuration of 'type' from 'details' in '*qosp', or stores
 * NULL there if 'type' is empty or an error occurs: EOPNOTSUPP for an unknown
 * type, EINVAL for impossible parameters. */
int
vhost_qos_create(const char *type, const struct smap *details,
                 struct vhost_qos **qosp)
{
    const struct qos_type *t = find_type(type);
    struct vhost_qos *qos;
    int error;

    *qosp = NULL;
    if (!t) {
        return type[0] ? EOPNOTSUPP : 0;
    }
    qos = xzalloc(sizeof *qos);
    qos->type = t;
    vhost_meter_init(&qos->meter);
    hmap_init(&qos->queues);
    parse_params(t, details, &qos->params);
    error = t->init(qos);
    if (error) {
        vhost_qos_destroy(qos);
    } else {
        *qosp = qos;
    }
    return error;
}

void
vhost_qos_destroy(struct vhost_qos *qos)
{
    struct qos_queue *queue;

    HMAP_FOR_EACH_POP (queue, hmap_node, &qos->queues) {
        free(queue);
    }
    hmap_destroy(&qos->queues);
    vhost_policer_destroy(qos->policer);
    free(qos);
}

/* Destroys 'qos', which may be NULL, after a grace period. */
void
vhost_qos_destroy_postponed(struct vhost_qos *qos)
{
    if (qos) {
        ovsrcu_postpone(vhost_qos_destroy, qos);
    }
}

const char *
vhost_qos_type(const struct vhost_qos *qos)
{
    return qos->type->name;
}

/* Adds the parameters of 'qos' to 'details'. */
void
vhost_qos_get(const struct vhost_qos *qos, struct smap *details)
{
    format_params(qos->type, &qos->params, details);
}

/* Is 'qos' of 'type' and configured as 'details' say? */
bool
vhost_qos_is_equal(const struct vhost_qos *qos, const char *type,
                   const struct smap *details)
{
    struct qos_params params;

    if (strcmp(type, qos->type->name)) {
        return false;
    }
    parse_params(qos->type, details, &params);
    return !memcmp(&params, &qos->params, sizeof params);
}

/* Frees those of the 'n' packets in 'mbufs' that 'qos' drops, moves the others
 * to the front, and returns their number. */
uint16_t
vhost_qos_run(struct vhost_qos *qos, struct rte_mbuf **mbufs, uint16_t n)
{
    return qos->type->run(qos, mbufs, n);
}

/* Creates or changes queue 'queue_id' of 'qos'.  Queue 0 without details gets
 * the parameters of the port. */
int
vhost_qos_set_queue(struct vhost_qos *qos, uint32_t queue_id,
                    const struct smap *details)
{
    struct qos_params params = qos->params;
    struct qos_queue *queue, *new;
    struct trtcm trtcm;
    int error;

    if (!qos->type->has_queues) {
        return EOPNOTSUPP;
    }
    if (queue_id || !smap_is_empty(details)) {
        parse_params(qos->type, details, &params);
    }
    error = trtcm_init(&trtcm, &params);
    if (error) {
        return error;
    }

    /* Before the lock, on which the data path spins. */
    new = xzalloc(sizeof *new);
    new->id = queue_id;
    trtcm.stats.created = time_msec();

    rte_spinlock_lock(&qos->meter.lock);
    queue = find_queue(qos, queue_id);
    if (queue) {
        trtcm.stats = queue->trtcm.stats;
    } else {
        queue = new;
        new = NULL;
        hmap_insert(&qos->queues, &queue->hmap_node, hash_int(queue_id, 0));
    }
    queue->trtcm = trtcm;
    rte_spinlock_unlock(&qos->meter.lock);
    free(new);
    return 0;
}

int
vhost_qos_delete_queue(struct vhost_qos *qos, uint32_t queue_id)
{
    struct qos_queue *queue;

    if (!qos->type->has_queues) {
        return EOPNOTSUPP;
    }
    rte_spinlock_lock(&qos->meter.lock);
    queue = find_queue(qos, queue_id);
    if (queue) {
        hmap_remove(&qos->queues, &queue->hmap_node);
    }
    rte_spinlock_unlock(&qos->meter.lock);
    free(queue);
    return 0;
}

/* Adds the parameters of queue 'queue_id' to 'details'. */
int
vhost_qos_get_queue(struct vhost_qos *qos, uint32_t queue_id,
                    struct smap *details)
{
    struct qos_queue *queue;

    if (!qos->type->has_queues) {
        return EOPNOTSUPP;
    }
    queue = find_queue(qos, queue_id);
    if (!queue) {
        return EINVAL;
    }
    format_params(qos->type, &queue->trtcm.params, details);
    return 0;
}

int
vhost_qos_get_queue_stats(struct vhost_qos *qos, uint32_t queue_id,
                          struct netdev_queue_stats *stats)
{
    struct qos_queue *queue;

    if (!qos->type->has_queues) {
        return EOPNOTSUPP;
    }
    rte_spinlock_lock(&qos->meter.lock);
    queue = find_queue(qos, queue_id);
    if (queue) {
        *stats = queue->trtcm.stats;
    }
    rte_spinlock_unlock(&qos->meter.lock);
    return queue ? 0 : EINVAL;
}

/* Stores the numbers of all queues of 'qos' in a new array in '*queue_ids',
 * which the caller must free, and how many there are in '*n'. */
int
vhost_qos_get_queues(struct vhost_qos *qos, uint32_t **queue_ids, size_t *n)
{
    struct qos_queue *queue;

    if (!qos->type->has_queues) {
        return EOPNOTSUPP;
    }
    *n = 0;
    *queue_ids = xmalloc(hmap_count(&qos->queues) * sizeof **queue_ids);
    HMAP_FOR_EACH (queue, hmap_node, &qos->queues) {
        (*queue_ids)[(*n)++] = queue->id;
    }
    return 0;
}

static const struct qos_type *
find_type(const char *name)
{
    for (const struct qos_type *const *t = qos_types; *t; t++) {
        if (!strcmp(name, (*t)->name)) {
            return *t;
        }
    }
    return NULL;
}

static void
parse_params(const struct qos_type *type, const struct smap *details,
             struct qos_params *params)
{
    memset(params, 0, sizeof *params);
    params->cir = smap_get_ullong(details, "cir", 0);
    params->cbs = smap_get_ullong(details, "cbs", 0);
    if (type->has_queues) {
        params->eir = smap_get_ullong(details, "eir", 0);
        params->ebs = smap_get_ullong(details, "ebs", 0);
    }
}

static void
format_params(const struct qos_type *type, const struct qos_params *params,
              struct smap *details)
{
    smap_add_format(details, "cir", "%"PRIu64, params->cir);
    smap_add_format(details, "cbs", "%"PRIu64, params->cbs);
    if (type->has_queues) {
        smap_add_format(details, "eir", "%"PRIu64, params->eir);
        smap_add_format(details, "ebs", "%"PRIu64, params->ebs);
    }
}

/* QoS type "egress-policer". */

static int
egress_policer_init(struct vhost_qos *qos)
{
    int error;

    qos->policer = vhost_policer_create(qos->params.cir, qos->params.cbs,
                                        &error);
    return error;
}

static uint16_t
egress_policer_run(struct vhost_qos *qos, struct rte_mbuf **mbufs, uint16_t n)
{
    return vhost_policer_run(qos->policer, mbufs, n);
}

static const struct qos_type egress_policer = {
    .name = "egress-policer",
    .init = egress_policer_init,
    .run = egress_policer_run,
};

/* QoS type "trtcm-policer". */

static int
trtcm_init(struct trtcm *trtcm, const struct qos_params *params)
{
    if ((params->cir && !params->cbs) || (params->eir && !params->ebs)) {
        return EINVAL;
    }
    memset(trtcm, 0, sizeof *trtcm);
    trtcm->params = *params;
    vhost_bucket_init(&trtcm->committed, params->cir, params->cbs);
    vhost_bucket_init(&trtcm->excess, params->eir, params->ebs);
    return 0;
}

static struct qos_queue *
find_queue(const struct vhost_qos *qos, uint32_t id)
{
    struct qos_queue *queue;

    HMAP_FOR_EACH_WITH_HASH (queue, hmap_node, hash_int(id, 0),
                             &qos->queues) {
        if (queue->id == id) {
            return queue;
        }
    }
    return NULL;
}

/* Returns the color of a packet of 'len' bytes that had 'color' so far, green
 * if it had none, and takes its tokens. */
static enum rte_color
trtcm_color(struct trtcm *trtcm, uint64_t now, uint32_t len,
            enum rte_color color)
{
    if (color == RTE_COLOR_GREEN
        && vhost_bucket_offer(&trtcm->committed, now, len)) {
        vhost_bucket_take(&trtcm->committed, len);
        return RTE_COLOR_GREEN;
    }
    if (color != RTE_COLOR_RED
        && vhost_bucket_offer(&trtcm->excess, now, len)) {
        vhost_bucket_take(&trtcm->excess, len);
        return RTE_COLOR_YELLOW;
    }
    return RTE_COLOR_RED;
}

static void
trtcm_count(struct trtcm *trtcm, enum rte_color color, uint32_t len)
{
    if (color == RTE_COLOR_RED) {
        trtcm->stats.tx_errors++;
    } else {
        trtcm->stats.tx_packets++;
        trtcm->stats.tx_bytes += len;
    }
}

/* Does 'qos' let 'mbuf' pass at time 'now'?  The meter of its queue colours
 * it, that of the port decides. */
static bool
trtcm_decide(void *qos_, const struct rte_mbuf *mbuf, uint64_t now)
{
    struct vhost_qos *qos = qos_;
    const struct dp_packet *packet = CONTAINER_OF(mbuf, struct dp_packet,
                                                  mbuf);
    uint32_t len = vhost_meter_len(mbuf);
    struct qos_queue *queue = find_queue(qos, packet->md.skb_priority);
    enum rte_color color;

    queue = queue ? queue : find_queue(qos, 0);
    if (!queue) {
        return false;
    }
    color = trtcm_color(&queue->trtcm, now, len, RTE_COLOR_GREEN);
    trtcm_count(&queue->trtcm, color, len);
    color = trtcm_color(&qos->port, now, len, color);
    trtcm_count(&qos->port, color, len);
    return color != RTE_COLOR_RED;
}

static int
trtcm_policer_init(struct vhost_qos *qos)
{
    return trtcm_init(&qos->port, &qos->params);
}

static uint16_t
trtcm_policer_run(struct vhost_qos *qos, struct rte_mbuf **mbufs, uint16_t n)
{
    return vhost_meter_run(&qos->meter, trtcm_decide, qos, mbufs, n);
}

static const struct qos_type trtcm_policer = {
    .name = "trtcm-policer",
    .has_queues = true,
    .init = trtcm_policer_init,
    .run = trtcm_policer_run,
};
