# SPDX-License-Identifier: Apache-2.0

# The provider, for the plugin and for the unit tests.
noinst_LTLIBRARIES += lib/libnetdevvhost.la
lib_libnetdevvhost_la_SOURCES = \
	lib/guest-memory.c \
	lib/guest-memory.h \
	lib/netdev-vhost.c \
	lib/netdev-vhost.h \
	lib/vhost-advice.c \
	lib/vhost-advice.h \
	lib/vhost-bucket.c \
	lib/vhost-bucket.h \
	lib/vhost-compat.h \
	lib/vhost-config.c \
	lib/vhost-config.h \
	lib/vhost-conn-message.c \
	lib/vhost-conn.c \
	lib/vhost-conn.h \
	lib/vhost-datapath-library.c \
	lib/vhost-datapath-native-rx.c \
	lib/vhost-datapath-native-tx.c \
	lib/vhost-datapath-native.c \
	lib/vhost-datapath-native.h \
	lib/vhost-datapath.h \
	lib/vhost-device.c \
	lib/vhost-device.h \
	lib/vhost-dma.c \
	lib/vhost-dma.h \
	lib/vhost-features.c \
	lib/vhost-features.h \
	lib/vhost-guard.c \
	lib/vhost-guard.h \
	lib/vhost-hold.c \
	lib/vhost-hold.h \
	lib/vhost-iotlb.c \
	lib/vhost-iotlb.h \
	lib/vhost-mapping.c \
	lib/vhost-mapping.h \
	lib/vhost-mempool.c \
	lib/vhost-mempool.h \
	lib/vhost-message.c \
	lib/vhost-message.h \
	lib/vhost-meter.c \
	lib/vhost-meter.h \
	lib/vhost-metrics.c \
	lib/vhost-metrics.h \
	lib/vhost-numa.c \
	lib/vhost-numa.h \
	lib/vhost-offload.c \
	lib/vhost-offload.h \
	lib/vhost-patience.c \
	lib/vhost-patience.h \
	lib/vhost-placement.c \
	lib/vhost-placement.h \
	lib/vhost-policer.c \
	lib/vhost-policer.h \
	lib/vhost-port-options.c \
	lib/vhost-port-qos.c \
	lib/vhost-port-status.c \
	lib/vhost-port.c \
	lib/vhost-port.h \
	lib/vhost-ports.c \
	lib/vhost-ports.h \
	lib/vhost-qos.c \
	lib/vhost-qos.h \
	lib/vhost-rxtx.c \
	lib/vhost-rxtx.h \
	lib/vhost-segment.c \
	lib/vhost-segment.h \
	lib/vhost-session-private.h \
	lib/vhost-session.c \
	lib/vhost-session.h \
	lib/vhost-show-text.c \
	lib/vhost-show.c \
	lib/vhost-show.h \
	lib/vhost-socket.c \
	lib/vhost-socket.h \
	lib/vhost-stats.c \
	lib/vhost-stats.h \
	lib/vhost-supply.c \
	lib/vhost-supply.h \
	lib/vhost-tally.c \
	lib/vhost-tally.h \
	lib/vhost-use.c \
	lib/vhost-use.h \
	lib/vhost-vduse.c \
	lib/vhost-vduse.h \
	lib/vhost-zerocopy.c \
	lib/vhost-zerocopy.h \
	lib/virtq-packed.c \
	lib/virtq-private.h \
	lib/virtq-split.c \
	lib/virtq.c \
	lib/virtq.h
lib_libnetdevvhost_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden

# Symbols of Open vSwitch stay undefined: the switch that loads the plugin has
# them.
plugindir = $(libdir)/openvswitch/netdev-plugins
plugin_LTLIBRARIES = netdev-vhost.la
netdev_vhost_la_SOURCES = lib/netdev-vhost-plugin.c
netdev_vhost_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
netdev_vhost_la_LDFLAGS = -module -avoid-version -shared
netdev_vhost_la_LIBADD = lib/libnetdevvhost.la $(DPDK_LIBS) $(NUMA_LIBS)
