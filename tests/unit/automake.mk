# SPDX-License-Identifier: Apache-2.0

include tests/unit/plugins/automake.mk

# The unit tests' program.  The stub of librte_vhost takes precedence over the
# library; the functions below are replaced by tests/unit/stub-memory.c.
check_PROGRAMS += tests/test-vhost
tests_test_vhost_SOURCES = \
	lib/netdev-vhost-plugin.c \
	tests/unit/meter-fixture.c \
	tests/unit/meter-fixture.h \
	tests/unit/native-fixture.c \
	tests/unit/native-fixture.h \
	tests/unit/placement-fixture.c \
	tests/unit/placement-fixture.h \
	tests/unit/port-fixture.c \
	tests/unit/port-fixture.h \
	tests/unit/rxtx-fixture.c \
	tests/unit/rxtx-fixture.h \
	tests/unit/session-fixture.c \
	tests/unit/session-fixture.h \
	tests/unit/stub-memory.c \
	tests/unit/stub-memory.h \
	tests/unit/stub-rte-vhost-guest.c \
	tests/unit/stub-rte-vhost-private.h \
	tests/unit/stub-rte-vhost-rings.c \
	tests/unit/stub-rte-vhost.c \
	tests/unit/stub-rte-vhost.h \
	tests/unit/stub-unixctl.c \
	tests/unit/stub-unixctl.h \
	tests/unit/test-guest-memory.c \
	tests/unit/test-netdev-vhost-plugin.c \
	tests/unit/test-netdev-vhost.c \
	tests/unit/test-vhost-advice.c \
	tests/unit/test-vhost-bucket.c \
	tests/unit/test-vhost-compat.c \
	tests/unit/test-vhost-config.c \
	tests/unit/test-vhost-conn-message.c \
	tests/unit/test-vhost-conn.c \
	tests/unit/test-vhost-datapath-library.c \
	tests/unit/test-vhost-datapath-native-rx.c \
	tests/unit/test-vhost-datapath-native-tx.c \
	tests/unit/test-vhost-datapath-native.c \
	tests/unit/test-vhost-device.c \
	tests/unit/test-vhost-dma.c \
	tests/unit/test-vhost-false-fault.c \
	tests/unit/test-vhost-features.c \
	tests/unit/test-vhost-gso.c \
	tests/unit/test-vhost-guard.c \
	tests/unit/test-vhost-hold.c \
	tests/unit/test-vhost-iotlb.c \
	tests/unit/test-vhost-loop.c \
	tests/unit/test-vhost-mapping.c \
	tests/unit/test-vhost-mempool.c \
	tests/unit/test-vhost-message.c \
	tests/unit/test-vhost-meter.c \
	tests/unit/test-vhost-metrics.c \
	tests/unit/test-vhost-mtu.c \
	tests/unit/test-vhost-numa.c \
	tests/unit/test-vhost-offload.c \
	tests/unit/test-vhost-patience.c \
	tests/unit/test-vhost-placement.c \
	tests/unit/test-vhost-policer.c \
	tests/unit/test-vhost-port-options.c \
	tests/unit/test-vhost-port-qos.c \
	tests/unit/test-vhost-port-status.c \
	tests/unit/test-vhost-port.c \
	tests/unit/test-vhost-ports.c \
	tests/unit/test-vhost-qos.c \
	tests/unit/test-vhost-rates.c \
	tests/unit/test-vhost-rxtx-offload.c \
	tests/unit/test-vhost-rxtx.c \
	tests/unit/test-vhost-same-socket.c \
	tests/unit/test-vhost-segment.c \
	tests/unit/test-vhost-session.c \
	tests/unit/test-vhost-show-text.c \
	tests/unit/test-vhost-show.c \
	tests/unit/test-vhost-socket-access.c \
	tests/unit/test-vhost-socket.c \
	tests/unit/test-vhost-stats.c \
	tests/unit/test-vhost-supply.c \
	tests/unit/test-vhost-tally.c \
	tests/unit/test-vhost-use.c \
	tests/unit/test-vhost-vduse.c \
	tests/unit/test-vhost-withdrawn.c \
	tests/unit/test-vhost-zerocopy.c \
	tests/unit/test-vhost.c \
	tests/unit/test-vhost.h \
	tests/unit/test-virtq-hostile.c \
	tests/unit/test-virtq-packed.c \
	tests/unit/test-virtq-split.c \
	tests/unit/test-virtq.c \
	tests/unit/virtq-driver.c \
	tests/unit/virtq-driver.h \
	tests/unit/virtq-fixture.c \
	tests/unit/virtq-fixture.h
tests_test_vhost_LDADD = \
	lib/libnetdevvhost.la \
	openvswitch/lib/libopenvswitch.la \
	$(DPDK_LIBS) $(NUMA_LIBS)
tests_test_vhost_LDFLAGS = \
	-Wl,--wrap=access \
	-Wl,--wrap=dpdk_available \
	-Wl,--wrap=follow_symlinks \
	-Wl,--wrap=get_mempolicy \
	-Wl,--wrap=ioctl \
	-Wl,--wrap=numa_alloc \
	-Wl,--wrap=numa_available \
	-Wl,--wrap=numa_distance \
	-Wl,--wrap=numa_free \
	-Wl,--wrap=numa_max_node \
	-Wl,--wrap=numa_tonode_memory \
	-Wl,--wrap=open \
	-Wl,--wrap=poll_timer_wait_at \
	-Wl,--wrap=poll_timer_wait_until_at \
	-Wl,--wrap=rte_eal_iova_mode \
	-Wl,--wrap=rte_eth_dev_callback_register \
	-Wl,--wrap=rte_eth_dev_get_name_by_port \
	-Wl,--wrap=rte_eth_dev_info_get \
	-Wl,--wrap=rte_eth_find_next_owned_by \
	-Wl,--wrap=rte_eth_tx_queue_info_get \
	-Wl,--wrap=rte_get_tsc_hz \
	-Wl,--wrap=rte_mempool_free \
	-Wl,--wrap=rte_pktmbuf_pool_create \
	-Wl,--wrap=rte_version \
	-Wl,--wrap=rte_vfio_container_dma_map \
	-Wl,--wrap=rte_vfio_container_dma_unmap \
	-Wl,--wrap=time_msec \
	-Wl,--wrap=unixctl_command_register \
	-Wl,--wrap=unixctl_command_reply \
	-Wl,--wrap=unixctl_command_reply_error \
	-Wl,--wrap=vhost_bucket_now \
	-Wl,-z,muldefs
# The last one is for a coverage counter that Open vSwitch's netdev-dpdk has,
# too: in a switch, a plugin's symbols are its own.

# With the real librte_vhost.
check_PROGRAMS += tests/test-librte-vhost
tests_test_librte_vhost_SOURCES = tests/unit/librte-vhost-layout.c
tests_test_librte_vhost_LDADD = $(tests_test_vhost_LDADD)
tests_test_librte_vhost_LDFLAGS = -Wl,-z,muldefs

# Of the switch without traffic: all that "make check" runs.
TESTSUITE_AT += \
	tests/unit/accelerator.at \
	tests/unit/check.at \
	tests/unit/plugin.at \
	tests/unit/unit-macros.at \
	tests/unit/unit-testsuite.at \
	tests/unit/vhost-exporter.at \
	tests/unit/vhost-map.at \
	tests/unit/vhost-unit.at
EXTRA_DIST += \
	tests/unit/list-tests.awk \
	tests/unit/fake-qemu \
	tests/unit/vhost-exporter.py \
	tests/unit/vhost-map-bad.json \
	tests/unit/vhost-map-good.json \
	tests/unit/vhost-map-span.json

TESTSUITES += tests/testsuite
tests/testsuite: tests/unit/unit-testsuite.at tests/unit/vhost-tests.at
	$(make_suite)

# The tests that the sources register.
tests/unit/vhost-tests.at: tests/unit/list-tests.awk \
	$(filter tests/unit/test-%.c,$(tests_test_vhost_SOURCES))
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(AWK) -f $^ > $@.tmp && mv $@.tmp $@
CLEANFILES += tests/unit/vhost-tests.at

check-local: tests/testsuite
	$(call run_suite,tests/testsuite)

# The unit tests under valgrind, which reports to valgrind.* in the directory of
# a test that fails.  It runs one thread at a time: not for what needs two.
VALGRIND = valgrind -q --log-file=valgrind.%p --error-exitcode=99 \
	--leak-check=full --show-leak-kinds=definite \
	--errors-for-leak-kinds=definite --num-callers=20 --fair-sched=yes \
	--suppressions=$(abs_srcdir)/tests/valgrind/suppressions
check-valgrind: wrapper_path = $(abs_srcdir)/tests/valgrind:
check-valgrind: all $(check_PROGRAMS) tests/testsuite
	$(call run_suite,tests/testsuite,-k 'unit$(comma)!parallel',VALGRIND='$(VALGRIND)')
EXTRA_DIST += \
	tests/valgrind/suppressions \
	tests/valgrind/test-vhost

.PHONY: check-valgrind
