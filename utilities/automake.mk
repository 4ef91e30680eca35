# SPDX-License-Identifier: Apache-2.0

dist_noinst_SCRIPTS += \
	utilities/ovs-vhost-bench \
	utilities/ovs-vhost-build \
	utilities/ovs-vhost-check \
	utilities/ovs-vhost-demo \
	utilities/ovs-vhost-exporter \
	utilities/ovs-vhost-map \
	utilities/ovs-vhost-numa-lab
EXTRA_DIST += \
	utilities/bash-completion/ovs-vhost-map \
	utilities/bugtool/netdev-vhost.xml \
	utilities/ovs-vhost-bench-probe.c \
	utilities/ovs-vhost-lib.sh \
	utilities/usdt/vhost_connections.bt \
	utilities/usdt/vhost_copies.bt \
	utilities/usdt/vhost_drops.bt

# The least that a switch can do, for ovs-vhost-bench.
EXTRA_PROGRAMS += utilities/ovs-vhost-bench-raw
utilities_ovs_vhost_bench_raw_SOURCES = utilities/ovs-vhost-bench-raw.c
utilities_ovs_vhost_bench_raw_LDADD = \
	lib/libnetdevvhost.la \
	openvswitch/lib/libopenvswitch.la \
	$(DPDK_LIBS) $(NUMA_LIBS)
CLEANFILES += utilities/ovs-vhost-bench-raw
