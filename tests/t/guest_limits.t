#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts under limits, without rights, behind system call filters, in odd places: the same with the shim as without."""

import os
import resource
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from guest import GuestTap, PROGRAMS, ROOT_USER, as_nobody, environment, note, open_directory, outcome, same  # noqa: E402
from harness import SHIM, have, perfanalyze, run  # noqa: E402
from servers import public_copy, public_shim  # noqa: E402

tap = GuestTap()
LIMITS = f'{PROGRAMS}/guest_limits'
SETUID = open_directory()


def case(*arguments, name=None, **options):
    return same(tap, name or ' '.join(arguments), [LIMITS, *arguments], **options)


def limited(which, low, high=None):
    return lambda: resource.setrlimit(which, (low, low if high is None else high))


# --- limits ---
case('nofile', '20')
case('nofile', '3')
case('plain', name='RLIMIT_NOFILE 8 before the start', before=limited(resource.RLIMIT_NOFILE, 8))


def open_above():
    os.dup2(0, 5000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))


if resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 5000:
    *_, trace = case('above', '5000', before=open_above, close_fds=False)
    tap.equal(len([line for line in trace.of('desc_open', 'desc_close') if ' fd=5000 ' in line]), 2,
              'above: a number beyond the limit is known')
else:
    tap.skip('above', 'the limit is low already')
case('standard_error', quiet='0', says='recording pid')
case('as_own', '256')
case('as_own', '3000')
for megabytes in (64, 512):
    case('as_parent', name=f'RLIMIT_AS {megabytes} MB before the start', before=limited(resource.RLIMIT_AS, megabytes << 20))
case('as_parent', name='RLIMIT_AS 16 MB before the start', before=limited(resource.RLIMIT_AS, 16 << 20), recorded=None,
     says='cannot record')
case('data')
case('fsize')
case('plain', name='RLIMIT_FSIZE 1 MB before the start', before=limited(resource.RLIMIT_FSIZE, 1 << 20), recorded=None,
     says='cannot record')
case('plain', name='RLIMIT_STACK 64 KB', before=limited(resource.RLIMIT_STACK, 65536))
case('plain', name='RLIMIT_STACK unlimited',
     before=limited(resource.RLIMIT_STACK, resource.getrlimit(resource.RLIMIT_STACK)[1]))
if ROOT_USER:
    def few_processes():
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        as_nobody()
    same(tap, 'RLIMIT_NPROC 0', [os.path.join(public_copy(LIMITS), 'guest_limits'), 'plain'], before=few_processes,
         preload=public_shim(), recorded=False, says='cannot record')

# --- rights ---
case('undumpable')
case('no_new_privs')
if ROOT_USER:
    case('drop')
    case('drop', open_directory(), name='drop and chroot')
    shutil.copy(LIMITS, f'{SETUID}/guest_limits')
    os.chown(f'{SETUID}/guest_limits', 1, 1)
    os.chmod(f'{SETUID}/guest_limits', 0o4755)
    same(tap, 'a set-user-id program', [f'{SETUID}/guest_limits', 'ids'], before=as_nobody, recorded=False,
         tidy=lambda text: text.replace('preload 1', 'preload 0'))
else:
    for name in ('drop', 'drop and chroot', 'a set-user-id program'):
        tap.skip(name, 'only root can')

# --- a core file holds no rings ---
core_directory = open_directory()
with open('/proc/sys/kernel/core_pattern') as f:
    pattern = f.read().strip()
if '/' in pattern or '|' in pattern:
    tap.skip('core', f'core files go to {pattern}')
else:
    places = []
    def place():
        places.append(open_directory())
        return places[-1]
    case('core', cwd=place)
    cores = [sum(os.stat(f'{at}/{name}').st_blocks * 512 for name in os.listdir(at) if name.startswith('core'))
             for at in places]
    note(f'core files: {cores[0]} bytes bare, {cores[1]} bytes preloaded')
    tap.ok(0 < cores[0] and cores[1] < cores[0] + (16 << 20), 'core: no rings in the core file', cores)

# --- system call filters ---
case('seccomp_filter', 'kill')
case('seccomp_filter', 'errno')
for how in ('prctl', 'syscall'):
    *_, trace = case('seccomp_fork', how)
    forked = trace.of('process')[1:]
    tap.ok(len(forked) == 4 and len({line.split()[1] for line in forked}) == 4,
           f'seccomp_fork {how}: children and grandchildren are in the trace', '\n'.join(forked))
case('seccomp_exec', recorded=None, says='cannot record')
case('seccomp_strict', lossless=False)

# --- file systems ---
case('no_directory', cwd=open_directory)
if ROOT_USER and run(['unshare', '--mount', '--pid', '--fork', 'true']).returncode == 0:
    def within(name, commands, *program, unshare=(), **options):
        """The program in namespaces of its own; only it is preloaded, by a variable that the script turns into LD_PRELOAD."""
        script = f'{commands}\nexec env LD_PRELOAD="$GUEST_PRELOAD" "$@"'
        return same(tap, name, ['unshare', '--mount', '--propagation', 'private', *unshare, 'sh', '-c', script, 'sh', *program],
                    preload_by='GUEST_PRELOAD', **options)

    small = open_directory()
    full = f'mount -t tmpfs -o size=64k none {small}; dd if=/dev/zero of={small}/fill bs=4k >/dev/null 2>&1; true'
    within('a full disk', full, LIMITS, 'plain', out=f'{small}/trace.zst', recorded=None, says='cannot record|No space')
    almost = f'mount -t tmpfs -o size=64k none {small}; dd if=/dev/zero of={small}/fill bs=4k count=15 >/dev/null 2>&1; true'
    within('a disk that fills', almost, f'{PROGRAMS}/alloc_check', '2', '20000', '3', out=f'{small}/trace.zst', recorded=None,
           tidy=lambda text: '')
    within('no /proc', 'umount -l /proc', LIMITS, 'plain')
    within('no /dev/shm', 'umount -l /dev/shm 2>/dev/null; true', LIMITS, 'plain')
    within('no /dev', 'mount -t tmpfs none /dev', LIMITS, 'plain')
    readonly = open_directory()
    within('a read-only directory', f'mount --bind {readonly} {readonly}; mount -o remount,ro,bind {readonly}; cd {readonly}',
           LIMITS, 'plain', out='trace.zst', recorded=False, says='cannot record')
    *_, trace = same(tap, 'a pid namespace', ['unshare', '--pid', '--fork', LIMITS, 'namespace'])
    told = [line for line in trace.of('process') if 'guest_limits' in line]
    numbers = {line.split()[1].split('/')[0] for line in told}
    tap.ok(len(told) == 2 and min(int(n) for n in numbers) > 2, 'a pid namespace: processes go by the recorder\'s numbers', told)
    ends = [line for line in trace.of('process_end') if line.split()[1].split('/')[0] in numbers and 'how=exit' in line]
    tap.equal(len(ends), 2, 'a pid namespace: both are known to have ended')
    quiet = [line.split()[1] for line in trace.of('alloc') if ' size=54321 ' in line]
    ended = [line for line in trace.of('thread_end') if quiet and f" tid={quiet[0].split('/')[1]} " in line]
    tap.ok(len(quiet) == 2 and len(set(quiet)) == 1 and len(ended) == 1, 'a pid namespace: a quiet thread is one thread',
           f'{quiet} {ended}')
    within('PID 1', 'mount -t proc proc /proc', LIMITS, 'wait_any', unshare=('--pid', '--fork', '--kill-child'), lossless=False,
           recorded=None)
else:
    tap.skip('file systems and PID 1', 'only root can')

# --- children that nobody expects ---
case('wait_any')
case('wait_any', 'subreaper')
case('become_subreaper')
tap.done()
