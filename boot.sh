#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes the configure script.

cd "$(dirname "$0")" && mkdir -p m4 && exec autoreconf --install --force
