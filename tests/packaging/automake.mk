# SPDX-License-Identifier: Apache-2.0

dist_noinst_SCRIPTS += \
	tests/packaging/debian.sh \
	tests/packaging/packages.sh
EXTRA_DIST += tests/packaging/chroot.sh
# In "make check".
TESTSUITE_AT += tests/packaging/patches.at

# The Debian packages, for this release or RELEASE.  Needs root, debootstrap,
# 512 MiB of hugepages and Debian's mirror.  Builds all it needs by itself.
check-packages: distdir
	@$(srcdir)/tests/packaging/packages.sh $(distdir) packages $(RELEASE); \
	    status=$$?; rm -rf $(distdir); exit $$status
CLEAN_DIRS += packages

# utilities/ovs-vhost-check in a chroot of Debian's RELEASE.  Needs root,
# debootstrap, hugepages and Debian's mirror.  STAGES="NAME..." for some stages
# only.
check-debian: distdir
	@$(srcdir)/tests/packaging/debian.sh $(distdir) debian-$(RELEASE) \
	    '$(RELEASE)' $(STAGES); status=$$?; rm -rf $(distdir); exit $$status
CLEAN_DIRS += debian-*

# All that takes long: for a machine that does nothing else for some hours.
# Goes on after a failure.
check-nightly:
	@status=0; \
	$(top_srcdir)/utilities/ovs-vhost-check check-guests-nightly bench \
	    || status=1; \
	$(MAKE) check-numa-guests || status=1; \
	for release in trixie forky; do \
	    $(MAKE) check-debian RELEASE=$$release || status=1; \
	    $(MAKE) check-debian RELEASE=$$release STAGES=bench || status=1; \
	done; \
	exit $$status

.PHONY: check-debian check-nightly check-packages
