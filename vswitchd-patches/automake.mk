# SPDX-License-Identifier: Apache-2.0

EXTRA_DIST += \
	vswitchd-patches/3.1.0/0001-netdev-plugin-Load-netdev-provider-plugins.patch \
	vswitchd-patches/3.1.0/0002-netdev-dpdk-Leave-port-types-to-the-plugin-that-provides-them.patch \
	vswitchd-patches/3.1.0/series
