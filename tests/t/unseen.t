#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Descriptors that no event tells of are found and named; real servers have none."""

import concurrent.futures
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time

import jsonschema

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import (O, ROOT, Tap, dump, have, http_requests, perfanalyze, report, run, run_shimmed,  # noqa: E402
                     shim_environment, wait_until, work_dir)
from servers import public_shim, redis_cli, start_nginx, start_redis, start_uvicorn  # noqa: E402

LOOKS_S = 4  # until the recorder has counted and listed twice

tap = Tap()


def none_unseen(name, trace):
    result = report(trace)['descriptors']
    tap.equal((result['opened_unseen'], result['unseen'], result['closed_unseen']), ([], 0, 0), f'{name}: none is unseen')
    tap.ok(result['seen'] > 0 and abs(result['final'] - result['seen']) <= 1,
           f"{name}: {result['seen']} by the events, {result['final']} by the kernel's count", result)
    unknown = [event.line for event in dump(trace) if event.name == 'desc_open' and event.fields['op'] == 'unseen']
    tap.equal(unknown, [], f'{name}: and none had to be looked for')


def postgres():
    """A cluster of its own under the shim, by the user that its package made; the trace and whether it answered, or None where
    there is none."""
    binaries = '/usr/lib/postgresql/15/bin'
    names = [entry.pw_name for entry in pwd.getpwall()]
    if os.getuid() != 0 or 'postgres' not in names or not os.path.exists(f'{binaries}/initdb') or not have('psql'):
        return None
    directory = work_dir()
    os.chmod(directory, 0o755)
    data, trace = os.path.join(directory, 'own'), os.path.join(directory, 'own', 'trace.zst')
    os.mkdir(data)
    os.chown(data, pwd.getpwnam('postgres').pw_uid, -1)
    made = subprocess.run([f'{binaries}/initdb', '-D', f'{data}/data', '-A', 'trust', '-N'], user='postgres', cwd=data,
                          capture_output=True, timeout=120, check=False)
    if made.returncode:
        return None
    server = subprocess.Popen([f'{binaries}/postgres', '-D', f'{data}/data', '-k', data, '-c', 'listen_addresses=',
                               '-c', 'autovacuum=off'],
                              user='postgres', cwd=data, env=shim_environment(trace, {'LD_PRELOAD': public_shim()}),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ask = ['psql', '-h', data, '-U', 'postgres', '-c', 'SELECT count(*) FROM pg_class']
        answers = wait_until(lambda: run(ask).returncode == 0)
        end = time.monotonic() + LOOKS_S
        while time.monotonic() < end:
            run(ask)
            time.sleep(0.2)
        time.sleep(1.5)  # a backend that has just begun is in the events and not yet in the kernel's count
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
    return trace, answers


# All at once, for the recorder takes its time to look.
with start_nginx({'index.html': b'hello'}) as nginx, start_redis() as redis, start_uvicorn() as uvicorn, \
        concurrent.futures.ThreadPoolExecutor() as pool:
    program = pool.submit(run_shimmed, [f'{O}/tests/programs/unseen', str(LOOKS_S + 1)])
    database = pool.submit(postgres)
    end = time.monotonic() + LOOKS_S
    while time.monotonic() < end:
        http_requests(nginx.port, 'GET', '/index.html', 20)
        http_requests(uvicorn.port, 'GET', '/items/1', 20)
        redis_cli(redis.port, 'SET', 'name', 'value')
        time.sleep(0.1)
    redis_cli(redis.port, 'BGSAVE')
    for server in (nginx, redis, uvicorn):
        server.stop()
    program, database = program.result(), database.result()

# What is opened and closed past every hook.
told = {word: [int(fd) for fd in re.findall(rf'^{word} (\d+)$', program.stdout, re.M)] for word in ('opened', 'closed', 'open')}
result = report(program.trace)
found = result['descriptors']
tap.ok(len(told['opened']) >= 1, 'the program opened some', program.stdout + program.stderr)
tap.equal(sorted(row['fd'] for row in found['opened_unseen']), sorted(told['opened']), 'each of them is found')
tap.ok('/dev/zero' in [row['what'] for row in found['opened_unseen']], 'under its name', found['opened_unseen'])
if len(told['opened']) > 1:
    tap.ok('anon_inode:[io_uring]' in [row['what'] for row in found['opened_unseen']], 'a ring too', found['opened_unseen'])
else:
    tap.skip('a ring too', 'the kernel gives none')
tap.equal((found['unseen'], found['closed_unseen']), (len(told['opened']), len(told['closed'])),
          'and counted; so are the closed')
tap.equal(found['seen'] + found['unseen'], found['final'], "seen and unseen are all that the kernel counts")
events = dump(program.trace)
tap.equal([event.line for event in events if event.name == 'desc_open' and event.int('fd') in told['opened'] and
           event.fields['op'] != 'inherited'], [], 'nothing is guessed of them')
text = perfanalyze(program.trace).stdout
tap.ok('not seen' in text and '/dev/zero' in text, 'the text names them', text)
schema = json.load(open(os.path.join(ROOT, 'formats', 'report.schema.json')))
problems = [e.message for e in jsonschema.validators.validator_for(schema)(schema).iter_errors(result)]
tap.equal(problems, [], 'the report keeps to its schema')

# Real servers.
none_unseen('nginx', nginx.trace)
none_unseen('redis', redis.trace)
none_unseen('python3', uvicorn.trace)
if database:
    tap.ok(database[1], 'PostgreSQL answers')
    none_unseen('PostgreSQL', database[0])
else:
    tap.skip('PostgreSQL', 'it cannot be run here')
tap.done()
