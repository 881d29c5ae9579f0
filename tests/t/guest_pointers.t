#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pointers that are the kernel's to refuse: a hook follows none that it has not read; and calls by syscall(2) are recorded."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from guest import GuestTap, PROGRAMS, same  # noqa: E402

tap = GuestTap()
bare, _, trace = same(tap, 'bad pointers', [f'{PROGRAMS}/guest_pointers'])
tap.ok(len(bare.out.splitlines()) >= 20, 'bad pointers: all calls were made', bare.out)
calls = [line for line in trace.of('sock') if ' op=connect ' in line and ' fd=-1 ' in line]
tap.equal(len(calls), 2, 'a connect that was refused is recorded, by syscall(2) too')
accepted = [line for line in trace.of('desc_open') if ' op=accept ' in line]
tap.ok(accepted and all('127.0.0.1' in line for line in accepted),
       'an accepted connection has its peer\'s address, though the host had no room for it', '\n'.join(accepted))
tap.done()
