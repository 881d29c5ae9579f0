# SPDX-License-Identifier: Apache-2.0
"""The application of tests/hosts/runtimes in runtimes that manage memory each in its own way, as cases of sessions.py: none of them may be
accused when it is healthy, and what each says of a leak is known."""

import os

from harness import Server, free_port, have, run, work_dir
from servers import APPS
from sessions import COLLECTED_BYTES, SESSION_BYTES, Case, Wrk, http_kept, keeping, no_count

RUNTIMES = os.path.join(APPS, 'runtimes')


def source(name):
    return os.path.join(RUNTIMES, name)


def built(*command):
    """Runs a compiler."""
    done = run(command, timeout=300, cwd=work_dir())
    if done.returncode:
        raise RuntimeError(f'{command[0]}: {done.stdout} {done.stderr}')


def start(keep, *command, env=(), port=None, **options):
    ready = None if port else r'listening on (\d+)'
    return Server(command, port=port, ready=ready, env={**keeping(keep), **dict(env)}, timeout=60, **options)


def start_java(keep, **options):
    classes = work_dir()
    built('javac', '-d', classes, source('Sessions.java'))
    return start(keep, 'java', '-Xmx1g', '-Dsun.net.httpserver.nodelay=true', '-cp', classes, 'Sessions', **options)


def start_ruby(keep, **options):
    port = free_port()
    return start(keep, '/usr/bin/ruby', have('puma'), '-q', '-C', '-', '-t', '4:4', '-b', f'tcp://127.0.0.1:{port}', '-e', 'production',
                 source('sessions.ru'), port=port, **options)


def start_php(keep, **options):
    return start(keep, 'php', '-n', source('sessions.php'), **options)


def start_php_requests(keep, **options):
    port = free_port()
    return start(keep, 'php', '-n', '-S', f'127.0.0.1:{port}', source('sessions.php'), port=port, **options)


def start_go(keep, **options):
    """With cgo: without it, it is linked statically, and nothing is recorded."""
    directory = work_dir()
    program = os.path.join(directory, 'sessions')
    done = run(['go', 'build', '-o', program, source('sessions.go')], timeout=300,
               env={**os.environ, 'CGO_ENABLED': '1', 'GOCACHE': os.path.join(directory, 'cache'), 'GOFLAGS': '-mod=mod'})
    if done.returncode:
        raise RuntimeError(done.stderr)
    return start(keep, program, **options)


def start_erlang(keep, **options):
    beams = work_dir()
    built('erlc', '-o', beams, source('sessions.erl'))
    return start(keep, 'erl', '-noinput', '-boot', 'start_clean', '-pa', beams, '-s', 'sessions', **options)


def start_lua(keep, **options):
    return start(keep, 'lua5.4', source('sessions.lua'), **options)


def start_luajit(keep, **options):
    return start(keep, 'luajit', source('sessions.lua'), **options)


def start_perl(keep, **options):
    return start(keep, '/usr/bin/perl', source('sessions.pl'), **options)


def start_mono(keep, **options):
    port, program = free_port(), os.path.join(work_dir(), 'sessions.exe')
    built('mcs', '-out:' + program, source('Sessions.cs'))
    return start(keep, 'mono', program, str(port), port=port, **options)


def start_guile(keep, **options):
    return start(keep, 'guile', '--no-auto-compile', source('sessions.scm'), **options)


def start_sbcl(keep, **options):
    return start(keep, 'sbcl', '--script', source('sessions.lisp'), **options)


def start_pypy(keep, **options):
    return start(keep, 'pypy3', source('sessions.py'), **options)


def start_cpython(keep, **options):
    return start(keep, '/usr/bin/python3', source('sessions.py'), **options)


def case(name, starter, program, site=None, size=SESSION_BYTES, count=http_kept, **more):
    """site: where malloc's bytes lie; None: sessions are in the runtime's own heap, of which a trace cannot tell what is garbage."""
    return Case(name, lambda keep, **options: starter(keep, env={'SESSION_BYTES': str(size), **options.pop('env', {})}, **options), Wrk,
                'POST /sessions', size if site else None, site, count, lambda: None if have(program) else f'{program} is not installed',
                found=('LEAK',) if site else ('LEAK', 'MONITOR', 'INCONCLUSIVE'), **more)


RUNTIME_CASES = [
    case('Java', start_java, 'javac'),
    case('Ruby, puma', start_ruby, 'puma', r'rb_|ruby', size=COLLECTED_BYTES),
    case('PHP, loop', start_php, 'php'),
    case('PHP -S', start_php_requests, 'php', healthy=True),
    case('Go', start_go, 'go'),
    case('Erlang', start_erlang, 'erl'),
    case('Lua', start_lua, 'lua5.4', r'lua'),
    case('LuaJIT', start_luajit, 'luajit'),
    case('Perl', start_perl, 'perl', r'Perl_|perl', count=no_count),  # each worker has its own
    case('Mono', start_mono, 'mcs'),
    case('Guile', start_guile, 'guile'),
    case('SBCL', start_sbcl, 'sbcl'),
    case('PyPy', start_pypy, 'pypy3', size=COLLECTED_BYTES),  # on top of malloc
    case('CPython', start_cpython, 'python3', r'PyByteArray|bytearray'),
]
