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


#ifndef NETDEV_VHOST_H
#define NETDEV_VHOST_H 1

/* Registers the classes of vhost-user netdevs.  Main thread, once. */
void netdev_vhost_register(void);

/* The types that netdev_vhost_register() registers, ended by NULL. */
extern const char *const netdev_vhost_types[];

#endif /* netdev-vhost.h */
