#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts with many threads: the same with the shim as without, and every thread is in the trace."""

import collections
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from guest import LONG, GuestTap, PROGRAMS, note, same  # noqa: E402

MARK_BYTES = 100000
tap = GuestTap()


def case(*arguments, **options):
    return same(tap, ' '.join(arguments), [f'{PROGRAMS}/guest_threads', *arguments], **options)


def marked(trace):
    """How often each thread number allocated its block, by the trace."""
    sizes = (int(re.search(r' size=(\d+)', line).group(1)) - MARK_BYTES for line in trace.of('alloc'))
    return collections.Counter(n for n in sizes if 0 <= n < 3000)


def said_or_whole(trace, seen, wanted, name):
    """A thread for which no slot was free is not recorded: then the trace must say so."""
    tap.ok(seen == wanted or (seen < wanted and trace.unslotted), f'{name}: each thread is in the trace, or missing ones are said',
           f'{seen} of {wanted}, unslotted {trace.unslotted}')
    if seen < wanted:
        note(f'{name}: {wanted - seen} of {wanted} threads found no slot')


*_, trace = case('at_once', '2000', timeout=120)
seen = marked(trace)
tap.equal(sorted(seen.elements()), list(range(2000)), 'at_once: each of 2000 threads is in the trace, once')
tap.equal(sum(' op=read ' in line and ' bytes=10 ' in line for line in trace.of('io')), 2000, 'at_once: and so is its I/O')
tap.equal(len(trace.of('thread_end')), 2001, 'at_once: and its end')

*_, trace = case('at_once', '2500', timeout=120, lossless=False)
said_or_whole(trace, sum(marked(trace).values()), 2500, 'at_once, more than there are slots')

count = 100000 if LONG else 20000
_, shimmed, trace = case('in_sequence', str(count), timeout=120, lossless=False)
said_or_whole(trace, sum(marked(trace).values()), count, 'in_sequence')
resident = [int(n) for line in shimmed.measured for n in re.findall(r'resident (\d+)', line)]
tap.ok(resident and resident[-1] < 2048 * (512 + 64), 'in_sequence: the memory of the host stays bounded', shimmed.measured)
recorder = [int(n) for n in re.findall(r'rss_bytes=(\d+)', '\n'.join(trace.of('recorder')))]
note(f'in_sequence: recorder {max(recorder) // 1024} kB resident at most')

*_, trace = case('outlive')
tap.equal(sum(marked(trace).values()), 8, 'outlive: threads that outlive main are in the trace')
*_, trace = case('names')
names = {word for line in trace.of('thread') for word in re.findall(r'guest-\d', line)}
tap.equal(len(names), 4, 'names: the trace has the names that threads gave themselves')
*_, trace = case('by_syscall', '1000')
tap.equal(sum(marked(trace).values()), 1000, 'by_syscall: threads that end by a system call are in the trace')
case('environment', '1000')
tap.done()
