#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs beyond the preload's reach: perfanalyze host says why, and the shim says so when a recorded program execs one."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import Server, Tap, have, perfanalyze, run, run_shimmed, work_dir  # noqa: E402

tap = Tap()
directory = work_dir()
os.chmod(directory, 0o755)
LOUD = {'PERFSHIM_QUIET': None}
WHOLE, PARTLY, NOTHING = 0, 1, 2


def build(name, source, *options, compiler='gcc'):
    """A program made of C source; None if it cannot be made here."""
    path = os.path.join(directory, name)
    made = have(compiler) and subprocess.run([compiler, '-x', 'c', '-o', path, '-', *options], input=source,
                                             capture_output=True, text=True, timeout=60)
    return path if made and made.returncode == 0 else None


HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 3; }\n'
MALLOC = '#include <stdlib.h>\nvoid *malloc(size_t n) { (void)n; return 0; }\nint main(void) { return malloc(9) != 0; }\n'
SSL = 'int SSL_read(void) { return 7; }\nint main(void) { return SSL_read(); }\n'
JEMALLOC = 'void *je_malloc(void) { return 0; }\nint main(void) { return je_malloc() != 0; }\n'
MODE = {'setuid': 0o4755, 'setgid': 0o2755}


def copy(name, source, mode=0o755):
    path = os.path.join(directory, name)
    shutil.copy(source, path)
    os.chmod(path, mode)
    return path


def script(name, text):
    path = os.path.join(directory, name)
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


plain = build('plain', HELLO)
static = build('static', HELLO, '-static')
static_pie = build('static-pie', HELLO, '-static-pie', '-fPIE')
musl = build('musl', HELLO, compiler='musl-gcc')
own_malloc = build('own-malloc', MALLOC, '-O0', '-fno-builtin')
tls = build('tls', SSL, '-O0')
jemalloc = build('jemalloc', JEMALLOC, '-O0')
shared = build('object.o', HELLO, '-c')
foreign = copy('foreign', plain)
with open(foreign, 'r+b') as f:
    f.seek(18)
    f.write(b'\xb7\x00')  # EM_AARCH64
set_id = {name: copy(name, plain, mode) for name, mode in MODE.items()}
capable = copy('capable', plain)
has_capability = run(['setcap', 'cap_net_bind_service=ep', capable]).returncode == 0 if have('setcap') else False
interpreted = script('interpreted', '#!/bin/sh\nexit 0\n')
through_env = script('through-env', f'#!/usr/bin/env {static}\n')
of_static = script('of-static', f'#!{static}\n')
words = script('words', 'just words\n')

# --- perfanalyze host ---

for path, code, what in ((plain, WHOLE, 'can be recorded'), (static, NOTHING, 'statically linked'),
                         (static_pie, NOTHING, 'statically linked'), (musl, NOTHING, 'musl'),
                         (foreign, NOTHING, 'not for 64-bit x86'), (shared, NOTHING, 'object file'),
                         (set_id['setuid'], NOTHING, 'set-user-ID'), (set_id['setgid'], NOTHING, 'set-group-ID'),
                         (capable if has_capability else None, NOTHING, 'capabilities'),
                         (own_malloc, PARTLY, 'defines malloc'), (tls, PARTLY, 'TLS library'),
                         (jemalloc, PARTLY, 'an allocator of its own'), (interpreted, WHOLE, 'a script, run by /bin/sh'),
                         (through_env, NOTHING, 'statically linked'), (words, NOTHING, 'neither an ELF program'),
                         ('sh', WHOLE, 'can be recorded'), ('/lib64/ld-linux-x86-64.so.2', WHOLE, 'can be recorded'),
                         ('/nonexistent', NOTHING, 'No such file'), (directory, NOTHING, 'no file')):
    if not path:
        tap.skip(f'host: {what}', 'cannot be built here')
        continue
    said = perfanalyze('host', path)
    tap.ok(said.returncode == code and what in ' '.join((said.stdout + said.stderr).split()),
           f'host {os.path.basename(path)}: {what}', f'{said.returncode}\n{said.stdout}{said.stderr}')
    tap.ok(all(len(line) <= 80 for line in said.stdout.splitlines()), 'in 80 columns', said.stdout)
said = perfanalyze('host', plain, static, own_malloc)
tap.equal((said.returncode, said.stdout.count('\n  can')), (NOTHING, 3), 'host: several at once, the worst decides')

for name, options, wanted in (('preloaded', {}, 'with libperfshim.so'), ('bare', {'shimmed': False}, 'without libperfshim.so')):
    with Server(['/bin/sh', '-c', 'echo ready; read line < /dev/zero; sleep 30'], ready='ready', **options) as server:
        said = perfanalyze('host', str(server.pid))
        tap.ok(said.returncode == WHOLE and f'running {wanted}' in said.stdout, f'host PID, {name}', said.stdout + said.stderr)

# --- what the shim says at an exec ---


def said_by(*cmd, env=None, **options):
    """Our lines of a run, but the first; what the program said and how it ended."""
    done = run_shimmed(list(cmd), env={**LOUD, **(env or {})}, **options)
    lines = [line for line in done.stderr.splitlines() if line.startswith('perfshim: ') and ' recording pid ' not in line]
    return lines, done.stdout, done.returncode


def line_for(path, reason):
    return [f'perfshim: {path} {reason}: it will not be recorded; see perfanalyze host {path}']


for path, reason in ((static, 'is statically linked'), (static_pie, 'is statically linked')):
    if not path:
        tap.skip(f'exec: {reason}', 'cannot be built here')
        continue
    tap.equal(said_by('/bin/sh', '-c', f'exec {path}'), (line_for(path, reason), 'hello\n', 3), f'exec of what {reason}')
if musl:
    tap.equal(said_by('/bin/sh', '-c', f'exec {musl}')[0],
              line_for(musl, 'is linked with musl and may not start with a preload'), 'exec of what is linked with musl')
else:
    tap.skip('exec of what is linked with musl', 'musl-gcc is not installed')
if static:
    inside = {'PATH': f'/usr/bin:/bin:{directory}'}
    tap.equal(said_by('/usr/bin/env', 'static', env=inside), (line_for(static, 'is statically linked'), 'hello\n', 3),
              'found in PATH, as execvp finds it')
    tap.equal(said_by('/bin/sh', '-c', f'{static}; {static}; {static}')[0], line_for(static, 'is statically linked'),
              'once a run')
    tap.equal(said_by('/bin/sh', '-c', f'exec {of_static}')[0], line_for(static, 'is statically linked'), 'behind "#!"')
    tap.equal(said_by('/usr/bin/python3', '-c', f'import subprocess; print(subprocess.call(["{static}"]), flush=True)')[:2],
              (line_for(static, 'is statically linked'), 'hello\n3\n'), 'in a vfork child')
    tap.equal(run_shimmed(['/bin/sh', '-c', f'exec {static}']).stderr, '', 'not with PERFSHIM_QUIET=1')
tap.equal(said_by('/bin/sh', '-c', f'exec {plain}'), ([], 'hello\n', 3), 'nothing of a program that is recorded')
tap.equal(said_by('/bin/sh', '-c', f'exec {interpreted}')[0], [], 'nor of a script')
tap.equal(said_by('/bin/sh', '-c', f'exec /lib64/ld-linux-x86-64.so.2 {plain}')[0], [], 'nor of the dynamic linker')
tap.equal(said_by('/bin/sh', '-c', f'exec {words}')[0], [], 'nor of what is no program')
tap.equal(said_by('/bin/sh', '-c', 'exec /nonexistent')[0], [], 'nor of what is not there')

# Set-user-ID counts only where it changes the user.
if os.getuid() == 0:
    tap.equal(said_by('/bin/sh', '-c', f"exec {set_id['setuid']}")[0], [], 'set-user-ID root changes nothing for root')
    os.chown(set_id['setuid'], 65534, 65534)
    os.chmod(set_id['setuid'], 0o4755)
    tap.equal(said_by('/bin/sh', '-c', f"exec {set_id['setuid']}")[0],
              line_for(set_id['setuid'], 'runs with privileges of its own'), 'but another owner does')
    tap.equal(said_by('setpriv', '--no-new-privs', set_id['setuid'])[0], [], 'unless no_new_privs forbids it')
else:
    tap.skip('exec of a set-user-ID program', 'needs root')

tap.done()
