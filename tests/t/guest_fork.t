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
for how in ('plain', 'vm', 'both'):
    case('clones', how)
case('vforks')
case('spawns')
for how in ('daemon', 'twice'):
    case('daemons', how)
for how in ('from', '3', '0', 'syscall', 'all', 'dup2'):
    case('closes', how)
for how in ('plain', 'handlers', 'many'):
    case('storm', how, timeout=300 if LONG else 40)
for how in ('_Fork', 'fork'):
    case('in_handler', how)
tap.done()
