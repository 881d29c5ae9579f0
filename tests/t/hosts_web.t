#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Web servers, bare and preloaded: nginx (reload, change of the binary), apache2 (event and prefork, CGI), haproxy in front of
a server, php-fpm."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from both import LOUD, answered, both, descendants, gone, http_mix, mapped, said, served  # noqa: E402
from harness import Tap, have, report, shim_environment, run, start_shop, wait_until, work_dir  # noqa: E402
from servers import (APPS, catches, fastcgi, nginx_command, php_program, public_copy, start_apache,  # noqa: E402
                     start_haproxy, start_nginx, start_php, wait_for_scripts)

FILES = {'small.txt': b's' * 1024, 'big.bin': b'b' * 200_000}
SITE = [('GET', '/small.txt', None), ('GET', '/big.bin', None), ('GET', '/missing', None), ('HEAD', '/small.txt', None),
        ('POST', '/small.txt', b'p' * 3000)]

tap = Tap()


def reload(server, how, old):
    """Asks a master for new workers and waits until those that it had are gone."""
    os.kill(server.pid, how)
    return gone(old)


def graceful(server):
    """Ends it by the signal that lets it finish what it serves."""
    return server.stop(signal.SIGQUIT)


# --- nginx ---

def drive_nginx(server):
    workers = descendants(server.pid) - {server.pid}
    before = http_mix(server.port, SITE)
    swapped = bool(reload(server, signal.SIGHUP, workers))
    after = http_mix(server.port, SITE)
    return before, swapped, after


bare, shimmed, result = both(tap, 'nginx', lambda **options: start_nginx(FILES, **options), drive_nginx, stop=graceful,
                             logs='logs')
tap.equal(shimmed.answers[1], True, 'nginx: SIGHUP replaces the workers')
tap.equal(served(result), answered(shimmed.answers[0]) + answered(shimmed.answers[2]), 'nginx: every answer is counted')
tap.ok(len(result['trace']['processes']) >= 5, 'nginx: a master, two workers, and two new ones')


def upgrade_nginx(shimmed_run):
    """A daemon that gives its sockets to a new binary, and ends: what it answered, whether the new one took over and ended
    well, its log, the trace, and every process."""
    # nginx clears its environment; what it passes on to the new binary has to be named.
    cmd, port, directory = nginx_command(FILES, daemon=True, main='env LD_PRELOAD;')
    pid_file = os.path.join(directory, 'pid')
    trace = os.path.join(work_dir(), 'trace.zst')
    env = shim_environment(trace, LOUD) if shimmed_run else dict(os.environ)
    pids = set()

    def master():
        with open(pid_file) as f:
            return int(f.read() or 0)

    try:
        began = run(cmd, env=env)
        old = wait_until(lambda: os.path.exists(pid_file) and master())
        pids |= descendants(old)
        answers = [http_mix(port, SITE, rounds=5)]
        os.kill(old, signal.SIGUSR2)
        new = wait_until(lambda: os.path.exists(pid_file + '.oldbin') and os.path.exists(pid_file) and
                         master() not in (0, old) and master())
        pids |= descendants(new) | descendants(old)
        os.kill(old, signal.SIGQUIT)
        gone([old])
        pids |= descendants(new)
        answers.append(http_mix(port, SITE, rounds=5))
        recorded = mapped(new)
        os.kill(new, signal.SIGQUIT)
        ended = bool(gone(pids))
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
    with open(os.path.join(directory, 'error.log')) as f:
        return answers, began.returncode, ended, said(began.stderr), said(f.read()), recorded, trace, pids


bare, shimmed = upgrade_nginx(False), upgrade_nginx(True)
tap.equal(shimmed[:5], bare[:5], 'nginx, a new binary: the same answers, status, output and log')
tap.ok(shimmed[2] and shimmed[5], 'nginx, a new binary: took over, recorded, and ended')
result = report(shimmed[6])
tap.equal(served(result), sum(map(answered, shimmed[0])), 'nginx, a new binary: every answer of both is counted')
tap.ok(shimmed[7] <= {p['pid'] for p in result['trace']['processes']}, 'nginx, a new binary: all processes are in the trace',
       f"{shimmed[7]} {[p['pid'] for p in result['trace']['processes']]}")

# --- apache2 ---

SCRIPT = b'#!/bin/sh\nprintf "Content-Type: text/plain\\n\\n"\necho "script $REQUEST_METHOD"; cat\n'
CGI = [*SITE[:4], ('GET', '/cgi/script', None), ('POST', '/cgi/script', b'c' * 5000)]


def drive_apache(server):
    before = http_mix(server.port, CGI, connections=2, rounds=8)
    workers = descendants(server.pid) - {server.pid}
    os.kill(server.pid, signal.SIGUSR1)
    swapped = wait_until(lambda: not workers & descendants(server.pid)) and wait_for_scripts(server, server.scripts)
    return before, bool(swapped), http_mix(server.port, CGI, connections=2, rounds=8)


for mpm in ('event', 'prefork'):
    if not have('apache2'):
        tap.skip(f'apache2, {mpm}', 'apache2 is not installed')
        continue
    bare, shimmed, result = both(
        tap, f'apache2, {mpm}', lambda **options: start_apache(FILES, mpm, {'script': SCRIPT}, **options), drive_apache,
        logs='logs', ignore='AH00170|AH00169')
    tap.equal(served(result), answered(shimmed.answers[0]) + answered(shimmed.answers[2]),
              f'apache2, {mpm}: every answer is counted')

# --- haproxy, with a recorded backend and without ---

PROXIED = [('GET', '/items/7', None), ('GET', '/search?q=x', None), ('POST', '/orders', b'o' * 2000), ('GET', '/file', None),
           ('GET', '/nowhere', None)]


def drive_haproxy(server):
    before = http_mix(server.port, PROXIED)
    old = descendants(server.pid) - {server.pid}
    os.kill(server.pid, signal.SIGUSR2)
    swapped = wait_until(lambda: len(descendants(server.pid) - {server.pid} - old) > 0 and
                         not old & descendants(server.pid) and catches(server.pid, signal.SIGTERM))
    return before, bool(swapped), http_mix(server.port, PROXIED)


if have('haproxy'):
    with start_shop(shimmed=False) as shop:
        bare, shimmed, result = both(tap, 'haproxy', lambda **options: start_haproxy(shop.port, **options), drive_haproxy,
                                     ignore=r'exited with code')
    count = answered(shimmed.answers[0]) + answered(shimmed.answers[2])
    tap.equal(served(result), count, 'haproxy: every answer to its clients is counted')
    tap.equal(sum(r['requests'] for r in result['upstream_routes']), count,
              'haproxy: and every one of its backend')
else:
    tap.skip('haproxy', 'haproxy is not installed')

# --- php-fpm ---


def drive_php(server):
    script = os.path.join(public_copy(os.path.join(APPS, 'app.php')), 'app.php')
    return [fastcgi(server.port, script, query, body) for query, body in
            (('a', b''), ('b', b'x' * 20000), ('child', b''), ('file', b''), ('fail', b'')) for _ in range(10)]


if php_program():
    bare, shimmed, result = both(tap, 'php-fpm', start_php, drive_php, stop=graceful, logs='logs')
    tap.ok(any(b'from a child' in answer for answer in shimmed.answers), 'php-fpm: a script runs a program')
else:
    tap.skip('php-fpm', 'php-fpm is not installed')

tap.done()
