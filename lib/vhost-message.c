/*
 * Copyright (c) 2026 The netdev-vhost Authors.
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

#include "util.h"

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
    memcpy(&m->offset, (const char *) message + PAYLOAD_OFFSET + 8,
           sizeof m->offset);
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
