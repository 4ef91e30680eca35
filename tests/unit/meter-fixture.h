/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef METER_FIXTURE_H
#define METER_FIXTURE_H 1

/* Packets for tests of policing and QoS, from a mempool of their own. */

#include <stdint.h>

struct rte_mbuf;
struct vhost_policer;
struct vhost_qos;

#define LEN 1000                /* Of a packet, without Ethernet header. */

/* Begins with the mempool, and ends with it: all mbufs must be home again. */
void init_packets(void);
void check_packets(void);

/* Fills 'mbufs' with 'n' packets of LEN bytes and 'priority', whose first
 * bytes count from 'first'. */
void make_burst(struct rte_mbuf **mbufs, int n, uint32_t priority, int first);

struct vhost_qos *create_qos(const char *type, const char *cir,
                             const char *cbs, const char *eir,
                             const char *ebs);

/* Checks that 2 MB a second pass 'policer' or 'qos'. */
void check_rate(struct vhost_policer *, struct vhost_qos *);

#endif /* meter-fixture.h */
