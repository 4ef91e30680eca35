# SPDX-License-Identifier: Apache-2.0

TESTSUITE_AT += \
	tests/system/system-macros.at \
	tests/system/system-testsuite.at \
	tests/system/system.at \
	tests/system/zerocopy.at
dist_noinst_SCRIPTS += \
	tests/system/ovs-dpdk-suite.sh \
	tests/system/ovs-unit-suite.sh
EXTRA_DIST += \
	tests/system/pool_pages.py \
	tests/system/system.sh \
	tests/system/vhost_user_guest.py \
	tests/system/vhost_user_hostile.py \
	tests/system/vhost_user_offloads.py \
	tests/system/vhost_user_scale.py \
	tests/system/vhost_user_soak.py

TESTSUITES += tests/system-testsuite
tests/system-testsuite: tests/system/system-testsuite.at
	$(make_suite)

# Needs root and hugepages.  One test at a time: they need the CPUs.
check-system: all tests/system-testsuite
	$(call run_suite,tests/system-testsuite,-j1)

# Open vSwitch's system-dpdk tests, with the plugin, and with the patched
# switch alone.  Need root and hugepages.
check-ovs-dpdk: all
	$(srcdir)/tests/system/ovs-dpdk-suite.sh --ovs-build openvswitch \
	    --plugin-dir .libs $(TESTSUITEFLAGS)
check-ovs-dpdk-no-plugin: all
	$(srcdir)/tests/system/ovs-dpdk-suite.sh --ovs-build openvswitch \
	    --no-plugin $(TESTSUITEFLAGS)

# Open vSwitch's unit tests.  OVS_KEYWORDS=WORD,... for some of them only.
check-ovs: all
	$(srcdir)/tests/system/ovs-unit-suite.sh --ovs-build openvswitch \
	    $(if $(OVS_KEYWORDS),--keywords '$(OVS_KEYWORDS)')

.PHONY: check-ovs check-ovs-dpdk check-ovs-dpdk-no-plugin check-system
