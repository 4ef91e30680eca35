# SPDX-License-Identifier: Apache-2.0

# Variants of a plugin that does nothing, to test the switch's plugin loader
# with.  See fake-plugin.c.

# The members of "struct netdev_plugin_abi"; plugin.at checks that none is
# missing here.
FAKE_PLUGIN_NUMBERS = \
	length \
	cache_line_size \
	netdev_size \
	netdev_class_size \
	netdev_rxq_size \
	dp_packet_size \
	dp_packet_batch_size \
	netdev_stats_size \
	netdev_queue_stats_size \
	netdev_custom_counter_size \
	netdev_custom_stats_size \
	smap_size \
	ovs_mutex_size \
	vlog_module_size \
	coverage_counter_size \
	RTE_CACHE_LINE_SIZE_setting \
	RTE_MAX_ETHPORTS_setting \
	RTE_MAX_LCORE_setting \
	RTE_MEMPOOL_CACHE_MAX_SIZE_setting \
	RTE_PKTMBUF_HEADROOM_setting
FAKE_PLUGIN_STRINGS = \
	ovs_version \
	dpdk_version \
	headers_digest

FAKE_PLUGINS = \
	$(FAKE_PLUGIN_NUMBERS:%=tests/unit/plugins/abi-%.so) \
	$(FAKE_PLUGIN_STRINGS:%=tests/unit/plugins/abi-%.so) \
	tests/unit/plugins/fake.so \
	tests/unit/plugins/init-errno.so \
	tests/unit/plugins/init-reason.so \
	tests/unit/plugins/no-descriptor.so \
	tests/unit/plugins/no-such-function.so \
	tests/unit/plugins/type-client.so \
	tests/unit/plugins/type-system.so \
	tests/unit/plugins/type-vhost.so

$(FAKE_PLUGIN_NUMBERS:%=tests/unit/plugins/abi-%.so): \
	FAKE_PLUGIN_FLAGS = -DBREAK_NUMBER=$(@:tests/unit/plugins/abi-%.so=%)
$(FAKE_PLUGIN_STRINGS:%=tests/unit/plugins/abi-%.so): \
	FAKE_PLUGIN_FLAGS = -DBREAK_STRING=$(@:tests/unit/plugins/abi-%.so=%)
tests/unit/plugins/init-errno.so: FAKE_PLUGIN_FLAGS = -DFAIL_INIT=ENODEV
tests/unit/plugins/init-reason.so: FAKE_PLUGIN_FLAGS = \
	-DFAIL_INIT=ENODEV -DFAIL_REASON='"the fake device is missing"'
tests/unit/plugins/no-descriptor.so: FAKE_PLUGIN_FLAGS = -DNO_DESCRIPTOR
tests/unit/plugins/no-such-function.so: FAKE_PLUGIN_FLAGS = -DNO_SUCH_FUNCTION
tests/unit/plugins/type-client.so: FAKE_PLUGIN_FLAGS = -DTYPE=dpdkvhostuserclient
tests/unit/plugins/type-system.so: FAKE_PLUGIN_FLAGS = -DTYPE=system
tests/unit/plugins/type-vhost.so: FAKE_PLUGIN_FLAGS = \
	-DTYPE=dpdkvhostuser -DOTHER_TYPE=dpdkvhostuserclient

$(FAKE_PLUGINS): tests/unit/plugins/fake-plugin.c openvswitch/.built
	@$(MKDIR_P) $(@D)
	$(AM_V_CCLD)$(CC) $(AM_CPPFLAGS) $(CPPFLAGS) $(WARNING_CFLAGS) \
	    -Wno-override-init -fno-strict-aliasing $(CFLAGS) $(FAKE_PLUGIN_FLAGS) \
	    -fPIC -shared $(LDFLAGS) \
	    -o $@ $(srcdir)/tests/unit/plugins/fake-plugin.c

check_DATA = $(FAKE_PLUGINS)
CLEANFILES += $(FAKE_PLUGINS)
EXTRA_DIST += tests/unit/plugins/fake-plugin.c
