# SPDX-License-Identifier: Apache-2.0

DOC_SOURCE = \
	Documentation/comparison.rst \
	Documentation/conf.py \
	Documentation/howto/guests/dpdk.rst \
	Documentation/howto/guests/drops.rst \
	Documentation/howto/guests/index.rst \
	Documentation/howto/guests/iommu.rst \
	Documentation/howto/guests/jumbo-frames.rst \
	Documentation/howto/guests/libvirt-domain.xml \
	Documentation/howto/guests/libvirt.rst \
	Documentation/howto/guests/migration.rst \
	Documentation/howto/guests/multiqueue.rst \
	Documentation/howto/guests/network-boot.rst \
	Documentation/howto/guests/ovirt-domain.xml \
	Documentation/howto/guests/reconnect.rst \
	Documentation/howto/guests/tap.rst \
	Documentation/howto/guests/tso.rst \
	Documentation/howto/guests/vduse.rst \
	Documentation/howto/metrics.rst \
	Documentation/howto/numa-after.txt \
	Documentation/howto/numa-bad.svg \
	Documentation/howto/numa-before.txt \
	Documentation/howto/numa-good.svg \
	Documentation/howto/numa-show-local.txt \
	Documentation/howto/numa-show-remote.txt \
	Documentation/howto/numa-walk-through.sh \
	Documentation/howto/numa.rst \
	Documentation/howto/ovn.rst \
	Documentation/howto/packages.rst \
	Documentation/howto/tracing.rst \
	Documentation/howto/troubleshooting.rst \
	Documentation/howto/vhost-user.rst \
	Documentation/howto/zero-copy.rst \
	Documentation/index.rst \
	Documentation/internals/coding-style.rst \
	Documentation/internals/first-change.rst \
	Documentation/internals/architecture.svg \
	Documentation/internals/draw-pictures.py \
	Documentation/internals/glossary.rst \
	Documentation/internals/operation.rst \
	Documentation/internals/patches.rst \
	Documentation/internals/sequence.svg \
	Documentation/internals/testing.rst \
	Documentation/internals/versions.rst \
	Documentation/performance.rst \
	Documentation/scale.svg \
	Documentation/quickstart.rst \
	Documentation/reference/bench.rst \
	Documentation/reference/exporter.rst \
	Documentation/reference/log.rst \
	Documentation/reference/map.rst \
	Documentation/reference/metrics.rst \
	Documentation/reference/numa-lab.rst \
	Documentation/reference/placement.rst \
	Documentation/reference/plugins.rst \
	Documentation/reference/ports.rst \
	Documentation/security.rst
EXTRA_DIST += $(DOC_SOURCE)

SPHINXBUILD = sphinx-build

draw_pictures = python3 $(srcdir)/Documentation/internals/draw-pictures.py

# The reference matches the source, and the pictures what draws them.
docs-check: docs-html
	python3 $(srcdir)/tests/lint/check-reference.py $(srcdir)
	$(draw_pictures) --check $(srcdir)/Documentation/internals

# Draws the pictures of internals/operation.rst again.
docs-pictures:
	$(draw_pictures) $(srcdir)/Documentation/internals

# Warnings are errors: a page without a link to it, a broken link.
docs-html docs-man docs-text: docs-%: $(DOC_SOURCE)
	$(SPHINXBUILD) -q -W --keep-going -b $* \
	    -d Documentation/_build/doctrees/$* $(srcdir)/Documentation \
	    Documentation/_build/$*
CLEAN_DIRS += Documentation/_build

.PHONY: docs-check docs-html docs-man docs-pictures docs-text
