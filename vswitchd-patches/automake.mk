# SPDX-License-Identifier: Apache-2.0

dist_noinst_SCRIPTS += vswitchd-patches/choose
EXTRA_DIST += \
	vswitchd-patches/3.1.0/0001-netdev-plugin-Load-netdev-provider-plugins.patch \
	vswitchd-patches/3.1.0/0002-netdev-dpdk-Leave-port-types-to-the-plugin-that-provides-them.patch \
	vswitchd-patches/3.1.0/0003-dp-packet-Make-room-in-DPDK-packets-with-an-external-buffer.patch \
	vswitchd-patches/3.1.0/series \
	vswitchd-patches/3.5.0/0001-netdev-plugin-Load-netdev-provider-plugins.patch \
	vswitchd-patches/3.5.0/0002-netdev-dpdk-Leave-port-types-to-the-plugin-that-provides-them.patch \
	vswitchd-patches/3.5.0/0003-dp-packet-Make-room-in-DPDK-packets-with-an-external-buffer.patch \
	vswitchd-patches/3.5.0/series \
	vswitchd-patches/3.7.0/series \
	vswitchd-patches/4.0.0/0001-netdev-plugin-Load-netdev-provider-plugins.patch \
	vswitchd-patches/4.0.0/0002-netdev-dpdk-Leave-port-types-to-the-plugin-that-provides-them.patch \
	vswitchd-patches/4.0.0/0003-dp-packet-Prefer-an-mbuf-s-own-buffer-to-a-new-one.patch \
	vswitchd-patches/4.0.0/series
