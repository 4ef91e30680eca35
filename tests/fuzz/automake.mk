# SPDX-License-Identifier: Apache-2.0

# Fuzzers of what a guest can reach, with clang's libFuzzer.  The sources are
# compiled anew, because the compiler is another.  The variants -race are
# explained in fuzz-guest.h.

FUZZERS = \
	tests/fuzz/fuzz-native \
	tests/fuzz/fuzz-native-race \
	tests/fuzz/fuzz-offload \
	tests/fuzz/fuzz-virtq \
	tests/fuzz/fuzz-virtq-race

fuzz_sources = \
	lib/guest-memory.c \
	lib/virtq-packed.c \
	lib/virtq-split.c \
	lib/virtq.c \
	tests/fuzz/fuzz-guest.c \
	tests/unit/virtq-driver.c
fuzz_native_sources = \
	lib/vhost-datapath-native-rx.c \
	lib/vhost-datapath-native-tx.c \
	lib/vhost-datapath-native.c \
	lib/vhost-dma.c \
	lib/vhost-guard.c \
	lib/vhost-mapping.c \
	lib/vhost-offload.c \
	lib/vhost-use.c \
	lib/vhost-zerocopy.c
fuzz_headers = \
	lib/guest-memory.h \
	lib/vhost-datapath-native.h \
	lib/vhost-datapath.h \
	lib/vhost-device.h \
	lib/vhost-dma.h \
	lib/vhost-guard.h \
	lib/vhost-mapping.h \
	lib/vhost-offload.h \
	lib/vhost-stats.h \
	lib/vhost-use.h \
	lib/vhost-zerocopy.h \
	lib/virtq-private.h \
	lib/virtq.h \
	tests/fuzz/fuzz-guest.h \
	tests/unit/virtq-driver.h
EXTRA_DIST += \
	tests/fuzz/corpus \
	tests/fuzz/fuzz-guest.c \
	tests/fuzz/fuzz-guest.h \
	tests/fuzz/fuzz-native.c \
	tests/fuzz/fuzz-offload.c \
	tests/fuzz/fuzz-virtq.c \
	tests/fuzz/fuzz_messages.py
CLEANFILES += $(FUZZERS) $(FUZZERS:%=%.log)
CLEAN_DIRS += tests/fuzz/corpus-*

# $(call link_fuzzer,SOURCES,FLAGS)
link_fuzzer = $(AM_V_CCLD)$(LIBTOOL) $(AM_V_lt) --tag=CC --mode=link \
	$(CLANG) -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -fno-strict-aliasing \
	-O2 -g -march=x86-64-v2 -w -I $(srcdir)/tests/unit $(AM_CPPFLAGS) $(2) \
	-o $@ $(addprefix $(srcdir)/,$(fuzz_sources) $(1)) \
	openvswitch/lib/libopenvswitch.la $(DPDK_LIBS) $(NUMA_LIBS)

$(FUZZERS): $(fuzz_sources) $(fuzz_native_sources) $(fuzz_headers) \
	openvswitch/.built

tests/fuzz/fuzz-virtq: tests/fuzz/fuzz-virtq.c
	$(call link_fuzzer,$@.c)
tests/fuzz/fuzz-virtq-race: tests/fuzz/fuzz-virtq.c
	$(call link_fuzzer,$(@:-race=.c),-DFUZZ_RACE)
tests/fuzz/fuzz-offload: tests/fuzz/fuzz-offload.c
	$(call link_fuzzer,lib/vhost-offload.c $@.c)
tests/fuzz/fuzz-native: tests/fuzz/fuzz-native.c
	$(call link_fuzzer,$(fuzz_native_sources) $@.c)
tests/fuzz/fuzz-native-race: tests/fuzz/fuzz-native.c
	$(call link_fuzzer,$(fuzz_native_sources) $(@:-race=.c),-DFUZZ_RACE)

# "make fuzz FUZZERS=tests/fuzz/fuzz-offload" runs that one.
#
# Runs each of them for FUZZ_TIME seconds.  What they find on the way is kept
# until "make clean"; an input that fails is in tests/fuzz/fuzz-*-crash-*.
FUZZ_TIME = 60

fuzz:
	@command -v $(CLANG) > /dev/null || { \
	    echo >&2 "$(CLANG) is missing: install the Debian packages clang" \
	        "and libclang-rt-dev"; \
	    exit 1; \
	}
	+@$(MAKE) --no-print-directory $(FUZZERS)
	@for fuzzer in $(FUZZERS); do \
	    name=$${fuzzer##*/fuzz-}; \
	    level=$${name%-race}; \
	    corpus=tests/fuzz/corpus-$$level; \
	    mkdir -p $$corpus; \
	    $$fuzzer -max_total_time=$(FUZZ_TIME) -max_len=1024 -timeout=10 \
	        -print_final_stats=1 -artifact_prefix=$$fuzzer- \
	        $$corpus $(srcdir)/tests/fuzz/corpus/$$level \
	        > $$fuzzer.log 2>&1 || { tail -n 60 $$fuzzer.log; exit 1; }; \
	    awk -v name=$$name '{ for (i = 1; i < NF; i++) \
	            if ($$i == "cov:") cov = $$(i + 1) } \
	        /number_of_executed_units/ { n = $$NF } \
	        END { printf "  FUZZ     %s: %d executions, coverage %d\n", \
	              name, n, cov }' $$fuzzer.log; \
	done
	+@$(MAKE) --no-print-directory fuzz-messages

# Messages to a whole switch, as root: part of "make check-system", too, for a
# moment.  An input is a number, of which tests/fuzz/corpus/messages has some.
fuzz-messages: all tests/system-testsuite
	@rm -f tests/fuzz-messages.log
	$(call run_suite,tests/system-testsuite,-j1 -k fuzz-messages,FUZZ_TIME=$(FUZZ_TIME))
	@test ! -e tests/fuzz-messages.log \
	    || sed 's/^/  FUZZ     messages: /' tests/fuzz-messages.log

.PHONY: fuzz fuzz-messages
