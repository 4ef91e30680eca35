/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_UNIXCTL_H
#define VHOST_UNIXCTL_H 1

/* ovs-appctl netdev-vhost/show [--json] [PORT]
 *
 * Shows what a vhost-user port is made of and where it is: PORT, or all ports
 * in the order of their names.
 *
 * With --json, for programs, the answer is an object with one member, "ports",
 * an array of objects with the members below.  Members may be added, but do
 * not change or go.  A node is a NUMA node, a number, or null if unknown.
 *
 *     "name"        string
 *     "type"        "dpdkvhostuser" or "dpdkvhostuserclient"
 *     "mode"        "server" or "client"
 *     "socket"      string, or null if the port has none
 *     "connected"   boolean: is there a guest with a running device?
 *     "node"        where the switch takes the port to be
 *     "pool"        the port's mbufs; null if it has none:
 *         "name"      string
 *         "node"      where they are
 *         "size"      number of mbufs
 *         "in_use"    number of mbufs
 *         "users"     number of ports
 *     "zero_copy"   null if it is not asked for:
 *         "obstacle"    string: why packets are copied, or null
 *         "packets"     number of those on their way in the guest's memory
 *         "pinned_packets"   the same of guests that have gone...
 *         "pinned_bytes"     ...and how much memory is kept for these
 *
 * The rest is there only if "connected" is true.
 *
 *     "data_path"   string
 *     "guest"       string: the same for ports of the same guest
 *     "guest_node"  where the guest's rings are
 *     "library_node"   where librte_vhost's structures for the guest are
 *     "features", "protocol_features"   of virtio and of vhost-user, as
 *                   negotiated:
 *         "bits"      string: hexadecimal number
 *         "names"     array of strings, in the order of their bits
 *     "memory"      the guest's memory, array of regions:
 *         "address"   in the guest's physical memory
 *         "size"      in bytes
 *         "page_size"   in bytes, or null if unknown
 *         "sampled"   number of pages that the kernel was asked for
 *         "pages"     where they are, array of objects with "node" and "n".
 *                     Pages that the guest has not used yet are on no node,
 *                     and some others are not known (see vhost-numa.c).
 *     "queues"      array of virtqueues, in the order of "vring":
 *         "vring"     virtio's number of the queue
 *         "direction"   "rx" for a receive queue of the switch, "tx"
 *         "queue"     number among those of this direction
 *         "enabled"   boolean: by the guest
 *         "size"      number of descriptors
 *         "fill"      those that the guest offers: packets that wait, or
 *                     buffers for packets; null if unknown
 *         "packets_per_second", "bits_per_second"
 *                     on average over the last five seconds; null if the
 *                     guest has not been there as long
 *         "node"      where the ring is
 *         "cpu"       rx only: the CPU of the thread that polled the queue
 *                     last, or null
 *         "cpu_node"  rx only: its node
 *         "serves"    tx only: the switch's transmit queues that it serves,
 *                     array of numbers
 *     "placement"   the verdict:
 *         "local"     boolean
 *         "text"      string, as in Interface:status
 *         "remote"    what is remote, array of objects:
 *             "what"     "pmd", "mbufs", "memory", "rings" or "library"
 *             "text"     string
 *             "command"  string: the shell command that would mend it; or null
 *             "hint"     string: what else to know or to do; or null */

/* Registers the command.  Main thread, once. */
void vhost_unixctl_register(void);

#endif /* vhost-unixctl.h */
