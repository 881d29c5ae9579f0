#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""redis-server under all that its protocol has: each command counted as often as the server counts it, and every byte found in a
message; what is no reply to anything is no reply in the report."""

import collections
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import PERFANALYZE, Tap, report, route_of, run, wait_until  # noqa: E402
from servers import Resp, commandstats, redis_cli, start_redis  # noqa: E402

tap = Tap()
more = collections.Counter()  # requests that the server does not count as calls: queued, and never carried out
pushed = 0


def plain(port):
    c = Resp(port)
    c.ask(*['SET a 1', 'INCR a', 'GET a'] * 20, 'LPUSH list message x y', 'RPUSH l2 message a b', 'LRANGE l2 0 -1', 'GET list')
    c.ask('CONFIG GET maxmemory', 'CLIENT SETNAME perfshim', 'CLIENT GETNAME', 'OBJECT ENCODING a', 'MEMORY USAGE a',
          'COMMAND COUNT', 'XADD s * f v', 'XINFO STREAM s', 'XGROUP CREATE s g 0', 'SCRIPT FLUSH', 'SLOWLOG LEN', 'LATENCY RESET')
    c.raw(b'SET inline 1\r\nget inline\r\n\r\nCONFIG GET maxmemory\r\nPING\r\n')
    c.read(4)
    for word in ('map', 'set', 'attrib', 'double', 'bignum', 'null', 'true', 'verbatim', 'string', 'integer', 'array'):
        c.ask(f'DEBUG PROTOCOL {word}')
    c.close()


def transactions(port):
    c = Resp(port)
    c.ask('MULTI', 'SET t 1', 'INCR t', 'LRANGE l2 0 -1', 'EXEC')
    c.ask('MULTI', 'SET t 2', 'GET t', 'DISCARD')
    more.update({'SET': 1, 'GET': 1})
    other = Resp(port)
    c.ask('WATCH w')
    other.ask('SET w 1')
    tap.equal(c.ask('MULTI', 'SET t 3', 'EXEC')[-1], None, 'a transaction whose key was changed is not carried out')
    more.update({'SET': 1})
    c.ask('MULTI', 'BLPOP none 0', 'SUBSCRIBE inside', 'EXEC')
    other.close()
    c.close()


def waiting(port):
    c, other = Resp(port), Resp(port)
    for _ in range(3):
        c.send('BLPOP queue 0')
        time.sleep(0.05)
        other.ask('RPUSH queue x')
        c.read()
    c.send('XREAD COUNT 10 BLOCK 0 STREAMS s $', 'PING')
    time.sleep(0.05)
    other.ask('XADD s * f v', 'XREAD STREAMS s 0')
    c.read(2)
    c.ask('XREADGROUP GROUP g BLOCK STREAMS s >', 'XREADGROUP GROUP g c BLOCK 10 STREAMS s >', 'WAIT 1 20', 'BRPOP none 0.02',
          'BZPOPMIN none 0.02', 'BLMOVE none other LEFT RIGHT 0.02')
    c.close()
    other.close()


def silent(port):
    c = Resp(port)
    c.send('CLIENT REPLY SKIP', 'SET quiet 1', 'GET quiet')
    tap.equal(c.read(), b'1', 'CLIENT REPLY SKIP leaves out one reply')
    c.send('CLIENT REPLY OFF', *['INCR quiet'] * 50, 'CLIENT REPLY ON', 'GET quiet')
    tap.equal(c.read(2), [b'+OK', b'51'], 'CLIENT REPLY OFF leaves out all of them')
    c.close()


def subscriptions(port, resp3):
    global pushed
    c, other = Resp(port), Resp(port)
    messages = 0
    if resp3:
        c.ask('HELLO 3')
    c.send('SUBSCRIBE a b c', 'PSUBSCRIBE a* z*', 'PING')
    wait_until(lambda: other.ask('PUBSUB NUMPAT') == 2, 20)
    for i in range(25):
        messages += other.ask('PUBLISH a hello', 'PUBLISH b ' + 'x' * (100 * i + 1))[0] + 1
    c.send('UNSUBSCRIBE a', 'UNSUBSCRIBE', 'PUNSUBSCRIBE', 'PING', 'UNSUBSCRIBE')
    other.ask('PING')
    expected = 3 + 2 + 1 + messages + 1 + 2 + 2 + 1 + 1
    for _ in range(expected):
        c.value()
    if resp3:
        c.send('SUBSCRIBE d', 'GET a', 'CLIENT TRACKING ON', 'GET tracked')
        for _ in range(4):
            c.value()
        other.ask('SET tracked 1', 'PUBLISH d x')
        tap.equal([c.value()[0], c.value()[0]], ['push', 'push'], 'RESP3: an invalidation and a message')
        messages += 2
        c.ask('GET a')
    c.ask('RESET', 'PING')
    pushed += messages
    c.close()
    other.close()


def monitored(port):
    global pushed
    c, other = Resp(port), Resp(port)
    c.ask('MONITOR')
    for i in range(10):
        other.ask(f'SET monitored {i}')
    lines = [c.value() for _ in range(10)]
    tap.ok(all(b'"SET" "monitored"' in line for line in lines), 'MONITOR shows what others do', lines)
    pushed += 10
    c.send('QUIT')
    c.read()
    c.close()
    other.close()


def failures(port):
    c = Resp(port)
    c.ask('GET', 'NOSUCH x', 'LPUSH a 1', 'CONFIG NOSUCH', 'EXEC', 'SUBSCRIBE', 'PING')
    c.close()


def all_of_it(port):
    plain(port)
    transactions(port)
    waiting(port)
    silent(port)
    subscriptions(port, False)
    subscriptions(port, True)
    monitored(port)
    failures(port)


with start_redis('--enable-debug-command', 'yes', env={'PERFSHIM_MAX_STALL': '30000'}) as server:
    all_of_it(server.port)
    asking = Resp(server.port)
    info = asking.ask('INFO stats commandstats').decode()
    asked = len(f'${len(info)}\r\n') + len(info) + 2
    server.stop()

result = report(server.trace)
counted = {r['route']: r['requests'] for r in result['routes']}
expected = commandstats(info) + commandstats(info, 'rejected_calls') + more
expected['INFO'] += 1
expected.update({'NOSUCH': 1, 'CONFIG': 1})  # which it knows nothing of
mine = collections.Counter()
for name, count in counted.items():
    mine[name.removesuffix(' BLOCK')] += count
tap.equal(dict(mine), {name: count for name, count in expected.items() if count}, 'each command: as many as the server counted')
tap.equal(result['trace']['lost_events'], 0, 'nothing was lost')
tap.equal(result['exchanges']['pushed_messages'], pushed, 'messages that nobody asked for are counted, and are no replies')
tap.equal([result['exchanges'][key] for key in ('unpaired', 'unfinished', 'lost_framing')], [0, 0, 0], 'every request has its reply')

waits = {r['route'] for r in result['routes'] if r['waits']}
tap.equal(waits, {'BLPOP', 'BRPOP', 'BZPOPMIN', 'BLMOVE', 'WAIT', 'XREAD BLOCK', 'XREADGROUP BLOCK'}, 'those that wait are marked')
tap.ok(route_of(result, 'BLPOP')['latency_ms']['max'] >= 40, 'BLPOP: its time is the waiting', route_of(result, 'BLPOP'))
tap.ok(route_of(result, 'PSUBSCRIBE')['requests'] == 2, 'a SUBSCRIBE of several channels is one request')
tap.equal(route_of(result, 'INCR')['without_response'], 50, 'requests that wanted no reply are counted')
tap.equal(sum(r['queued_in_transaction'] for r in result['routes']), 8, 'so are those that were queued')
error_replies = int(info.split('total_error_replies:')[1].split()[0])
tap.equal(sum(r['errors'] for r in result['routes']), error_replies, 'error replies: as many as the server counted')

row = [r for r in result['coverage']['protocols'] if r['protocol'] == 'redis' and not r['as_client']][0]
stats = {name: int(info.split(f'{name}:')[1].split()[0]) for name in ('total_net_input_bytes', 'total_net_output_bytes')}
tap.equal([row['read_bytes'], row['written_bytes']],
          [stats['total_net_input_bytes'], stats['total_net_output_bytes'] + asked], 'bytes: as many as the server counted')
tap.equal([row['read_framed_bytes'], row['written_framed_bytes']], [row['read_bytes'], row['written_bytes']],
          'and all of them are in messages')
text = run([PERFANALYZE, server.trace]).stdout
tap.ok('BYTES FRAMED' in text and 'were pushed' in text and '(waits)' in text, 'the text says so, too', text)
tap.ok(max(map(len, text.splitlines())) <= 80, 'in 80 columns')

# Replication, and an end that is the answer.
with start_redis('--repl-diskless-sync-delay', '0', env={'PERFSHIM_MAX_STALL': '30000'}) as server:
    c = Resp(server.port)
    c.ask('PING', 'REPLCONF capa psync2')
    c.send('PSYNC ? -1')
    line = c.value()
    while not line.startswith(b'+FULLRESYNC'):
        line = c.value()
    c.stream.read(20)
    redis_cli(server.port, 'set', 'x', 'y')
    c.close()
    redis_cli(server.port, 'shutdown', 'nosave', 'now')
    server.stop()
result = report(server.trace)
counted = {r['route']: r['requests'] for r in result['routes']}
tap.equal({name: counted.get(name) for name in ('PING', 'REPLCONF', 'PSYNC', 'SET', 'SHUTDOWN')},
          {'PING': 1, 'REPLCONF': 1, 'PSYNC': 1, 'SET': 1, 'SHUTDOWN': 1}, 'PSYNC and SHUTDOWN are requests that were answered')
tap.equal([result['exchanges'][key] for key in ('unpaired', 'unfinished', 'lost_framing')], [0, 0, 0],
          'what a replica gets is no reply')
row = [r for r in result['coverage']['protocols'] if r['protocol'] == 'redis' and not r['as_client']][0]
tap.ok(row['written_framed_bytes'] < row['written_bytes'], 'nor is it counted as understood', row)
tap.done()
