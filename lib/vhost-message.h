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

#ifndef VHOST_MESSAGE_H
#define VHOST_MESSAGE_H 1

/* Messages of the vhost-user protocol, as far as we look at them.
 *
 * librte_vhost handles all of them.  It shows them to us before and after,
 * because some change what a data path uses without another word. */

#include <stdbool.h>
#include <stdint.h>

enum vhost_request {
    VHOST_REQUEST_SET_FEATURES = 2,
    VHOST_REQUEST_RESET_OWNER = 4,
    VHOST_REQUEST_SET_MEM_TABLE = 5,
    VHOST_REQUEST_SET_LOG_BASE = 6,
    VHOST_REQUEST_SET_VRING_NUM = 8,
    VHOST_REQUEST_SET_VRING_ADDR = 9,
    VHOST_REQUEST_SET_VRING_BASE = 10,
    VHOST_REQUEST_GET_VRING_BASE = 11,
    VHOST_REQUEST_SET_VRING_CALL = 13,
    VHOST_REQUEST_SET_VRING_ENABLE = 18,
    VHOST_REQUEST_SEND_RARP = 19,
    VHOST_REQUEST_IOTLB_MSG = 22,
    VHOST_REQUEST_GET_INFLIGHT_FD = 31,
    VHOST_REQUEST_SET_INFLIGHT_FD = 32,
};

/* Which virtqueues a message may change, or the memory that they use. */
enum vhost_scope {
    VHOST_SCOPE_NONE,
    VHOST_SCOPE_VRING,          /* The one that it names. */
    VHOST_SCOPE_DEVICE,         /* Any. */
};

/* What a message says. */
struct vhost_message {
    enum vhost_request request;
    enum vhost_scope scope;
    unsigned int vring;         /* That it names, if it names one. */
    uint64_t payload;           /* Its first 8 bytes... */
    uint32_t value;             /* ...the upper half of which is this... */
    uint64_t more[3];           /* ...and the next 24 bytes. */
};

void vhost_message_parse(const void *, struct vhost_message *);
void vhost_message_range(const struct vhost_message *, unsigned int *first,
                         unsigned int *n);
bool vhost_message_stops_ring(const struct vhost_message *);
bool vhost_message_changes_layout(const struct vhost_message *, int vid);
bool vhost_message_ends_log(const struct vhost_message *, int vid);
const char *vhost_message_objection(const struct vhost_message *, int vid,
                                    bool log_ended);
void vhost_message_spoil(void *);
void vhost_message_limit_range(void *);

#endif /* vhost-message.h */
