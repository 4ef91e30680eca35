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
