# SPDX-License-Identifier: Apache-2.0

EXTRA_DIST += \
	debian/changelog \
	debian/control \
	debian/copyright \
	debian/openvswitch-netdev-vhost.docs \
	debian/openvswitch-netdev-vhost.install \
	debian/openvswitch-netdev-vhost.links \
	debian/openvswitch-netdev-vhost.manpages \
	debian/openvswitch-netdev-vhost.ovs-vhost-exporter.service \
	debian/openvswitch-netdev-vhost.ovs-vhost-exporter.socket \
	debian/openvswitch-switch-vhost.docs \
	debian/openvswitch-switch-vhost.install \
	debian/openvswitch-switch-vhost.postinst \
	debian/openvswitch-switch-vhost.prerm \
	debian/rules \
	debian/source/format \
	debian/tests/control \
	debian/tests/port
