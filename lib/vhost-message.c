/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

#include <config.h>

#include "vhost-message.h"

#include <string.h>

#include <linux/virtio_config.h>
#include <rte_vhost.h>

#include "util.h"
#include "vhost-datapath.h"

/* The beginning of a message: three 32-bit numbers (request, flags, size),
 * then the payload.  See the vhost-user protocol's specification. */
#define PAYLOAD_OFFSET 12

/* Requests that tell nothing new about rings or memory.  Those that stop the
 * device, GET_VRING_BASE and RESET_OWNER, make librte_vhost say so before. */
static const uint8_t harmless[] = {
    0,                          /* none */
    1,                          /* GET_FEATURES */
    3,                          /* SET_OWNER */
    4,                          /* RESET_OWNER */
    7,                          /* SET_LOG_FD */
    11,                         /* GET_VRING_BASE */
    13,                         /* SET_VRING_CALL */
    14,                         /* SET_VRING_ERR */
    15,                         /* GET_PROTOCOL_FEATURES */
    16,                         /* SET_PROTOCOL_FEATURES */
    17,                         /* GET_QUEUE_NUM */
    19,                         /* SEND_RARP */
    20,                         /* NET_SET_MTU */
    21,                         /* SET_BACKEND_REQ_FD */
    22,                         /* IOTLB_MSG */
    39,                         /* SET_STATUS */
    40,                         /* GET_STATUS */
};

static const uint8_t of_one_vring[] = {
    8,                          /* SET_VRING_NUM */
    9,                          /* SET_VRING_ADDR */
    10,                         /* SET_VRING_BASE */
    12,                         /* SET_VRING_KICK */
    18,                         /* SET_VRING_ENABLE */
};

/* What to overwrite in a message, so that librte_vhost refuses it. */
static const struct {
    uint8_t request;
    uint8_t start;
    uint8_t n;
    uint8_t byte;
} spoils[] = {
    { VHOST_REQUEST_SET_FEATURES, PAYLOAD_OFFSET, 8, 0xff },
    { VHOST_REQUEST_SET_LOG_BASE, PAYLOAD_OFFSET, 16, 0xff },
    { VHOST_REQUEST_SET_VRING_NUM, PAYLOAD_OFFSET + 4, 4, 0xff },
    { VHOST_REQUEST_GET_INFLIGHT_FD, PAYLOAD_OFFSET - 4, 4, 0xff },
    /* It would lose the file descriptor.  For no virtqueues, it is harmless. */
    { VHOST_REQUEST_SET_INFLIGHT_FD, PAYLOAD_OFFSET + 16, 2, 0 },
};

static bool is_ring_in_use(int vid, unsigned int vring, uint16_t *size);
static bool is_any_ring_in_use(int vid);

/* Makes 'message' one that librte_vhost refuses for itself.  If we did, it
 * would not close the file descriptors that came along. */
void
vhost_message_spoil(void *message)
{
    uint32_t request;

    memcpy(&request, message, sizeof request);
    for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
        if (spoils[i].request == request) {
            memset((char *) message + spoils[i].start, spoils[i].byte,
                   spoils[i].n);
        }
    }
}

/* Parses 'message', of which librte_vhost has at least as much in its buffer
 * as is read here, even if less was sent. */
void
vhost_message_parse(const void *message, struct vhost_message *m)
{
    uint32_t request;

    memcpy(&request, message, sizeof request);
    memcpy(&m->payload, (const char *) message + PAYLOAD_OFFSET,
           sizeof m->payload);
    memcpy(&m->value, (const char *) message + PAYLOAD_OFFSET + 4,
           sizeof m->value);
    memcpy(m->more, (const char *) message + PAYLOAD_OFFSET + 8,
           sizeof m->more);
    m->request = request;
    m->scope = (request > UINT8_MAX ? VHOST_SCOPE_DEVICE
                : memchr(harmless, request, sizeof harmless)
                ? VHOST_SCOPE_NONE
                : memchr(of_one_vring, request, sizeof of_one_vring)
                ? VHOST_SCOPE_VRING
                : VHOST_SCOPE_DEVICE);
    /* All that name one do it in the lowest byte; librte_vhost has more bits
     * to ignore for some, and refuses others with more. */
    m->vring = m->payload & 0xff;
}

/* Stores the range of virtqueues that 'm' concerns. */
void
vhost_message_range(const struct vhost_message *m, unsigned int *first,
                    unsigned int *n)
{
    *first = m->scope == VHOST_SCOPE_VRING ? m->vring : 0;
    *n = (m->scope == VHOST_SCOPE_VRING ? 1
          : m->scope == VHOST_SCOPE_DEVICE ? VHOST_MAX_VRINGS : 0);
}

/* May the guest take it from 'm' that it has all buffers of a virtqueue
 * back? */
bool
vhost_message_stops_ring(const struct vhost_message *m)
{
    return (m->request == VHOST_REQUEST_SET_VRING_NUM
            || m->request == VHOST_REQUEST_SET_VRING_BASE
            || (m->request == VHOST_REQUEST_SET_VRING_ENABLE && !m->value));
}

/* Does 'm' change connection 'vid' from split to packed rings, or back? */
bool
vhost_message_changes_layout(const struct vhost_message *m, int vid)
{
    uint64_t features = 0;

    rte_vhost_get_negotiated_features(vid, &features);
    return (m->request == VHOST_REQUEST_SET_FEATURES
            && (m->payload ^ features) & UINT64_C(1) << VIRTIO_F_RING_PACKED);
}

/* Has 'm' of connection 'vid' librte_vhost unmap a log of dirty pages whose
 * address it goes on to use? */
bool
vhost_message_ends_log(const struct vhost_message *m, int vid)
{
    uint64_t address, size;

    return (m->request == VHOST_REQUEST_RESET_OWNER
            && !rte_vhost_get_log_base(vid, &address, &size) && address);
}

/* Returns what would happen in librte_vhost if it obeyed 'm' of connection
 * 'vid' that must not, or NULL.  'log_ended' tells whether there was a message
 * that ended the log, and none since that has another. */
const char *
vhost_message_objection(const struct vhost_message *m, int vid, bool log_ended)
{
    uint16_t size;

    switch (m->request) {
    case VHOST_REQUEST_SET_FEATURES:
        /* It would go on with addresses that it checked for the old layout. */
        return (vhost_message_changes_layout(m, vid) && is_any_ring_in_use(vid)
                ? "the layout of rings in use cannot change"
                : log_ended && m->payload & UINT64_C(1) << VHOST_F_LOG_ALL
                ? "the log has ended" : NULL);
    case VHOST_REQUEST_SET_VRING_NUM:
        /* It would not check the ring's addresses again. */
        return (is_ring_in_use(vid, m->vring, &size) && m->value != size
                ? "the size of a ring in use cannot change" : NULL);
    case VHOST_REQUEST_SET_LOG_BASE:
        /* It would add the offset twice, and write there. */
        return m->more[0] ? "the log has an offset" : NULL;
    case VHOST_REQUEST_GET_INFLIGHT_FD:
    case VHOST_REQUEST_SET_INFLIGHT_FD:
        /* It would use any amount of memory, or believe what is in it. */
        return "there is no memory for buffers in flight";
    default:
        return NULL;
    }
}

/* Takes the last byte from the range of addresses in 'message', an IOTLB_MSG,
 * if that goes up to the end of all addresses.  Up to there QEMU forgets
 * translations, for example when a Linux guest has the whole domain forgotten,
 * but librte_vhost's sum of address and size is then 0: it would forget
 * nothing, and go on with pages that the guest has put to another use. */
void
vhost_message_limit_range(void *message)
{
    uint8_t *payload = (uint8_t *) message + PAYLOAD_OFFSET;
    uint64_t address, size;

    memcpy(&address, payload, sizeof address);
    memcpy(&size, payload + sizeof address, sizeof size);
    size = MIN(size, UINT64_MAX - address);
    memcpy(payload + sizeof address, &size, sizeof size);
}

static bool
is_ring_in_use(int vid, unsigned int vring, uint16_t *size)
{
    struct rte_vhost_vring v;

    if (vring >= rte_vhost_get_vring_num(vid)
        || rte_vhost_get_vhost_vring(vid, vring, &v)) {
        return false;
    }
    *size = v.size;
    return v.desc != NULL;
}

static bool
is_any_ring_in_use(int vid)
{
    uint16_t n = rte_vhost_get_vring_num(vid);
    uint16_t size;

    for (unsigned int i = 0; i < n; i++) {
        if (is_ring_in_use(vid, i, &size)) {
            return true;
        }
    }
    return false;
}
