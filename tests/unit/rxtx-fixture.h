/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef RXTX_FIXTURE_H
#define RXTX_FIXTURE_H 1

/* A client port with a guest, through which tests send packets. */

#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "vhost-device.h"
#include "vhost-mempool.h"
#include "vhost-port.h"

extern struct netdev *netdev;
extern struct vhost_port *port;
extern struct netdev_rxq *rxq;  /* Queue 0. */
extern int vid;                 /* The guest. */

/* Opens the port and connects the guest to it. */
void start_port(unsigned int n_pairs, uint64_t features);

/* Ends the test; all mbufs must be home again. */
void finish_port(void);

/* Ends the test, with mbufs that are not. */
void close_port(void);

/* From the guest. */

void guest_send_n(int n, size_t size);

/* Receives a burst and checks that it has 'n' packets. */
void receive_into(struct dp_packet_batch *, int n, int *qfill);
void receive_n(int n);

/* Polls in vain as often as a thread does in less than a millisecond. */
void poll_in_vain(void);

/* To the guest. */

/* Returns an mbuf of the port's pool with the contents of make_packet(). */
struct dp_packet *make_mbuf(size_t);

/* Sends 'n' packets of 'size' bytes to queue 'qid'. */
void send_n(int qid, int n, size_t size);
void send_packet(struct dp_packet *);

/* Checks that the guest got 'n' packets of 'size' bytes on 'vring'. */
void check_received(unsigned int vring, int n, size_t size);

/* Takes all mbufs of the port's pool but 'n_left', which are then 'held', and
 * gives them back. */
void hold_mbufs(unsigned int n_left);
void release_mbufs(void);
extern struct rte_mbuf **held;
extern unsigned int n_held;

#endif /* rxtx-fixture.h */
