# SPDX-License-Identifier: Apache-2.0

dist_noinst_SCRIPTS += \
	utilities/ovs-vhost-bench \
	utilities/ovs-vhost-build \
	utilities/ovs-vhost-check \
	utilities/ovs-vhost-demo \
	utilities/ovs-vhost-map \
	utilities/ovs-vhost-numa-lab
EXTRA_DIST += \
	utilities/ovs-vhost-bench-probe.c \
	utilities/ovs-vhost-lib.sh
