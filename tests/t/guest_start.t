#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts before main and after exit, with libraries around them, with odd environments: the same with the shim as without."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from guest import GuestTap, PROGRAMS, build, open_directory, same  # noqa: E402

tap = GuestTap()
at = open_directory()
START = f'{PROGRAMS}/guest_start'


def case(*arguments, name=None, program=START, **options):
    return same(tap, name or ' '.join(os.path.basename(a) for a in (program, *arguments)), [program, *arguments], **options)


library = build('guest_start/library.c', f'{at}/liblibrary.so', '-shared', '-fPIC')
indirect = build('guest_start/library.c', f'{at}/libindirect.so', '-shared', '-fPIC', '-DIFUNC')
linked = build('guest_start.c', f'{at}/linked', '-DIFUNC', '-Wl,--no-as-needed', library, f'-Wl,-rpath,{at}', '-lpthread')
linked_indirect = build('guest_start.c', f'{at}/linked_indirect', '-Wl,--no-as-needed', indirect, f'-Wl,-rpath,{at}')

# --- before main, after exit ---
case('ends')
case('ends', env={'LD_BIND_NOW': '1'}, name='ends, LD_BIND_NOW')
case('ends', program=linked, name='an IFUNC resolver of the program that allocates')
case('ends', program=linked_indirect, name='an IFUNC resolver of a library that allocates')
case('ends', preload=f'{library}:{{shim}}', bare_preload=library, name='a library that works in its constructor, before ours')
case('ends', preload=f'{{shim}}:{library}', bare_preload=library, name='a library that works in its constructor, after ours')
case('ends', preload=f'{indirect}:{{shim}}', bare_preload=indirect, name='a preloaded IFUNC resolver, before ours')
case('ends', preload=f'{{shim}}:{indirect}', bare_preload=indirect, name='a preloaded IFUNC resolver, after ours')
# A dlsym that jumps to the real one keeps the caller's place, which RTLD_NEXT goes by; one that calls it takes that away.
jumping = build('guest_start/dlsym.c', f'{at}/libjumping.so', '-shared', '-fPIC', '-DWRAP', '-O2')
calling = build('guest_start/dlsym.c', f'{at}/libcalling.so', '-shared', '-fPIC', '-DWRAP', '-fno-optimize-sibling-calls')
asking = build('guest_start/dlsym.c', f'{at}/libasking.so', '-shared', '-fPIC')
for what, path, before, after in (
        ('a dlsym that allocates', jumping, {}, {}),
        ('a dlsym that allocates and hides who asks', calling, {}, {}),
        ('a malloc that calls dlsym', asking, {'may_say': 'comes before'}, {'says': 'no malloc_usable_size'})):
    case('ends', preload=f'{path}:{{shim}}', bare_preload=path, name=f'{what}, before ours', **before)
    case('ends', preload=f'{{shim}}:{path}', bare_preload=path, name=f'{what}, after ours', **after)
for name in ('objects', 'exceptions', 'no_memory', 'uncaught'):
    case(name, program=f'{PROGRAMS}/guest_cxx')
case(program=build('guest_start/bare.c', f'{at}/bare', '-nostartfiles'), name='a host without start files')
case(program=build('guest_start/names.c', f'{at}/names', '-rdynamic'), name='a host that uses our names')

# --- libraries that come and go ---
case('dlopen', library)
case('lazy', library)
case('dlopen', indirect)
case('deepbind', library)
case('namespace', library)

# --- environment and arguments ---
for how in ('cleared', 'null', 'own'):
    case('environment', how)
case('again', 'arguments', name='no argv[0]')
case('again', 'environment', name='exec with an empty environment')
case('again', 'few', name='exec with an environment of its own')
case('nothing', env={'HOME': None, 'PATH': None, 'USER': None, 'TERM': None}, name='no HOME, no PATH')
case('closed', f'{at}/mine', name='0, 1 and 2 closed at the start')
case('closed', f'{at}/mine', name='0, 1 and 2 closed, with a line to say', env={'GUEST': '1'}, quiet='0', says='recording')
tap.done()
