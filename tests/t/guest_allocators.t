#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The shim on top of any allocator, preloaded or linked: the allocator works as it does without, and the trace's live
blocks at the end are the program's."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from guest import LONG, GuestTap, PROGRAMS, build, open_directory, same  # noqa: E402

LIBRARIES = '/usr/lib/x86_64-linux-gnu'
ALLOCATORS = {'jemalloc': 'libjemalloc.so.2', 'tcmalloc': 'libtcmalloc_minimal.so.4', 'mimalloc': 'libmimalloc.so.2'}
MALLOC = f'{PROGRAMS}/guest_malloc'
STRESS = ['4', '200000' if LONG else '8000']
tap = GuestTap()
at = open_directory()


def in_front(name, **options):
    """Where the program's malloc is not the shim's: the host must not notice."""
    program = options.pop('program', MALLOC)
    for words, how in (['plain'], ''), ([], ', with reallocarray'):
        _, shimmed, trace = same(tap, name + how, [program, *STRESS, *words], may_say='comes before', **options)
        tap.expect('comes before' in shimmed.words or [live(trace)] == shimmed.measured,
                   f'{name}{how}: the heap is recorded, or the shim says that it is not', shimmed.words)


def is_own(size):
    return size % 64 == 19


def live(trace):
    """Blocks and bytes asked for of the program's own sizes that are live at the end of the trace."""
    blocks = {}
    for line in trace.of('alloc', 'free'):
        words = dict(word.split('=', 1) for word in line.split(' ')[3:] if '=' in word)
        if 'size' in words:
            blocks[words['ptr']] = int(words['size'])
        else:
            blocks.pop(words['ptr'], None)
    own = [size for size in blocks.values() if is_own(size)]
    return f'live {len(own)} blocks {sum(own)} bytes'


def case(name, program=MALLOC, **options):
    _, shimmed, trace = same(tap, name, [program, *STRESS], **options)
    tap.expect(trace and [live(trace)] == shimmed.measured, f'{name}: what is live at the end is the program\'s own count',
               f'{trace and live(trace)}, the program says {shimmed.measured}')


case('glibc')
for name, library in ALLOCATORS.items():
    path = f'{LIBRARIES}/{library}'
    if not os.path.exists(path):
        tap.skip(name, f'{path} is not installed')
        continue
    case(f'{name}, preloaded behind the shim', preload=f'{{shim}}:{path}', bare_preload=path)
    in_front(f'{name}, preloaded in front of the shim', preload=f'{path}:{{shim}}', bare_preload=path)
    linked = build('guest_malloc.c', f'{at}/{name}', '-Wl,--no-as-needed', path, '-lpthread')
    case(f'{name}, linked', program=linked)
in_front('a program with a malloc of its own', program=build('guest_malloc.c', f'{at}/own', '-DOWN', '-fno-builtin', '-lpthread'))

# --- glibc's own settings ---
case('GLIBC_TUNABLES', env={'GLIBC_TUNABLES': 'glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=4096'})
case('MALLOC_PERTURB_', env={'MALLOC_PERTURB_': '165'})
debug = f'{LIBRARIES}/libc_malloc_debug.so.0'
case('MALLOC_CHECK_, behind the shim', env={'MALLOC_CHECK_': '3'}, preload=f'{{shim}}:{debug}', bare_preload=debug)
in_front('MALLOC_CHECK_, in front of the shim', env={'MALLOC_CHECK_': '3'}, preload=f'{debug}:{{shim}}', bare_preload=debug)
mtrace = build('guest_malloc.c', f'{at}/mtrace', '-DMTRACE', '-lpthread')
case('mtrace', program=mtrace, env={'MALLOC_TRACE': f'{at}/mtrace.log'}, preload=f'{{shim}}:{debug}', bare_preload=debug)
with open(f'{at}/mtrace.log') as f:
    kinds = {line.split()[2] for line in f if line.startswith('@')}
tap.expect({'+', '-'} <= kinds, 'mtrace: it writes its own file under the shim too', sorted(kinds))

# --- the other ways of recording ---
for how in ('ledger', 'off'):
    same(tap, f'PERFSHIM_HEAP={how}', [MALLOC, *STRESS], env={'PERFSHIM_HEAP': how})
tap.done()
