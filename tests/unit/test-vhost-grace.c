/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-grace.h"

#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "test-vhost.h"
#include "util.h"

/* What the other thread is at, which does not quiesce until it may. */
static atomic_bool active = false, may_quiesce = false, quiesced = false;

static bool
is_set(atomic_bool *flag)
{
    bool value;

    atomic_read(flag, &value);
    return value;
}

static void *
be_active(void *aux OVS_UNUSED)
{
    atomic_store(&active, true);
    while (!is_set(&may_quiesce)) {
        continue;
    }
    atomic_store(&quiesced, true);
    return NULL;                /* Which is as good as quiescence. */
}

static pthread_t
start_thread(void)
{
    pthread_t thread = ovs_thread_create("active", be_active, NULL);

    while (!is_set(&active)) {
        continue;
    }
    return thread;
}

/* What vhost_grace_wait() asks. */
struct question {
    unsigned int n_asked;
    unsigned int n_release;     /* When the other thread may quiesce... */
    unsigned int n_give_up;     /* ...and when to give up; 0 for never. */
};

static bool
ask(void *question_)
{
    struct question *question = question_;

    CHECK(ovsrcu_is_quiescent());
    question->n_asked++;
    if (question->n_asked == question->n_release) {
        atomic_store(&may_quiesce, true);
    }
    return question->n_give_up && question->n_asked >= question->n_give_up;
}

static void
test_wait(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct question question = { .n_release = 20 };
    pthread_t thread = start_thread();

    CHECK(!ovsrcu_is_quiescent());
    CHECK(vhost_grace_wait(ask, &question));
    CHECK(is_set(&quiesced));
    CHECK(question.n_asked >= 20);
    CHECK(ovsrcu_is_quiescent());
    ovsrcu_quiesce_end();
    xpthread_join(thread, NULL);
}
VHOST_TEST(test_wait, "grace-wait", "grace periods: waited for", 0);

/* A thread that never quiesces need not be waited for; what was prepared for
 * the end of the grace period is freed when it comes. */
static void
test_give_up(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct question question = { .n_give_up = 3 };
    pthread_t thread = start_thread();

    CHECK(!vhost_grace_wait(ask, &question));
    CHECK_INT(question.n_asked, 3);
    CHECK(ovsrcu_is_quiescent());

    /* Also from a thread that was quiescent before. */
    question.n_asked = 0;
    question.n_give_up = 1;
    CHECK(!vhost_grace_wait(ask, &question));
    CHECK_INT(question.n_asked, 1);

    /* The same thread can still wait. */
    question.n_asked = 0;
    question.n_give_up = 0;
    question.n_release = 5;
    CHECK(vhost_grace_wait(ask, &question));
    CHECK(is_set(&quiesced));
    ovsrcu_quiesce_end();
    xpthread_join(thread, NULL);
}
VHOST_TEST(test_give_up, "grace-give-up", "grace periods: given up", 0);
