#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compiled servers, bare and preloaded: Rust's standard library and tokio, Go with and without cgo, caddy. Their compilers are
large and come with make check-hosts only."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from both import answered, both, http_mix, observe, served  # noqa: E402
from harness import Tap, have, perfanalyze, run, work_dir  # noqa: E402
from servers import APPS, start_caddy, start_listening  # noqa: E402

SITE = [('GET', '/', None), ('GET', '/big', None), ('POST', '/post', b'p' * 30000)]
CHILD = [('GET', '/child', None)]
REGISTRY = '/usr/share/cargo/registry'

tap = Tap()
directory = work_dir()


def drive(server):
    return http_mix(server.port, SITE), http_mix(server.port, CHILD, connections=2, rounds=3)


def total(shimmed):
    return sum(answered(seen) for seen in shimmed.answers)


def made(name, cmd, env=None, cwd=None, timeout=250):
    """Whether a compiler did its work; says why not."""
    done = run(cmd, env={**os.environ, **(env or {})}, cwd=cwd, timeout=timeout)
    return tap.ok(done.returncode == 0, f'{name} is built', done.stderr)


# --- Rust ---

rustc = '/usr/bin/rustc' if os.path.exists('/usr/bin/rustc') else have('rustc')
std = os.path.join(directory, 'std_server')
if rustc and made('rust, std', [rustc, '-O', '-o', std, os.path.join(APPS, 'std_server.rs')]):
    _, shimmed, result = both(tap, 'rust, std', lambda **options: start_listening([std, '1000000'], **options), drive)
    tap.equal(served(result), total(shimmed), 'rust, std: every answer is counted')
else:
    tap.skip('rust, std', 'rustc is not installed')

if os.path.exists('/usr/bin/cargo') and os.path.exists('/usr/bin/rustc') and os.path.isdir(f'{REGISTRY}/tokio-1.24.2'):
    project = os.path.join(directory, 'tokio')
    shutil.copytree(os.path.join(APPS, 'tokio'), project)
    os.mkdir(os.path.join(project, 'home'))
    with open(os.path.join(project, 'home', 'config.toml'), 'w') as f:
        f.write(f'[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "{REGISTRY}"\n')
    if made('tokio', ['/usr/bin/cargo', 'build', '--offline', '-j2'], cwd=project,
            env={'CARGO_HOME': os.path.join(project, 'home'), 'RUSTC': '/usr/bin/rustc'}):
        binary = os.path.join(project, 'target', 'debug', 'tokio-server')
        _, shimmed, result = both(tap, 'tokio', lambda **options: start_listening([binary], **options), drive)
        tap.equal(served(result), total(shimmed), 'tokio: every answer is counted')
else:
    tap.skip('tokio', "Debian's cargo, rustc and librust-tokio-dev are not installed")

# --- Go ---

DYNAMIC_LINE = 'is a Go program: of it only'


def go_program(name, cgo):
    path = os.path.join(directory, name)
    env = {'CGO_ENABLED': cgo, 'GOCACHE': os.path.join(directory, 'go-cache'), 'GOFLAGS': '-mod=mod -p=2', 'GO111MODULE': 'off',
           'GOPATH': os.path.join(directory, 'go')}
    return path if made(name, ['go', 'build', '-o', path, os.path.join(APPS, 'httpd.go')], env=env) else None


def start_go(program, **options):
    """Go hands its children the environment that it was started with, not libc's, which names the run: they begin runs of
    their own. So each process has a file of its own."""
    out = os.path.join(work_dir(), '%p.zst')
    server = start_listening([program], out=out, **options)
    server.trace = out.replace('%p', str(server.pid))
    return server


if have('go'):
    dynamic = go_program('go-cgo', '1')
    if dynamic:
        _, shimmed, result = both(tap, 'go with cgo', lambda **options: start_go(dynamic, **options), drive,
                                  ignore=f'{DYNAMIC_LINE}|perfshim: ', all_processes=False)
        tap.equal(shimmed.server.stderr().count(DYNAMIC_LINE), 1, 'go with cgo: one line says what is not seen')
        tap.equal({p.get('runtime') for p in result['trace']['processes'] if p['exe'] == dynamic}, {'go'},
                  'go with cgo: the trace says that it is one')
        text = ' '.join(perfanalyze(shimmed.server.trace).stdout.split())
        tap.ok('a Go program: it makes them without libc' in text, 'go with cgo: so does the report', text)
        tap.equal(perfanalyze('host', dynamic).returncode, 1, 'go with cgo: host says in part')
    static = go_program('go-static', '0')
    if static:
        bare = observe(lambda **options: start_listening([static], **options), drive, False)
        behind = observe(lambda **options: start_listening(['/bin/sh', '-c', f'exec {static}'], **options), drive, True)
        tap.equal((behind.answers, behind.returncode), (bare.answers, bare.returncode), 'go, static: the same answers and end')
        tap.equal(behind.server.stderr().count('is statically linked: it will not be recorded'), 1,
                  'go, static: one line says that it is not recorded')
        said = perfanalyze('host', static)
        tap.ok(said.returncode == 2 and 'Go program, statically linked' in said.stdout, 'go, static: so does host', said.stdout)
else:
    tap.skip('go', 'go is not installed')

if have('caddy'):
    files = {'index.html': b'<p>index</p>', 'big.bin': b'b' * 300_000}
    bare, shimmed, result = both(
        tap, 'caddy', lambda **options: start_caddy(files, **options),
        lambda server: http_mix(server.port, [('GET', '/', None), ('GET', '/big.bin', None), ('GET', '/nothing', None)]),
        ignore=f'{DYNAMIC_LINE}|uptime|duration|"ts"')
else:
    tap.skip('caddy', 'caddy is not installed')

tap.done()
