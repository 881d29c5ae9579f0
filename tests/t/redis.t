#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""redis-server under redis-benchmark: commands counted exactly, with and without pipelining; the same answers as bare."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import Tap, report, route_of, run, wait_until  # noqa: E402
from servers import redis_calls, redis_cli, start_redis  # noqa: E402

# What a client can see of a server: every reply type, errors, a transaction, a script.
SCRIPT = b"""SET name value
GET name
GET nothing
INCR counter
INCRBY counter 41
INCR name
LPUSH list a b c d
LRANGE list 0 -1
HSET hash field 1 other 2
HGETALL hash
ZADD scores 1.5 one 2.5 two
ZRANGE scores 0 -1 WITHSCORES
MULTI
SET inside 1
GET inside
EXEC
EVAL "return {1, 'two', KEYS[1]}" 1 name
NOSUCHCOMMAND x
SETRANGE long 20000 end
STRLEN long
EXPIRE name 100
TYPE hash
DEL name counter list
DBSIZE
"""

tap = Tap()


def answers(port):
    path = os.path.join(server.data, 'script')
    with open(path, 'wb') as f:
        f.write(SCRIPT)
    with open(path, 'rb') as f:
        return redis_cli(port, stdin=f)


def benchmark(port, *options):
    return run(['redis-benchmark', '-p', str(port), '-q', '-t', 'get,set,incr,lpush', '-n', '20000', *options])


with start_redis(shimmed=False) as server:
    bare_answers = answers(server.port)
with start_redis() as server:
    tap.equal(answers(server.port), bare_answers, 'the server answers the same as bare')

    for options in (['-c', '50'], ['-c', '50', '-P', '16'], ['-c', '10', '-d', '30000', '-n', '2000']):
        done = benchmark(server.port, *options)
        tap.ok(done.returncode == 0, f"redis-benchmark {' '.join(options)} ends well", done.stderr)

    redis_cli(server.port, 'bgsave')
    saved = wait_until(lambda: 'rdb_bgsave_in_progress:0' in redis_cli(server.port, 'info', 'persistence'), 120, step=0.2)
    tap.ok(saved and 'rdb_last_bgsave_status:ok' in redis_cli(server.port, 'info', 'persistence'), 'BGSAVE succeeds')
    tap.ok(os.path.getsize(os.path.join(server.data, 'dump.rdb')) > 100, 'its child wrote the file')

    calls = redis_calls(server.port)
    calls['INFO'] += 1  # the one that asked
    returncode = server.stop()
tap.equal(returncode, 0, 'SIGTERM ends it as ever')

result = report(server.trace)
counted = {r['route']: r['requests'] for r in result['routes']}
# What the server does not know was a request all the same, and is not in its statistics.
tap.equal({command: counted.get(command) for command in calls}, dict(calls), 'each command: as many as the server counted')
tap.equal(set(counted) - set(calls), {'NOSUCHCOMMAND'}, 'nothing else was counted but the unknown command')
tap.equal(sum(r['errors'] for r in result['routes']), bare_answers.count('ERR '), 'error replies are counted')
tap.equal({r['protocol'] for r in result['routes']}, {'redis'}, 'the protocol is known')
tap.equal(result['trace']['lost_events'], 0, 'nothing was lost')
row = route_of(result, 'SET')
if row:
    latency = row['latency_ms']
    tap.ok(0 < latency['min'] <= latency['p50'] <= latency['p99'] <= latency['max'], 'latencies are in order', latency)

child = [p for p in result['trace']['processes'] if p['ppid'] == server.pid]
tap.equal([p['ended'] for p in child], ['exit'], 'the child of BGSAVE is in the trace, and ended by exit')
tap.done()
