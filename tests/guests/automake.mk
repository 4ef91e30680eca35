# SPDX-License-Identifier: Apache-2.0

TESTSUITE_AT += \
	tests/guests/drivers.at \
	tests/guests/firmware.at \
	tests/guests/guests-macros.at \
	tests/guests/guests-testsuite.at \
	tests/guests/guests.at
EXTRA_DIST += \
	tests/guests/drivers.sh \
	tests/guests/firmware.sh \
	tests/guests/guests-setup \
	tests/guests/guests.sh \
	tests/guests/guests_control.py

TESTSUITES += tests/guests-testsuite
tests/guests-testsuite: tests/guests/guests-testsuite.at
	$(make_suite)

# Needs root, 2 GiB of hugepages, and packages, which it installs.  Prints what
# the tests have measured.  What takes long has the keyword "nightly", and is
# left out unless TESTSUITEFLAGS chooses.
check-guests: guests_flags = $(if $(TESTSUITEFLAGS),,-k '!nightly')
check-guests-nightly: guests_flags = -k nightly
check-guests check-guests-nightly: all tests/guests-testsuite \
		tests/guests-traffic
	$(srcdir)/tests/guests/guests-setup guests tests/guests-traffic
	@rm -f tests/guests-figures.log
	$(call run_suite,tests/guests-testsuite,-j1 $(guests_flags))
	@! test -e tests/guests-figures.log || cat tests/guests-figures.log
CLEAN_DIRS += guests

# The program that makes and checks the guests' traffic.
EXTRA_PROGRAMS += tests/guests-traffic
tests_guests_traffic_SOURCES = tests/guests/guests-traffic.c
CLEANFILES += tests/guests-traffic

.PHONY: check-guests check-guests-nightly
