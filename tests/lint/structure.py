#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""usage: structure.py SRCDIR

Checks which files git has in lib/ and tests/ of SRCDIR: the tests of lib/X.c
are in tests/unit/test-X.c, and no file is too long.  Prints a line "FILE: what
is wrong" for each fault.
"""

import os
import re
import subprocess
import sys

MAX_LINES = 800

# Longer ones, and why they are not divided.
LONG = {
    'tests/system/system.at':
        'independent groups, each of which is short',
    'tests/system/vhost_user_hostile.py':
        'independent cases, each of which is short',
}

# What programs have written.
FOREIGN = re.compile(r'tests/fuzz/corpus')

LIB = re.compile(r'lib/(.*)\.c$')
TEST = re.compile(r'^VHOST_TEST\(', re.M)
TESTS_MK = 'tests/unit/automake.mk'


def read(srcdir, name):
    """Returns the text of the file, or None if it has none."""
    try:
        with open(os.path.join(srcdir, name), encoding='utf-8') as f:
            return f.read()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def check_tests(srcdir, names):
    built = (read(srcdir, TESTS_MK) or '').split()
    for name in names:
        match = LIB.match(name)
        if not match:
            continue
        test = 'tests/unit/test-%s.c' % match.group(1)
        if test not in names:
            yield name, 'has no tests: %s is missing' % test
        elif not TEST.search(read(srcdir, test) or ''):
            yield test, 'has no VHOST_TEST() for %s' % name
        elif test not in built:
            yield test, 'is not in %s' % TESTS_MK


def check_length(srcdir, names):
    for name in names:
        n = len((read(srcdir, name) or '').splitlines())
        if n > MAX_LINES and name not in LONG:
            yield name, '%d lines, of %d' % (n, MAX_LINES)
        elif n <= MAX_LINES and name in LONG:
            yield name, 'need not be in the list of long files'
    for name in set(LONG) - set(names):
        yield name, 'is in the list of long files, but does not exist'


def main(srcdir):
    names = [name for name in subprocess.check_output(
                 ['git', '-C', srcdir, 'ls-files', 'lib', 'tests'],
                 text=True).splitlines()
             if os.path.isfile(os.path.join(srcdir, name))
             and not FOREIGN.match(name)]
    faults = [*check_tests(srcdir, names), *check_length(srcdir, names)]
    for name, what in sorted(faults):
        print('%s: %s' % (name, what))
    return len(faults) > 0


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[0])
    sys.exit(main(sys.argv[1]))
