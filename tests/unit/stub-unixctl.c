/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "stub-unixctl.h"

#include <stdlib.h>

#include "openvswitch/shash.h"
#include "unixctl.h"
#include "util.h"

char *unixctl_reply, *unixctl_error;

/* unixctl_cb_func by the command's name. */
static struct shash commands = SHASH_INITIALIZER(&commands);
static int fake_conn;           /* Its address is a connection. */

void __real_unixctl_command_register(const char *, const char *, int, int,
                                     unixctl_cb_func *, void *);
void __wrap_unixctl_command_register(const char *, const char *, int, int,
                                     unixctl_cb_func *, void *);
void __wrap_unixctl_command_reply(struct unixctl_conn *, const char *);
void __wrap_unixctl_command_reply_error(struct unixctl_conn *, const char *);

void
__wrap_unixctl_command_register(const char *name, const char *usage,
                                int min_args, int max_args,
                                unixctl_cb_func *cb, void *aux)
{
    shash_add_once(&commands, name, (void *) cb);
    __real_unixctl_command_register(name, usage, min_args, max_args, cb, aux);
}

void
__wrap_unixctl_command_reply(struct unixctl_conn *conn, const char *s)
{
    ovs_assert((void *) conn == &fake_conn
               && !unixctl_reply && !unixctl_error);
    unixctl_reply = xstrdup(s);
}

void
__wrap_unixctl_command_reply_error(struct unixctl_conn *conn, const char *s)
{
    ovs_assert((void *) conn == &fake_conn
               && !unixctl_reply && !unixctl_error);
    unixctl_error = xstrdup(s);
}

/* Runs command 'name' with up to two arguments, unless they are null. */
void
unixctl_run_command(const char *name, const char *arg1, const char *arg2)
{
    const char *argv[] = { name, arg1, arg2, NULL };
    unixctl_cb_func *cb = shash_find_data(&commands, name);

    ovs_assert(cb);
    unixctl_forget();
    cb((struct unixctl_conn *) &fake_conn, 1 + !!arg1 + !!arg2, argv, NULL);
}

/* Frees the last answer. */
void
unixctl_forget(void)
{
    free(unixctl_reply);
    free(unixctl_error);
    unixctl_reply = unixctl_error = NULL;
}
