#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""usage: style.py SRCDIR [FILE...]

Checks the style of the files that git has in SRCDIR, or of these FILEs of
them, as far as a program can: Documentation/internals/coding-style.rst has the
rules.  Prints a line "FILE:LINE: what is wrong" for each fault, and counts
what the list of words has found.
"""

import collections
import os
import re
import subprocess
import sys

MAX_COLUMNS = 79
MAX_FUNCTION = 60               # Lines, from its type to the closing brace.

SOURCE = re.compile(r'(lib|tests|utilities)/.*\.(c|h|py|sh)$'
                    r'|utilities/ovs-vhost-[a-z-]+$')
PAGE = re.compile(r'(Documentation/.*|[A-Z]+)\.rst$')
C = re.compile(r'(lib|tests|utilities)/.*\.[ch]$')
LIB = re.compile(r'lib/.*\.[ch]$')
WORDED = re.compile(r'(lib|utilities)/|Documentation/.*\.(rst|py|sh)$'
                    r'|[A-Z]+\.rst$|NEWS$')
# Patches, and what programs have written.
FOREIGN = re.compile(r'vswitchd-patches/|tests/fuzz/corpus|Documentation/.*'
                     r'\.(svg|txt)$|LICENSE$')
WORDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'words')


def literal_blocks(lines):
    """Yields whether each line of a page is in a literal block or a directive
    other than a table."""
    indent = None
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line.strip() and indent is not None and depth <= indent:
            indent = None
        yield indent is not None
        if indent is None and line.rstrip().endswith('::'):
            indent = depth


def is_breakable(line):
    """Has 'line' a blank at which it could be broken before its limit?  What
    leads a comment or an item of a list is not counted."""
    text = re.sub(r'^[\s*#/|-]*', '', line)
    return ' ' in text[:MAX_COLUMNS - (len(line) - len(text))]


def is_foreign(line):
    """Is 'line' XML, or a row of a table, in which a break is another one?"""
    return ('://' in line or '</' in line or '/>' in line
            or len(re.findall(r'\S {2,}\S', line)) > 2)


def check_lines(name, lines):
    literal = list(literal_blocks(lines)) if PAGE.match(name) else None
    for i, line in enumerate(lines):
        if line != line.rstrip():
            yield i, 'white space at the end of the line'
        if '\t' in line and C.match(name):
            yield i, 'a tab'
        if (len(line) > MAX_COLUMNS and is_breakable(line)
                and not is_foreign(line)
                and (SOURCE.match(name) or literal and not literal[i])):
            yield i, '%d columns, of %d' % (len(line), MAX_COLUMNS)


def check_functions(lines):
    """The functions of a file of lib/, which start behind an empty line or a
    comment and have their braces in the first column."""
    start = 0
    for i, line in enumerate(lines):
        if not line or line.endswith('*/') or line.startswith('#'):
            start = i + 1
        if line == '{':
            body = i
            while lines[i] != '}':
                i += 1
            if i - start >= MAX_FUNCTION:
                yield body, ('a function of %d lines, of %d'
                             % (i - start + 1, MAX_FUNCTION))


def read_words():
    """Returns [(regular expression, replacement)]."""
    words = []
    with open(WORDS, encoding='utf-8') as f:
        for line in f:
            if not line.startswith('#'):
                pattern, instead = re.split(r'  +', line.strip(), maxsplit=1)
                # A blank may be the end of a line, with a comment's star or
                # a string's quotes.
                pattern = pattern.replace(' ', r'[ \n"*#]+')
                words.append((re.compile(pattern, re.I), instead))
    return words


def check_words(text, words):
    for regex, instead in words:
        for match in regex.finditer(text):
            word = re.sub(r'[\s"*#/]+', ' ', match.group()).strip().lower()
            yield (text.count('\n', 0, match.start()), word,
                   '"%s": %s' % (word, instead))


def main(srcdir, *files):
    names = files or subprocess.check_output(
        ['git', '-C', srcdir, 'ls-files'], text=True).splitlines()
    words, counts, faults = read_words(), collections.Counter(), 0
    for name in names:
        path = os.path.join(srcdir, name)
        if FOREIGN.match(name) or not os.path.isfile(path):
            continue
        try:
            with open(path, encoding='utf-8') as f:
                text = f.read()
        except UnicodeDecodeError:
            continue
        lines = text.split('\n')[:-1]
        found = list(check_lines(name, lines))
        if LIB.match(name):
            found += check_functions(lines)
        if WORDED.match(name):
            for line, word, what in check_words(text, words):
                counts[word] += 1
                found.append((line, what))
        for line, what in sorted(found):
            print('%s:%d: %s' % (name, line + 1, what))
        faults += len(found)
    if counts:
        print('words: ' + ', '.join('%s %d' % count
                                    for count in counts.most_common()))
    return faults > 0


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(__doc__.splitlines()[0])
    sys.exit(main(*sys.argv[1:]))
