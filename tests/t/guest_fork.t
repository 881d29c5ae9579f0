#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts that make processes in every way there is, and close what they find: the same with the shim as without."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from guest import LONG, GuestTap, PROGRAMS, same  # noqa: E402

tap = GuestTap()


def case(*arguments, **options):
    return same(tap, ' '.join(arguments), [f'{PROGRAMS}/guest_fork', *arguments], **options)


for how in ('_Fork', 'syscall_fork', 'syscall_clone', 'assembly'):
    case('raw', how)
for how in ('_Fork', 'syscall_fork', 'syscall_clone', 'assembly'):
    *_, trace = case('beside', how, lossless=False)
    parent = trace.of('process')[0].split()[1].split('/')[0] if trace.of('process') else '?'
    mine = [line.split()[1].split('/')[0] for line in trace.of('alloc') if ' size=54321 ' in line]
    other = [line.split()[1].split('/')[0] for line in trace.of('alloc') if ' size=54322 ' in line]
    tap.ok(mine == [parent] * 20000, f'beside {how}: the parent is recorded in full', len(mine))
    tap.ok(parent not in other, f'beside {how}: what the child did is not said of the parent', len(other))
    ends = [line for line in trace.of('process_end') if line.split()[1].startswith(f'{parent}/')]
    tap.ok(len(ends) == 1 and 'how=killed status=15' in ends[0], f'beside {how}: nor how it ended', ends)
case('clones', 'plain')
case('clones', 'both')
# Two tasks that run at once on one thread-local storage: the shim cannot tell them apart, and says that it stops.
case('clones', 'vm', says='shares the storage', lossless=False)
case('vforks')
case('spawns')
for how in ('daemon', 'twice'):
    case('daemons', how)
for how in ('from', '3', '0', 'syscall', 'all', 'dup2'):
    case('closes', how)
for how in ('plain', 'handlers', 'many'):
    # Threads may come and go faster than the recorder gives their slots back; then that is said.
    case('storm', how, timeout=300 if LONG else 120, lossless=False)
for how in ('_Fork', 'fork'):
    case('in_handler', how)
tap.done()
