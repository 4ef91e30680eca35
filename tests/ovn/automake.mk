# SPDX-License-Identifier: Apache-2.0

TESTSUITE_AT += \
	tests/ovn/ovn-macros.at \
	tests/ovn/ovn-testsuite.at \
	tests/ovn/ovn.at
EXTRA_DIST += \
	tests/ovn/ovn-setup \
	tests/ovn/ovn.sh

TESTSUITES += tests/ovn-testsuite
tests/ovn-testsuite: tests/ovn/ovn-testsuite.at
	$(make_suite)

# Needs what check-guests needs, and OVN, which it unpacks.  Prints what the
# tests have measured.
check-ovn: all tests/ovn-testsuite $(guests_programs)
	$(srcdir)/tests/guests/guests-setup guests $(guests_programs)
	$(srcdir)/tests/ovn/ovn-setup ovn
	@rm -f tests/guests-figures.log
	$(call run_suite,tests/ovn-testsuite,-j1)
	@cat tests/guests-figures.log
CLEAN_DIRS += ovn ovn.new
CLEANFILES += ovn.log

.PHONY: check-ovn
