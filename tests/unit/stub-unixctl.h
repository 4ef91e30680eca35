/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef STUB_UNIXCTL_H
#define STUB_UNIXCTL_H 1

/* Commands of "ovs-appctl", without a server or a client: the linker replaces
 * the functions that register and answer them (see tests/unit/automake.mk). */

/* The last answer: one of them is null. */
extern char *unixctl_reply;
extern char *unixctl_error;

void unixctl_run_command(const char *name, const char *arg1, const char *arg2);
void unixctl_forget(void);

#endif /* stub-unixctl.h */
