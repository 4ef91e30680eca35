/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "meter-fixture.h"

#include <string.h>

#include <rte_mbuf.h>

#include "dp-packet.h"
#include "smap.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-mempool.h"
#include "vhost-policer.h"
#include "vhost-qos.h"

static struct vhost_mempool *pool;

void
init_packets(void)
{
    const struct vhost_mempool_request request = {
        .port = "port0", .mtu = 1500, .n_queues = 2
    };

    pool = vhost_mempool_get(&request);
    CHECK(pool);
}

void
check_packets(void)
{
    vhost_mempool_put(pool, 2);
    check_mempools(0);
}

void
make_burst(struct rte_mbuf **mbufs, int n, uint32_t priority, int first)
{
    CHECK(!rte_pktmbuf_alloc_bulk(pool->mp, mbufs, n));
    for (int i = 0; i < n; i++) {
        struct dp_packet *packet = CONTAINER_OF(mbufs[i], struct dp_packet,
                                                mbuf);

        memset(rte_pktmbuf_append(mbufs[i], LEN + 14), first + i, LEN + 14);
        pkt_metadata_init(&packet->md, 0);
        packet->md.skb_priority = priority;
    }
}

/* Offers a burst to 'policer' or 'qos' and returns how many packets passed. */
static unsigned int
offer(struct vhost_policer *policer, struct vhost_qos *qos)
{
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
    uint16_t n;

    make_burst(mbufs, NETDEV_MAX_BURST, 0, 0);
    n = (policer ? vhost_policer_run(policer, mbufs, NETDEV_MAX_BURST)
         : vhost_qos_run(qos, mbufs, NETDEV_MAX_BURST));
    rte_pktmbuf_free_bulk(mbufs, n);
    return n;
}

/* This thread may have to wait for a CPU at any time, so the burst size must
 * be worth a second, and the time that passed is known from two sides only. */
void
check_rate(struct vhost_policer *policer, struct vhost_qos *qos)
{
    long long int start[2], end[2];
    double n_bytes = 0;
    unsigned int n;

    /* Use up what is allowed at first. */
    do {
        start[0] = time_usec();
    } while (offer(policer, qos) == NETDEV_MAX_BURST);
    start[1] = time_usec();

    /* End when all that was allowed is used up. */
    do {
        end[0] = time_usec();
        n = offer(policer, qos);
        n_bytes += n * LEN;
        end[1] = time_usec();
    } while (end[1] < start[1] + 200 * 1000 || n == NETDEV_MAX_BURST);
    CHECK(n_bytes / (end[0] - start[1]) > 1.8);
    CHECK(n_bytes / (end[1] - start[0]) < 2.2);
}

struct vhost_qos *
create_qos(const char *type, const char *cir, const char *cbs, const char *eir,
       const char *ebs)
{
    struct smap details = SMAP_INITIALIZER(&details);
    struct vhost_qos *qos;

    smap_add(&details, "cir", cir);
    smap_add(&details, "cbs", cbs);
    if (eir) {
        smap_add(&details, "eir", eir);
        smap_add(&details, "ebs", ebs);
    }
    CHECK_INT(vhost_qos_create(type, &details, &qos), 0);
    CHECK_STR(vhost_qos_type(qos), type);
    CHECK(vhost_qos_is_equal(qos, type, &details));
    smap_destroy(&details);
    return qos;
}
