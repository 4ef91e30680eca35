# SPDX-License-Identifier: Apache-2.0

project = 'netdev-vhost'
copyright = '2026, The netdev-vhost Authors'
extensions = []
master_doc = 'index'
exclude_patterns = []
html_theme = 'alabaster'
html_theme_options = {
    'description': 'vhost-user ports for Open vSwitch, as a plugin',
    'fixed_sidebar': True,
}
html_show_sourcelink = False

man_pages = [
    ('reference/bench', 'ovs-vhost-bench',
     'compare the cycles that a packet takes in several switches', [], 1),
    ('reference/exporter', 'ovs-vhost-exporter',
     'serve the metrics of vhost-user ports to Prometheus', [], 1),
    ('reference/map', 'ovs-vhost-map',
     'draw on which NUMA nodes vhost-user ports and their guests are', [], 1),
    ('reference/numa-lab', 'ovs-vhost-numa-lab',
     'run a command in a virtual machine with several NUMA nodes', [], 1),
]
