#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""usage: check-reference.py SRCDIR

Compares Documentation/reference with the source: each option, status key,
counter, command, probe and message must be in both.

In the pages, names are the terms of definition lists, in double backquotes, in
the section that TOPICS says.  Messages are in literal blocks, each behind its
level or, if it is only a part of others, behind "...":

    WARN  PORT: placement: VERDICT
    ...   a descriptor is empty

in a section with the name of their log module.  A word in capitals stands for
each conversion of the source's format.

In the source, names and messages are the strings behind what TOPICS, PART and
the macros for logging say.  Of a patch, what it adds is the source.
"""

import fnmatch
import glob
import os
import re
import sys

STRING = r'((?:\s*(?:"(?:[^"\\\n]|\\.)*"|PRI\w+))+)'
CONVERSION = r'%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh?|ll?|z|j)?[a-zA-Z]'
PLACEHOLDER = r'[A-Z][A-Z_]*'

# (page, section, files, what is in front of a name or its pattern, its format)
TOPICS = [
    ('reference/ports', 'Table Open_vSwitch, other_config', 'lib/*.c',
     r'\b(?:smap_get\w*|follow)\(other_config,' + STRING, '%s'),
    ('reference/ports', 'Table Interface, options', 'lib/*.c',
     r'\bsmap_get\w*\(options,' + STRING, '%s'),
    ('reference/ports', 'Table QoS, type', 'lib/vhost-qos.c',
     r'\.name =' + STRING, '%s'),
    ('reference/ports', 'Table QoS and Queue, other_config', 'lib/*.c',
     r'\bsmap_get\w*\(details,' + STRING, '%s'),
    ('reference/ports', 'Table Interface, status', 'lib/*.c',
     r'\bsmap_add\w*\(status,\s*(?:\w+\()?' + STRING, '%s'),
    ('reference/ports', 'What ``ovs-appctl dpctl/show`` says', 'lib/*.c',
     r'\bsmap_add\w*\(config,' + STRING, '%s'),
    ('reference/ports', 'Sums', 'lib/vhost-stats.c',
     r'\bstats->([a-z]\w+) =', '%s'),
    ('reference/ports', 'Counters of the port', 'lib/vhost-stats.h',
     r'\bVHOST_COUNTER\(([a-z]\w+)\)', 'ovs_%s'),
    ('reference/ports', 'Counters of a virtqueue', 'lib/*.h',
     r'\bVHOST_VRING_STAT\(([a-z]\w+)\)', '%s'),
    ('reference/ports', 'Coverage counters', 'lib/*.c',
     r'\bCOVERAGE_DEFINE\((\w+)\)', '%s'),
    ('reference/ports', 'ovs-appctl', '*',
     r'\bunixctl_command_register\(' + STRING + ',' + STRING, '%s %s'),
    ('reference/placement', 'netdev-vhost/show --json', 'lib/*.c',
     r'\bjson_object_put\w*\(\w+,' + STRING, '%s'),
    ('reference/metrics', 'Families', 'lib/vhost-metrics.c',
     r'\bFAMILY\(([a-z]\w+), ', 'ovs_vhost_%s'),
    ('howto/tracing', 'Probes', 'lib/*',
     r'\bOVS_USDT_PROBE\(netdev_vhost, (\w+)', '%s'),
]

# Open vSwitch's name of a member of struct netdev_stats, where it is another.
RENAMED = {'multicast': 'rx_multicast_packets'}

# Of commands that are not ours.
FOREIGN = "Commands of Open vSwitch's"

# What is in front of a part of a message.  The output of some files is shown
# as a whole.
PART = r'(?:\bx\w+\(|\breturn|\bfault =|->fault,|\]\s*=|[?:])' + STRING
WHOLE = ('lib/vhost-advice.c', 'lib/vhost-placement.c', 'lib/vhost-show.c',
         'lib/vhost-show-text.c')


# The source.

def read_source(srcdir):
    """Returns {file: text}, without comments."""
    source = {}
    for path in (glob.glob(srcdir + '/lib/*.[ch]')
                 + glob.glob(srcdir + '/vswitchd-patches/*/*.patch')):
        with open(path, encoding='utf-8') as f:
            text = f.read()
        if path.endswith('.patch'):
            text = ''.join(re.findall(r'^\+(?!\+\+)(.*\n)', text, re.M))
        text = re.sub(r'/\*.*?\*/', '', text, flags=re.S)
        source[os.path.relpath(path, srcdir)] = text
    return source


def text_of(literals):
    """What adjacent string literals say."""
    pieces = re.findall(r'"((?:[^"\\]|\\.)*)"|PRI(\w)', literals)
    return re.sub(r'\\(.)', r'\1', ''.join(s or c for s, c in pieces))


def find_names(source, files, pattern, form):
    for name in fnmatch.filter(source, files):
        for match in re.finditer(pattern, source[name]):
            words = [text_of(word) if '"' in word else RENAMED.get(word, word)
                     for word in match.groups()]
            yield (form % tuple(words)).strip()


def arguments(text):
    """What is in front of the parenthesis that closes."""
    depth = 1
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[()]', text):
        depth += {'(': 1, ')': -1}.get(token.group(), 0)
        if not depth:
            return text[:token.start()]
    return text


def find_messages(source):
    """Yields (module, level, format), with neither for a part."""
    for name, text in source.items():
        module = re.search(r'VLOG_DEFINE_THIS_MODULE\((\w+)\)', text)
        for call in re.finditer(r'\bVLOG(?:_(?!DEFINE|RATE)\w+)?\(', text):
            args = arguments(text[call.end():])
            levels = re.findall(r'VL(?:OG|L)_(WARN|ERR|INFO)',
                                call.group() + args)
            if levels:
                yield (module.group(1) if module else '?', levels[-1],
                       text_of(re.search(STRING, args).group()))
        for part in re.finditer(PART, text):
            part = text_of(part.group(1))
            if re.search(r'\S \S', part) and name not in WHOLE:
                yield '', '...', part


# The pages.

def read_page(path):
    """Returns [(titles, lines)] of the sections, a section's titles from the
    page's on."""
    with open(path, encoding='utf-8') as f:
        lines = f.read().splitlines()
    page, titles, adornments, start = [], [], [], 0
    for i, (line, above) in enumerate(zip(lines[1:], lines), 1):
        if re.fullmatch(r'([-=~])\1+', line) and len(line) >= len(above) > 0:
            page.append((titles, lines[start:i - 1]))
            if line[0] not in adornments:
                adornments.append(line[0])
            titles = titles[:adornments.index(line[0])] + [above]
            start = i + 1
    return page + [(titles, lines[start:])]


def documented_names(page, section):
    for titles, lines in page:
        if section in titles and FOREIGN not in titles:
            for term, body in zip(lines, lines[1:]):
                if term.startswith('``') and body.startswith('    '):
                    yield from re.findall(r'``(.*?)``', term)


def documented_messages(page):
    for titles, lines in page:
        text = '\n'.join(lines)
        for entry in re.finditer(r'^( +)(WARN|ERR|INFO|\.\.\.) +(.*'
                                 r'(?:\n\1 {5,}.*)*)', text, re.M):
            level = entry.group(2)
            yield ('' if level == '...' else (titles + ['?'])[1], level,
                   re.sub(r'\s+', ' ', entry.group(3)))


# Both.

def as_regex(text, flags):
    pieces = re.split(CONVERSION, re.sub(r'\s+', ' ', text))
    return re.compile(PLACEHOLDER.join(map(re.escape, pieces)), flags)


def compare(where, found, documented, flags=0):
    """Yields what is wrong with two sets of tuples that end in a format, or
    what stands for it."""
    regexes = {f: as_regex(f[-1], flags) for f in found}

    def agree(f, d):
        return f[:-1] == d[:-1] and regexes[f].fullmatch(d[-1])

    if not found:
        yield '%s: the source has none' % where
    for f in found:
        if not any(agree(f, d) for d in documented):
            yield '%s: missing: %s' % (where, ' '.join(f).strip())
    for d in documented:
        if not any(agree(f, d) for f in found):
            yield '%s: invented: %s' % (where, ' '.join(d).strip())


def main(srcdir):
    source = read_source(srcdir)
    pages = {os.path.relpath(path, srcdir + '/Documentation'): read_page(path)
             for path in glob.glob(srcdir + '/Documentation/*/*.rst')}
    problems = []
    for page, section, *topic in TOPICS:
        names = documented_names(pages[page + '.rst'], section)
        problems += compare('%s.rst, %s' % (page, section),
                            {(n,) for n in find_names(source, *topic)},
                            {(n,) for n in names}, re.I)
    messages = {m for p in pages.values() for m in documented_messages(p)}
    problems += compare('messages', set(find_messages(source)), messages)
    for problem in sorted(problems):
        print(problem, file=sys.stderr)
    return len(problems) > 0


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[0])
    sys.exit(main(sys.argv[1]))
