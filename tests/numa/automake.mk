# SPDX-License-Identifier: Apache-2.0

TESTSUITE_AT += \
	tests/numa/numa-guests-testsuite.at \
	tests/numa/numa-guests.at \
	tests/numa/numa-macros.at \
	tests/numa/numa-testsuite.at \
	tests/numa/numa.at
dist_noinst_SCRIPTS += tests/numa/numa-guest-image.sh
EXTRA_DIST += tests/numa/numa.sh

TESTSUITES += tests/numa-testsuite
tests/numa-testsuite: tests/numa/numa-testsuite.at
	$(make_suite)

# Needs QEMU, for a virtual machine with four NUMA nodes and two network cards.
numa_lab = $(srcdir)/utilities/ovs-vhost-numa-lab --share tests
check-numa: all tests/numa-testsuite
	$(call run_suite,tests/numa-testsuite,-j1,$(numa_lab) --nodes 4 \
	    --mem 1024 --hugepages 384$(comma)384$(comma)256$(comma)256 \
	    --nics 2 --timeout 1800)

TESTSUITES += tests/numa-guests-testsuite
tests/numa-guests-testsuite: tests/numa/numa-guests-testsuite.at
	$(make_suite)

# Virtual machines in a virtual machine with two NUMA nodes: slow.
numa_guest_image = $(abs_builddir)/numa-guest
check-numa-guests: all tests/numa-guests-testsuite
	$(srcdir)/tests/numa/numa-guest-image.sh $(numa_guest_image)
	$(call run_suite,tests/numa-guests-testsuite,-j1,NUMA_GUEST_IMAGE=$(numa_guest_image) \
	    $(numa_lab) --timeout 2400)

.PHONY: check-numa check-numa-guests
