# SPDX-License-Identifier: Apache-2.0

TESTSUITE_AT += \
	tests/vduse/vduse-testsuite.at \
	tests/vduse/vduse.at
EXTRA_DIST += tests/vduse/vduse.sh

TESTSUITES += tests/vduse-testsuite
tests/vduse-testsuite: tests/vduse/vduse-testsuite.at
	$(make_suite)

# Devices are the kernel's: needs QEMU, for a virtual machine with a kernel of
# this release.  Without VDUSE in DPDK, the tests are skipped outside of it.
vduse_lab = $(if $(shell PKG_CONFIG_PATH='$(PKG_CONFIG_PATH)' $(PKG_CONFIG) \
        --atleast-version=24.11 libdpdk && echo yes), \
    $(numa_lab) --nodes 1 --mem 1536 --hugepages 512 --timeout 1800)
check-vduse: all tests/vduse-testsuite
	$(call run_suite,tests/vduse-testsuite,-j1,$(vduse_lab))

.PHONY: check-vduse
