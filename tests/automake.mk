# SPDX-License-Identifier: Apache-2.0

include tests/fuzz/automake.mk
include tests/plugins/automake.mk

# The unit tests' program.  The stub of librte_vhost takes precedence over the
# library; the functions below are replaced by tests/stub-memory.c.
check_PROGRAMS += tests/test-vhost
tests_test_vhost_SOURCES = \
	lib/netdev-vhost-plugin.c \
	tests/stub-memory.c \
	tests/stub-memory.h \
	tests/stub-rte-vhost.c \
	tests/stub-rte-vhost.h \
	tests/test-vhost-config.c \
	tests/test-vhost-dma.c \
	tests/test-vhost-loop.c \
	tests/test-vhost-mempool.c \
	tests/test-vhost-message.c \
	tests/native-fixture.c \
	tests/native-fixture.h \
	tests/test-vhost-native.c \
	tests/test-vhost-zerocopy.c \
	tests/test-vhost-offload.c \
	tests/test-vhost-placement.c \
	tests/test-vhost-port.c \
	tests/test-vhost-qos.c \
	tests/test-vhost-rxtx.c \
	tests/test-vhost-session.c \
	tests/test-vhost-show.c \
	tests/test-vhost-socket.c \
	tests/test-vhost-supply.c \
	tests/test-vhost.c \
	tests/test-vhost.h \
	tests/test-virtq-hostile.c \
	tests/test-virtq.c \
	tests/virtq-driver.c \
	tests/virtq-driver.h
tests_test_vhost_LDADD = \
	lib/libnetdevvhost.la \
	openvswitch/lib/libopenvswitch.la \
	$(DPDK_LIBS) $(NUMA_LIBS)
tests_test_vhost_LDFLAGS = \
	-Wl,--wrap=dpdk_available \
	-Wl,--wrap=follow_symlinks \
	-Wl,--wrap=get_mempolicy \
	-Wl,--wrap=numa_alloc \
	-Wl,--wrap=numa_available \
	-Wl,--wrap=numa_distance \
	-Wl,--wrap=numa_free \
	-Wl,--wrap=numa_max_node \
	-Wl,--wrap=numa_tonode_memory \
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
	-Wl,--wrap=rte_vfio_container_dma_map \
	-Wl,--wrap=rte_vfio_container_dma_unmap \
	-Wl,--wrap=time_msec \
	-Wl,--wrap=unixctl_command_register \
	-Wl,--wrap=unixctl_command_reply \
	-Wl,--wrap=unixctl_command_reply_error \
	-Wl,-z,muldefs
# The last one is for a coverage counter that Open vSwitch's netdev-dpdk has,
# too: in a switch, a plugin's symbols are its own.

# Open vSwitch's tests.
dist_noinst_SCRIPTS += \
	tests/debian.sh \
	tests/lint.sh \
	tests/numa-guest-image.sh \
	tests/ovs-dpdk-suite.sh \
	tests/ovs-unit-suite.sh \
	tests/packages.sh

# Our test suites.  They use macros of Open vSwitch's, so that they are made
# in the build directory.

TESTSUITE_AT = \
	tests/accelerator.at \
	tests/guests-testsuite.at \
	tests/numa-guests-testsuite.at \
	tests/numa-testsuite.at \
	tests/plugin.at \
	tests/system-guests-macros.at \
	tests/system-guests.at \
	tests/system-numa-guests.at \
	tests/system-numa-macros.at \
	tests/system-numa.at \
	tests/system-vhost-macros.at \
	tests/system-vhost-testsuite.at \
	tests/system-vhost.at \
	tests/system-zerocopy.at \
	tests/testsuite.at \
	tests/vhost-macros.at \
	tests/vhost-map.at \
	tests/vhost-unit.at
TESTSUITES = \
	tests/guests-testsuite \
	tests/numa-guests-testsuite \
	tests/numa-testsuite \
	tests/system-vhost-testsuite \
	tests/testsuite
EXTRA_DIST += $(TESTSUITE_AT) \
	tests/check-reference.py \
	tests/chroot.sh \
	tests/fake-qemu \
	tests/guests-setup \
	tests/guests_control.py \
	tests/lint/style.py \
	tests/lint/words \
	tests/pool_pages.py \
	tests/system-guests.sh \
	tests/system-numa.sh \
	tests/system-vhost.sh \
	tests/vhost-map-bad.json \
	tests/vhost-map-good.json \
	tests/vhost-map-span.json \
	tests/vhost_user_guest.py \
	tests/vhost_user_hostile.py \
	tests/vhost_user_offloads.py \
	tests/vhost_user_scale.py \
	tests/vhost_user_soak.py
CLEANFILES += $(TESTSUITES) tests/sanitizer-report.*
CLEAN_DIRS += tests/*.dir tests/*.log
DISTCLEANFILES += tests/atconfig

AUTOTEST = $(AUTOM4TE) --language=autotest -I . -I $(srcdir) -I openvswitch

$(TESTSUITES): package.m4 $(TESTSUITE_AT) openvswitch/.built
	$(AM_V_GEN)$(AUTOTEST) -o $@.tmp $(srcdir)/$@.at && mv $@.tmp $@

if SANITIZERS
wrapper_path = $(abs_srcdir)/tests/sanitized:
endif
AUTOTEST_PATH = $(wrapper_path)tests:openvswitch/utilities:openvswitch/ovsdb:openvswitch/vswitchd
EXTRA_DIST += tests/sanitized/ovs-vswitchd \
	tests/valgrind/suppressions \
	tests/valgrind/test-vhost

# $(call run_suite,SUITE,FLAGS[,LAUNCHER]): also fails if a sanitizer had to
# report.
define run_suite
	@rm -f tests/sanitizer-report.*
	$(3) $(SHELL) $(1) -C tests AUTOTEST_PATH=$(AUTOTEST_PATH) $(TESTSUITEFLAGS) $(2)
	@! cat tests/sanitizer-report.* 2> /dev/null
endef

check-local: tests/testsuite
	$(call run_suite,tests/testsuite)

# The unit tests under valgrind, which reports to valgrind.* in the directory of a
# test that fails.  It runs one thread at a time: not for what needs two.
VALGRIND = valgrind -q --log-file=valgrind.%p --error-exitcode=99 \
	--leak-check=full --show-leak-kinds=definite \
	--errors-for-leak-kinds=definite --num-callers=20 --fair-sched=yes \
	--suppressions=$(abs_srcdir)/tests/valgrind/suppressions
check-valgrind: wrapper_path = $(abs_srcdir)/tests/valgrind:
check-valgrind: all $(check_PROGRAMS) tests/testsuite
	$(call run_suite,tests/testsuite,-k 'unit$(comma)!parallel',VALGRIND='$(VALGRIND)')

# Needs root and hugepages.  One test at a time: they need the CPUs.
check-system: all tests/system-vhost-testsuite
	$(call run_suite,tests/system-vhost-testsuite,-j1)

# Needs QEMU, for a virtual machine with four NUMA nodes and two network cards.
numa_lab = $(srcdir)/utilities/ovs-vhost-numa-lab --share tests
check-numa: all tests/numa-testsuite
	$(call run_suite,tests/numa-testsuite,-j1,$(numa_lab) --nodes 4 \
	    --mem 1024 --hugepages 384$(comma)384$(comma)256$(comma)256 \
	    --nics 2 --timeout 900)
comma = ,

# Virtual machines in a virtual machine with two NUMA nodes: slow.
numa_guest_image = $(abs_builddir)/numa-guest
check-numa-guests: all tests/numa-guests-testsuite
	$(srcdir)/tests/numa-guest-image.sh $(numa_guest_image)
	$(call run_suite,tests/numa-guests-testsuite,-j1,NUMA_GUEST_IMAGE=$(numa_guest_image) \
	    $(numa_lab) --timeout 2400)

# Needs root, 2 GiB of hugepages, and packages, which it installs.  Prints what
# the tests have measured.
check-guests: all tests/guests-testsuite tests/guests-traffic
	$(srcdir)/tests/guests-setup guests tests/guests-traffic
	@rm -f tests/guests-figures.log
	$(call run_suite,tests/guests-testsuite,-j1)
	@cat tests/guests-figures.log
CLEAN_DIRS += guests

# The program that makes and checks the guests' traffic.
EXTRA_PROGRAMS += tests/guests-traffic
tests_guests_traffic_SOURCES = tests/guests-traffic.c
CLEANFILES += tests/guests-traffic

# Open vSwitch's system-dpdk tests, with the plugin, and with the patched
# switch alone.  Need root and hugepages.
check-ovs-dpdk: all
	$(srcdir)/tests/ovs-dpdk-suite.sh --ovs-build openvswitch \
	    --plugin-dir .libs $(TESTSUITEFLAGS)
check-ovs-dpdk-no-plugin: all
	$(srcdir)/tests/ovs-dpdk-suite.sh --ovs-build openvswitch \
	    --no-plugin $(TESTSUITEFLAGS)

# Open vSwitch's unit tests.  OVS_KEYWORDS=WORD,... for some of them only.
check-ovs: all
	$(srcdir)/tests/ovs-unit-suite.sh --ovs-build openvswitch \
	    $(if $(OVS_KEYWORDS),--keywords '$(OVS_KEYWORDS)')

# The Debian packages, for this release or RELEASE.  Needs root, debootstrap,
# 512 MiB of hugepages and Debian's mirror.  Builds all it needs by itself.
check-packages: distdir
	@$(srcdir)/tests/packages.sh $(distdir) packages $(RELEASE); \
	    status=$$?; rm -rf $(distdir); exit $$status
CLEAN_DIRS += packages

# utilities/ovs-vhost-check in a chroot of Debian's RELEASE.  Needs root,
# debootstrap, hugepages and Debian's mirror.  STAGES="NAME..." for some stages
# only.
check-debian: distdir
	@$(srcdir)/tests/debian.sh $(distdir) debian-$(RELEASE) \
	    '$(RELEASE)' $(STAGES); status=$$?; rm -rf $(distdir); exit $$status
CLEAN_DIRS += debian-*

# Static checkers: see there.
lint: openvswitch/.built
	$(srcdir)/tests/lint.sh $(srcdir) $(AM_CPPFLAGS) $(CPPFLAGS) $(CFLAGS)

# How many lines of lib/ the tests run, with configure --enable-coverage.  An
# optimized program would not tell.
COVERAGE_SUITES = check
if COVERAGE
$(netdev_vhost_la_OBJECTS) $(lib_libnetdevvhost_la_OBJECTS) \
$(tests_test_vhost_OBJECTS): private CFLAGS += -O0

coverage: all
	@command -v gcovr > /dev/null || { \
	    echo >&2 "gcovr is missing: install the Debian package gcovr"; \
	    exit 1; \
	}
	@rm -f lib/*.gcda lib/.libs/*.gcda tests/*.gcda
	+@status=0; \
	for suite in $(COVERAGE_SUITES); do \
	    $(MAKE) --no-print-directory $$suite || status=1; \
	done; \
	gcovr -r $(srcdir) -f $(srcdir)/lib/ lib && exit $$status
CLEANFILES += $(foreach dir,lib tests,$(dir)/*.gcda $(dir)/*.gcno)
else
coverage:
	@echo >&2 "configure with --enable-coverage first"; exit 1
endif

.PHONY: check-debian check-guests check-numa check-numa-guests check-ovs check-ovs-dpdk check-ovs-dpdk-no-plugin check-packages check-system check-valgrind coverage lint
