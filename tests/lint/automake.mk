# SPDX-License-Identifier: Apache-2.0

dist_noinst_SCRIPTS += tests/lint/lint.sh
# See "make docs-check".
EXTRA_DIST += \
	tests/lint/check-reference.py \
	tests/lint/structure.py \
	tests/lint/style.py \
	tests/lint/words

# Static checkers: see there.
lint: openvswitch/.built
	$(srcdir)/tests/lint/lint.sh $(srcdir) $(AM_CPPFLAGS) $(CPPFLAGS) $(CFLAGS)

.PHONY: lint
