/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_METRICS_H
#define VHOST_METRICS_H 1

/* ovs-appctl netdev-vhost/metrics [PORT]
 *
 * What netdev-vhost/show and the statistics say of PORT, or of all ports, in
 * OpenMetrics' text format, for a monitoring system.  The families, which
 * Documentation/reference/metrics.rst describes, may be added to, but do not
 * change.
 *
 * Main thread only. */

#include <stddef.h>

/* Registers the command.  Once. */
void vhost_metrics_register(void);

/* Returns the name of family 'i', from 0, or null if there are not so many. */
const char *vhost_metrics_family(size_t i);

#endif /* vhost-metrics.h */
