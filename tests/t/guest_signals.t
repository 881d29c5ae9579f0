#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Signals, jumps, coroutines and cancelled threads in the middle of hooks: the same with the shim as without, and recording
goes on afterwards."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from guest import LONG, GuestTap, PROGRAMS, same  # noqa: E402

tap = GuestTap()
MARKS = 100


def case(*arguments, marked=False, todo_marks=None, **options):
    name = ' '.join(arguments)
    *_, trace = same(tap, name, [f'{PROGRAMS}/guest_signals', *arguments], **options)
    if marked:
        seen = sum(' size=54321 ' in line for line in trace.of('alloc')) if trace else 0
        tap.expect(seen == MARKS, f'{name}: recording goes on', f'{seen} of {MARKS} later allocations', todo_marks)


case('timer', marked=True)
case('timer_allocates', marked=True)
# What a jump leaves half written is lost, and counted.
case('jumps', marked=True, lossless=False)
case('jumps_blocked', marked=True)
case('jumps_maps', marked=True, lossless=False)
case('altstack', '65536')
case('altstack', '8192')
case('altstack', '4096')
case('coroutines', '30000' if LONG else '2000', marked=True)
case('masks')
for how in ('default', 'caught', 'ignored'):
    case('sigpipe', how)
case('faults', marked=True)
case('overflows')
for how in ('abort', 'kill', 'term'):
    case('ends', how)
case('cancels', 'deferred', marked=True)
case('cancels', 'asynchronous', marked=True, lossless=False) # as a jump
tap.done()
