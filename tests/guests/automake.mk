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

# What makes and checks the guests' traffic, and starts another kernel.
guests_programs = tests/guests-kexec tests/guests-traffic
EXTRA_PROGRAMS += $(guests_programs)
tests_guests_kexec_SOURCES = tests/guests/guests-kexec.c
tests_guests_traffic_SOURCES = tests/guests/guests-traffic.c
CLEANFILES += $(guests_programs)

# Needs root, 2 GiB of hugepages, and packages, which it installs.  Prints what
# the tests have measured.  What takes long has the keyword "nightly", and is
# left out unless TESTSUITEFLAGS chooses.
check-guests: guests_flags = $(if $(TESTSUITEFLAGS),,-k '!nightly')
check-guests-nightly: guests_flags = -k nightly
check-guests check-guests-nightly: all tests/guests-testsuite \
		$(guests_programs)
	$(srcdir)/tests/guests/guests-setup guests $(guests_programs)
	@rm -f tests/guests-figures.log
	$(call run_suite,tests/guests-testsuite,-j1 $(guests_flags))
	@! test -e tests/guests-figures.log || cat tests/guests-figures.log
CLEAN_DIRS += guests

.PHONY: check-guests check-guests-nightly
