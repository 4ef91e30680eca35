/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

/* What librte_vhost calls around each message of a connection.  Between the
 * two calls, it may change rings and memory under a running device. */

#include "vhost-conn.h"

#include <limits.h>
#include <sys/stat.h>

#include <linux/virtio_config.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-guard.h"
#include "vhost-iotlb.h"
#include "vhost-mapping.h"
#include "vhost-socket.h"

VLOG_DEFINE_THIS_MODULE(vhost_conn_message);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* The files of the memory table that librte_vhost has got last, unless it has
 * taken them, and the socket that they came from.  Used by librte_vhost's
 * event thread only. */
static struct vhost_message_files table_files;
static char table_path[PATH_MAX];

/* Was librte_vhost given more time to wait, and did that cost the port's
 * credit?  Used by its event thread only. */
static bool is_patient, has_taken;

/* Were all messages readable?  Used by librte_vhost's event thread only. */
static bool all_readable = true;

/* For how long librte_vhost waits for the answer when it registers memory for
 * post-copy, in ms, unless the port has credit for more. */
#define REGISTRATION_TIMEOUT (VHOST_PATIENCE_MIN / 2)

static void unwatch_memory(struct vhost_conn *);

/* Watches librte_vhost's mappings of 'table', the memory of the guest on
 * 'conn', so that SIGBUS in one of them affects that guest only (see
 * vhost-guard.h). */
static void
watch_memory(struct vhost_conn *conn, const struct rte_vhost_memory *table)
{
    unwatch_memory(conn);
    for (uint32_t i = 0; i < MIN(table->nregions, VHOST_MAX_REGIONS); i++) {
        struct iovec *part = &conn->watched[conn->n_watched];

        part->iov_base = table->regions[i].mmap_addr;
        part->iov_len = table->regions[i].mmap_size;
        if (!vhost_guard_watch(part->iov_base, part->iov_len,
                               &vhost_guard_lost[conn->vid])) {
            VLOG_ERR("vHost Device '%s': the guest's memory is not used, "
                     "because too much is watched already",
                     conn->session->path);
            atomic_store_relaxed(&vhost_guard_lost[conn->vid], true);
            break;
        }
        conn->n_watched++;
    }
}

static void
unwatch_memory(struct vhost_conn *conn)
{
    while (conn->n_watched) {
        vhost_guard_unwatch(conn->watched[--conn->n_watched].iov_base,
                            &vhost_guard_lost[conn->vid]);
    }
}

static void
unwatch_log(struct vhost_conn *conn)
{
    if (conn->watched_log.iov_base) {
        vhost_guard_unwatch(conn->watched_log.iov_base,
                            &vhost_guard_lost[conn->vid]);
    }
    conn->watched_log = (struct iovec) { .iov_base = NULL };
}

/* Watches librte_vhost's mapping of the log of dirty pages, if there is
 * one. */
static void
watch_log(struct vhost_conn *conn)
{
    uint64_t address, size;

    unwatch_log(conn);
    if (!rte_vhost_get_log_base(conn->vid, &address, &size) && address
        && vhost_guard_watch((void *) (uintptr_t) address, size,
                             &vhost_guard_lost[conn->vid])) {
        conn->watched_log.iov_base = (void *) (uintptr_t) address;
    }
}

/* Releases what 'conn', which is about to be freed, has of the guest's
 * memory. */
void
vhost_conn_release_memory(struct vhost_conn *conn)
{
    unwatch_memory(conn);
    unwatch_log(conn);
    vhost_mapping_unref(conn->mapping);
}

/* Can packets of the guest on 'conn' stay where they are?  Not if
 * librte_vhost's data path is to be used: with an IOMMU, the guest does not
 * want all of its memory to be mapped for devices, and in post-copy the pages
 * that a mapping of our own brings in would be empty. */
static bool
can_zero_copy(const struct vhost_conn *conn)
{
    const struct vhost_session *session = conn->session;
    uint64_t features = 0;

    rte_vhost_get_negotiated_features(conn->vid, &features);
    return (session->zero_copy && !session->library_only
            && !(features & UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM));
}

/* Replaces our mapping of the memory of the guest on 'conn' by a mapping of
 * 'table' if its packets can stay there, or else by none.  'table' may be
 * NULL. */
static void
set_mapping(struct vhost_conn *conn, const struct rte_vhost_memory *table)
{
    const char *name = netdev_get_name(conn->session->netdev);
    char *message;

    vhost_mapping_unref(conn->mapping);
    conn->mapping = NULL;
    if (table && can_zero_copy(conn)) {
        conn->mapping = vhost_mapping_create(table, name, &message);
        if (!conn->mapping) {
            VLOG_WARN_RL(&rl, "%s: no zero-copy, because we cannot keep the "
                         "guest's memory: %s", name, message);
            free(message);
        }
    }
}

/* Makes 'table' the memory of the guest on 'conn', or none if it is NULL.
 *
 * Only librte_vhost's event thread may ask the library for a table: in other
 * threads it could be freed in the middle of the answer. */
static void
set_memory(struct vhost_conn *conn, const struct rte_vhost_memory *table)
{
    struct vhost_memory_map memory = { .n_regions = 0 };
    struct guest_memory *mapped = &conn->mapped_memory;
    struct vhost_mapping *old = NULL;

    mapped->n_regions = 0;
    for (uint32_t i = 0; table && i < table->nregions; i++) {
        const struct rte_vhost_mem_region *src = &table->regions[i];
        struct stat s;

        guest_memory_add(mapped, src->guest_phys_addr, src->size,
                         (void *) (uintptr_t) src->host_user_addr);
        if (memory.n_regions < VHOST_MAX_REGIONS
            && vhost_guard_is_memory(src->fd) && !fstat(src->fd, &s)) {
            memory.regions[memory.n_regions++] = (struct vhost_guest_region) {
                .guest_address = src->guest_phys_addr,
                .size = src->size,
                .mapping = (const void *) (uintptr_t) src->host_user_addr,
                .fd = src->fd,
                .device = s.st_dev,
                .inode = s.st_ino,
            };
        }
    }
    set_mapping(conn, table);
    ovs_mutex_lock(&conn->session->mutex);
    conn->memory = memory;
    if (conn->device) {
        conn->device->memory = *mapped;
        if (conn->device->datapath->can_zero_copy) {
            old = conn->device->mapping;
            conn->device->mapping = vhost_mapping_ref(conn->mapping);
        }
    }
    ovs_mutex_unlock(&conn->session->mutex);
    vhost_mapping_unref(old);
}

/* Takes the virtqueues that 'm' concerns, which librte_vhost is about to
 * handle, away from the data path of the device that runs on 'conn', if
 * any. */
static void
suspend_queues(struct vhost_conn *conn, const struct vhost_message *m)
{
    struct vhost_device *device = vhost_conn_device(conn);
    unsigned int first, n;

    vhost_message_range(m, &first, &n);
    if (!device || !n) {
        return;
    }
    vhost_device_suspend(device, first, n, (m->is_locked
                                            ? VHOST_AWAIT_NONE
                                            : VHOST_AWAIT_BRIEFLY));
    ovs_mutex_lock(&conn->session->mutex);
    if (conn->device) {         /* The session may be closed by now. */
        if (vhost_message_stops_ring(m)) {
            vhost_device_stop(device, first, n);
        }
        vhost_device_hand_back(device, first, n);
    }
    ovs_mutex_unlock(&conn->session->mutex);
}

/* Gives back to the data path what suspend_queues() took from it, now that
 * librte_vhost has handled 'm'. */
static void
resume_queues(struct vhost_conn *conn, const struct vhost_message *m)
{
    struct vhost_device *device = vhost_conn_device(conn);
    unsigned int first, n;

    if (!device) {
        return;
    }
    vhost_message_range(m, &first, &n);
    ovs_mutex_lock(&conn->session->mutex);
    if (conn->device) {         /* The session may be closed by now. */
        vhost_device_note(device, first, n);
        vhost_conn_start_queues(conn, device, first, n);
        if (conn->call_vring >= 0) {
            device->datapath->renew_call(
                device, vhost_device_queue(device, conn->call_vring));
        }
    }
    ovs_mutex_unlock(&conn->session->mutex);
    if (m->request == VHOST_REQUEST_SEND_RARP) {
        vhost_conn_deliver_rarp(conn, device);
    }
}

/* Notes in 'conn' what 'm', which librte_vhost has obeyed, says. */
static void
note_message(struct vhost_conn *conn, const struct vhost_message *m)
{
    struct rte_vhost_memory *table;

    switch (m->request) {
    case VHOST_REQUEST_SET_MEM_TABLE:
        table_files.n = 0;
        if (!rte_vhost_get_mem_table(conn->vid, &table)) {
            watch_memory(conn, table);
            set_memory(conn, table);
            free(table);
        }
        break;
    case VHOST_REQUEST_SET_LOG_BASE:
        watch_log(conn);
        break;
    case VHOST_REQUEST_SEND_RARP:
        /* An address has 6 bytes. */
        conn->rarp_address = m->u64 & UINT64_C(0xffffffffffff);
        break;
    case VHOST_REQUEST_SET_BACKEND_REQ_FD:
        /* librte_vhost writes to it. */
        vhost_socket_limit_waiting();
        break;
    case VHOST_REQUEST_SET_VRING_ENABLE:
        if (m->state.num) {
            break;
        }
        /* fall through */
    case VHOST_REQUEST_GET_VRING_BASE:
        if (conn->enabled[m->vring]) {
            /* librte_vhost does not report this if it has already reported the
             * virtqueue as disabled. */
            vhost_conn_set_enabled(conn, m->vring, false);
        }
        break;
    }
    vhost_iotlb_consider(&conn->iotlb, m, conn->vid);
}

/* Returns why 'm' must not be passed to librte_vhost, or NULL. */
static const char *
objection_to_message(const struct vhost_conn *conn,
                     const struct vhost_message *m)
{
    const char *objection
        = vhost_conversation_objection(&conn->conversation, m);

    return (objection ? objection
            : vhost_iotlb_contradicts(conn->iotlb, m, conn->vid)
            ? "it contradicts another translation" : NULL);
}

/* Called before librte_vhost handles 'm', or when a connection has ended if
 * that is NULL. */
void
vhost_conn_close_lost_files(const struct vhost_message *m)
{
    if (vhost_message_close_lost_files(&table_files, m)) {
        VLOG_WARN_RL(&rl, "vHost Device '%s': closed a file of guest memory "
                     "that could not be mapped", table_path);
    }
}

/* If librte_vhost is about to register the memory of 'm' for post-copy, gives
 * it the time for that: see vhost-patience.h.  Half of it is for each of two
 * reads, of an answer's header and of its rest.
 *
 * A device whose rings are set up is not expected then.  Bursts on it may have
 * to wait, too. */
static void
be_patient(struct vhost_conn *conn, const struct vhost_message *m)
{
    struct vhost_session *session = conn->session;
    unsigned int timeout = REGISTRATION_TIMEOUT;

    if (m->request != VHOST_REQUEST_SET_MEM_TABLE || !session->postcopy
        || !conn->conversation.listens) {
        return;
    }
    if (!conn->was_patient && !vhost_conn_device(conn)) {
        conn->was_patient = has_taken = true;
        timeout = vhost_patience_take(&session->patience) / 2;
    }
    is_patient = true;
    vhost_socket_allow_waiting(timeout);
}

/* Called before librte_vhost handles the next message, after it has handled
 * one, and when a connection has ended. */
void
vhost_conn_end_patience(void)
{
    if (is_patient) {
        is_patient = has_taken = false;
        vhost_socket_allow_waiting(0);
    }
}

/* Called before librte_vhost handles a message. */
static enum rte_vhost_msg_result
before_message_cb(int vid, void *message)
{
    struct vhost_conn *conn = vhost_conn_lookup(vid);
    struct vhost_message m = { .n_fds = 0 };
    const char *objection;

    all_readable = all_readable && vhost_message_is_readable(message);
    if (!all_readable) {
        VLOG_ERR_RL(&rl, "a connection is closed, because librte_vhost's "
                    "messages are not those that the plugin was built for");
        return vhost_message_hang_up(message, &m);
    }
    vhost_message_parse(message, &m);
    if (!conn) {
        /* The session is being closed, and the connection next. */
        return vhost_message_ignore(&m);
    }
    vhost_conn_close_lost_files(&m);
    vhost_conn_end_patience();
    conn->request = m.request;
    conn->call_vring = (m.request == VHOST_REQUEST_SET_VRING_CALL
                        ? m.vring : -1);
    if (vhost_conversation_is_broken(&conn->conversation)) {
        VLOG_WARN_RL(&rl, "vHost Device '%s': the connection is closed, "
                     "because the guest's memory could not be mapped",
                     conn->session->path);
        return vhost_message_hang_up(message, &m);
    }
    if (m.request == VHOST_REQUEST_RESET_OWNER) {
        /* librte_vhost would forget what it has for the rings, without freeing
         * it.  The specification advises against the message, and back ends
         * against obeying it. */
        return vhost_message_ignore(&m);
    }
    objection = objection_to_message(conn, &m);
    if (objection) {
        VLOG_WARN_RL(&rl, "vHost Device '%s': refused %s (%"PRIu32"): %s",
                     conn->session->path, m.name, m.request, objection);
        return vhost_message_refuse(&m);
    }
    vhost_conversation_begin(&conn->conversation, &m);
    suspend_queues(conn, &m);
    if (m.request == VHOST_REQUEST_SET_MEM_TABLE) {
        vhost_message_note_files(&m, &table_files);
        ovs_strlcpy(table_path, conn->session->path, sizeof table_path);
        set_memory(conn, NULL);
        vhost_guard_suspect(vid);
        be_patient(conn, &m);
    } else if (m.request == VHOST_REQUEST_IOTLB_MSG) {
        vhost_message_limit_range(message);
    }
    return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* Called after librte_vhost has handled a message, unless it failed: then the
 * virtqueues that it concerned stay stopped. */
static enum rte_vhost_msg_result
after_message_cb(int vid, void *message)
{
    struct vhost_conn *conn = vhost_conn_lookup(vid);
    struct vhost_message m;

    if (!conn) {
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
    }
    vhost_message_parse(message, &m);
    if (has_taken) {
        vhost_patience_give_back(&conn->session->patience);
    }
    vhost_conn_end_patience();
    if (m.request == VHOST_REQUEST_RESET_OWNER) {
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;        /* It was ignored. */
    }
    vhost_conversation_end(&conn->conversation, &m);
    note_message(conn, &m);
    resume_queues(conn, &m);
    return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

const struct rte_vhost_user_extern_ops vhost_conn_message_ops = {
    .pre_msg_handle = before_message_cb,
    .post_msg_handle = after_message_cb,
};
