/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_PATIENCE_H
#define VHOST_PATIENCE_H 1

/* For how long a port may have all others wait for its front end.
 *
 * In post-copy live migration, librte_vhost tells the front end where it has
 * mapped the guest's memory, and waits for the answer, in the thread that
 * handles the messages of all ports.  QEMU answers at once if it gets a CPU;
 * on a host that is busy migrating, that may take seconds.  If it takes too
 * long, the migration fails, and the guest is lost.
 *
 * So a port has a credit of time, which recovers slowly.  One wait may use all
 * of it, and a front end that is quick uses next to none.  A hostile one has
 * the others wait for VHOST_PATIENCE_MAX ms once, and later for one part in
 * VHOST_PATIENCE_RECOVERY of the time.
 *
 * For librte_vhost's event thread alone. */

/* The most that there can be, in ms. */
#define VHOST_PATIENCE_MAX 6000

/* So many ms later, there is one more. */
#define VHOST_PATIENCE_RECOVERY 60

/* There is always so much, in ms: it is what an idle host needs. */
#define VHOST_PATIENCE_MIN 200

struct vhost_patience {
    unsigned int credit;        /* In ms, at the time 'updated'. */
    long long int updated;      /* In ms. */
    unsigned int granted;       /* What vhost_patience_take() took, if a wait
                                 * is under way. */
    long long int start;        /* When it began, in ms. */
};

void vhost_patience_init(struct vhost_patience *);
unsigned int vhost_patience_take(struct vhost_patience *);
void vhost_patience_give_back(struct vhost_patience *);

#endif /* vhost-patience.h */
