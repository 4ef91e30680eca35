# SPDX-License-Identifier: Apache-2.0

# Our test suites, each from a folder of its own.  They use macros of Open
# vSwitch's, so that they are made in the build directory.

TESTSUITE_AT =
TESTSUITES =

include tests/fuzz/automake.mk
include tests/guests/automake.mk
include tests/lint/automake.mk
include tests/numa/automake.mk
include tests/ovn/automake.mk
include tests/packaging/automake.mk
include tests/system/automake.mk
include tests/unit/automake.mk
include tests/vduse/automake.mk

EXTRA_DIST += $(TESTSUITE_AT)
CLEANFILES += $(TESTSUITES) tests/sanitizer-report.*
CLEAN_DIRS += tests/*.dir tests/*.log
DISTCLEANFILES += tests/atconfig

AUTOTEST = $(AUTOM4TE) --language=autotest -I . -I $(srcdir) -I openvswitch

# Makes a suite of the first file that it depends on.
make_suite = $(AM_V_GEN)$(AUTOTEST) -o $@.tmp $< && mv $@.tmp $@
$(TESTSUITES): package.m4 tests/atlocal $(TESTSUITE_AT) openvswitch/.built

if SANITIZERS
wrapper_path = $(abs_srcdir)/tests/sanitized:
endif
AUTOTEST_PATH = $(wrapper_path)tests:openvswitch/utilities:openvswitch/ovsdb:openvswitch/vswitchd
EXTRA_DIST += tests/sanitized/ovs-vswitchd

# $(call run_suite,SUITE,FLAGS[,LAUNCHER]): also fails if a sanitizer had to
# report.
define run_suite
	@rm -f tests/sanitizer-report.*
	$(3) $(SHELL) $(1) -C tests AUTOTEST_PATH=$(AUTOTEST_PATH) $(TESTSUITEFLAGS) $(2)
	@! cat tests/sanitizer-report.* 2> /dev/null
endef
# In an argument of $(call).
comma = ,

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
	@rm -f lib/*.gcda lib/.libs/*.gcda tests/unit/*.gcda
	+@status=0; \
	for suite in $(COVERAGE_SUITES); do \
	    $(MAKE) --no-print-directory $$suite || status=1; \
	done; \
	gcovr -r $(srcdir) -f $(srcdir)/lib/ lib && exit $$status
CLEANFILES += $(foreach dir,lib tests/unit,$(dir)/*.gcda $(dir)/*.gcno)
else
coverage:
	@echo >&2 "configure with --enable-coverage first"; exit 1
endif

.PHONY: coverage
