#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Servers in interpreted languages, bare and preloaded: node (cluster, child_process), gunicorn, uvicorn with two workers,
Python's ways of making processes, puma."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from both import answered, both, http_mix, served  # noqa: E402
from harness import ROOT, Server, Tap, free_port, have, report, run, run_shimmed  # noqa: E402
from servers import APPS, start_gunicorn, start_node, start_puma  # noqa: E402

SITE = [('GET', '/', None), ('GET', '/file', None), ('POST', '/post', b'p' * 30000), ('GET', '/nothing', None)]
CHILD = [('GET', '/child', None)]

tap = Tap()


def drive(server, extra=()):
    """All that the small applications know; programs are run a few times only."""
    return http_mix(server.port, [*SITE, *extra]), http_mix(server.port, CHILD, connections=2, rounds=3)


def counted(name, shimmed, result):
    """Whether the trace has every exchange, and none failed."""
    first, second = shimmed.answers
    tap.equal(sum(first.values()) + sum(second.values()), answered(first) + answered(second), f'{name}: all are answered')
    tap.equal(served(result), answered(first) + answered(second), f'{name}: every answer is counted')


if have('node'):
    _, shimmed, result = both(tap, 'node', start_node, lambda server: drive(server, [('GET', '/hash', None)]))
    counted('node', shimmed, result)
else:
    tap.skip('node', 'node is not installed')

if os.path.exists('/usr/bin/gunicorn'):
    for kind in ('sync', 'gthread'):
        _, shimmed, result = both(tap, f'gunicorn, {kind}', lambda **options: start_gunicorn(kind, **options), drive)
        counted(f'gunicorn, {kind}', shimmed, result)
else:
    tap.skip('gunicorn', 'gunicorn is not installed')


def start_two_uvicorns(**options):
    port = free_port()
    cmd = ['/usr/bin/python3', '-m', 'uvicorn', '--app-dir', os.path.join(ROOT, 'tests', 'servers'), 'api:app', '--port',
           str(port), '--log-level', 'warning', '--no-access-log', '--workers', '2']
    return Server(cmd, port=port, env={'PYTHONDONTWRITEBYTECODE': '1', **options.pop('env', {})}, **options)


API = [('GET', '/users/7', None), ('POST', '/users', b'u' * 5000), ('GET', '/nothing', None)]
_, shimmed, result = both(tap, 'uvicorn, 2 workers', start_two_uvicorns,
                          lambda server: (http_mix(server.port, API), http_mix(server.port, [('GET', '/fail', None)])))
counted('uvicorn, 2 workers', shimmed, result)

# Python's processes: what it prints, and its exit status.
cmd = ['/usr/bin/python3', '-B', os.path.join(APPS, 'processes.py')]
bare, shimmed = run(cmd), run_shimmed(cmd)
tap.equal((shimmed.returncode, shimmed.stdout, shimmed.stderr), (bare.returncode, bare.stdout, bare.stderr),
          'python: multiprocessing and subprocess do the same')
tap.equal(bare.returncode, 5, 'python: to the end')
result = report(shimmed.trace)
tap.equal(result['trace']['lost_events'], 0, 'python: nothing was lost')
tap.ok(len(result['trace']['processes']) >= 25, 'python: its processes are in the trace', len(result['trace']['processes']))

if have('puma'):
    _, shimmed, result = both(tap, 'puma', start_puma, drive)
    counted('puma', shimmed, result)
else:
    tap.skip('puma', 'puma is not installed')

tap.done()
