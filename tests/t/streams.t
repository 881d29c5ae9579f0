#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Server-sent events, WebSocket and JSON-RPC: what the report counts is what the server counted itself, streams are no long
requests, and nothing that was said is in the trace."""

import asyncio
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import ROOT, Server, Tap, perfanalyze, report, route_of, run_shimmed, work_dir  # noqa: E402

SECRET = 'xZqClientSaysInConfidence'
SERVER_SECRET = 'xZqServerSaysInConfidence'
EVENT_STREAMS, EVENTS, EVENT_MS = 150, 8, 20
SOCKETS, ROUNDS = 12, 10
BATCHES = 5 + 2
CHUNKED_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'
MASK = b'\x5a\x01\xc3\x7e'
tap = Tap()


def frame(opcode, payload, last=True):
    n = len(payload)
    head = bytes([opcode | (0x80 if last else 0)])
    head += bytes([0x80 | n]) if n < 126 else bytes([0xfe, n >> 8, n & 255])
    return head + MASK + bytes(byte ^ MASK[i & 3] for i, byte in enumerate(payload))


def call(method, call_id=None, **more):
    text = {'jsonrpc': '2.0', 'method': method, 'params': {'text': SECRET, 'method': 'inner', 'id': 99}, **more}
    if call_id is not None:
        text['id'] = call_id
    return text


async def event_stream(port, version, many):
    """One or several streams over a connection: chunked ones leave it open."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    got = 0
    for _ in range(many):
        writer.write(f'GET /events?count={EVENTS}&ms={EVENT_MS}&token={SECRET} HTTP/{version}\r\nHost: x\r\n\r\n'.encode())
        end = b'0\r\n\r\n' if version == '1.1' else b''
        text = await reader.readuntil(end) if end else await reader.read(-1)
        while not end and (more := await reader.read(-1)):
            text += more
        got += text.count(b'data: more')
    writer.close()
    return got


async def receive(reader):
    first, n = await reader.readexactly(2)
    if n == 126:
        n = int.from_bytes(await reader.readexactly(2), 'big')
    return first & 15, await reader.readexactly(n)


async def web_socket(port):
    """A client that calls, is called, pings and is pinged; gives how many replies it got."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(b'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: aaaa\r\n'
                 b'Sec-WebSocket-Version: 13\r\n\r\n')
    await reader.readuntil(b'\r\n\r\n')
    waiting = {}

    async def listen():
        while True:
            opcode, payload = await receive(reader)
            if opcode == 9:
                await asyncio.sleep(0.03)
                writer.write(frame(10, payload))
            elif opcode == 8:
                return
            elif opcode == 1 and payload.startswith(b'{'):
                message = json.loads(payload)
                if 'method' in message:
                    writer.write(frame(1, json.dumps({'jsonrpc': '2.0', 'id': message['id'], 'result': SECRET}).encode()))
                else:
                    waiting.pop(message['id']).set_result(None)

    async def ask(method, call_id):
        waiting[call_id] = asyncio.get_running_loop().create_future()
        text = json.dumps(call(method, call_id)).encode()
        cut = len(text) // 2
        if method == 'slow': # in three fragments, with a ping between them
            writer.write(frame(1, text[:cut], False))
            await writer.drain()
            writer.write(frame(9, SECRET.encode()) + frame(0, text[cut:cut + 3], False) + frame(0, text[cut + 3:]))
        else:
            writer.write(frame(1, text))
        await waiting[call_id]

    listener = asyncio.create_task(listen())
    for i in range(ROUNDS):
        writer.write(frame(1, json.dumps(call('echo')).encode()))
        writer.write(frame(1, f'plain text: {SECRET}'.encode()))
        await asyncio.gather(ask('slow', 3 * i), ask('echo', f'{SECRET}{i}'), ask('fail', 3 * i + 1))
    both = [call('slow', 900), call('echo', 901)]
    waiting.update((one['id'], asyncio.get_running_loop().create_future()) for one in both)
    replies = list(waiting.values())
    writer.write(frame(1, json.dumps(both).encode()))
    await asyncio.gather(*replies)
    await ask('callback', 1000)
    await ask('pings', 1001)
    writer.write(frame(8, b'\x03\xe8'))
    await listener
    writer.close()


async def posts(port):
    """JSON-RPC over HTTP, and JSON that is none."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    batch = [call('echo', 1), call('fail', SECRET), call('echo'), call('slow', 2)]
    bodies = ([call('echo', 1), call('echo', SECRET), call('fail', 3), call('echo'), batch] * 5 + [{'id': 1, 'method': 'none'}] * 3)
    for body in bodies:
        text = json.dumps(body).encode()
        path = '/rpc' if not isinstance(body, dict) or 'jsonrpc' in body else '/json'
        writer.write(f'POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n'.encode())
        writer.write(text)
        head = await reader.readuntil(b'\r\n\r\n')
        if b'Content-Length' in head:
            await reader.readexactly(int(head.split(b'Content-Length: ')[1].split(b'\r\n')[0]))
    text = json.dumps(batch).encode()
    writer.write((b'POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' % (len(text), text)) * 2)
    for _ in range(2): # the second is read before the first one is answered
        head = await reader.readuntil(b'\r\n\r\n')
        await reader.readexactly(int(head.split(b'Content-Length: ')[1].split(b'\r\n')[0]))
    writer.close()


async def load(port):
    streams = [event_stream(port, '1.1', 1) for _ in range(EVENT_STREAMS - 30)]
    streams += [event_stream(port, '1.0', 1) for _ in range(20)] + [event_stream(port, '1.1', 5) for _ in range(2)]
    sockets = [web_socket(port) for _ in range(SOCKETS)]
    got = await asyncio.wait_for(asyncio.gather(*streams, *sockets, posts(port)), 120)
    return sum(n for n in got if n)


truth_path = os.path.join(work_dir(), 'truth')
with Server(['/usr/bin/python3', f'{ROOT}/tests/servers/live.py', truth_path], ready=r'listening on 127\.0\.0\.1:(\d+)',
            env={'PERFSHIM_MAX_STALL': '30000', 'PERFSHIM_HEAP': 'ledger'}) as server:
    got = asyncio.run(load(server.port))
    tap.equal(server.stop(), 0, 'the server ends well')
truth = json.load(open(truth_path, encoding='utf-8'))
told = report(server.trace)
text = perfanalyze(server.trace).stdout
tap.equal(told['trace']['lost_events'], 0, 'no event is lost')
tap.equal(told['exchanges']['lost_framing'], 0, 'no connection loses its way')
tap.equal(told['exchanges']['unfinished'], 0, 'every request and call is answered')
tap.equal(told['exchanges']['unpaired'], 0, 'every reply is to a call')

sse = next(s for s in told['streams'] if s['kind'] == 'server-sent events')
tap.equal(sse['route'], 'GET /events', 'streams have the route of their request')
tap.equal(got, truth['sse events'], 'all events arrived')
tap.equal((sse['opened'], sse['open_end']), (truth['sse opened'], 0), 'streams of events opened')
tap.equal(sse['out']['events'], truth['sse events'], 'events')
tap.equal(sse['out']['missing'], 0, 'no byte of them is missing')
tap.ok(sse['out']['gap_ms']['p50'] >= EVENT_MS * 0.9, 'gaps between them are what the server waited', sse['out']['gap_ms'])
tap.ok(sse['lifetime_ms']['p50'] >= EVENTS * EVENT_MS * 0.9, 'lifetime', sse['lifetime_ms'])
events = route_of(told, 'GET /events')
tap.equal(events['requests'], truth['sse opened'], 'each stream is a request')
tap.equal(events['response_bytes']['max'], len(CHUNKED_HEAD), 'which ends with its head')
tap.ok(sse['establish_ms'] and abs(sse['establish_ms']['p50'] - events['latency_ms']['p50']) < 1e-6, 'as the time to establish does')

ws = next(s for s in told['streams'] if s['kind'] == 'websocket')
tap.equal((ws['route'], ws['opened'], ws['open_end']), ('GET /ws', truth['ws opened'], 0), 'WebSocket connections')
for way in ('in', 'out'):
    tap.equal(ws[way]['messages'], truth[f'ws {way} messages'], f'messages {way}')
    tap.near(ws[way]['message_bytes_mean'] * ws[way]['messages'], truth[f'ws {way} bytes'], 1e-6, f'their bytes {way}')
tap.equal((ws['out']['pings'], ws['in']['pongs']), (truth['ws pings'],) * 2, 'pings to the client')
tap.equal((ws['in']['pings'], ws['out']['pongs']), (truth['ws pings taken'],) * 2, 'pings of the client')
tap.ok(ws['out']['ping_to_pong_ms']['min'] >= 29, 'their pongs took as long as the client did', ws['out']['ping_to_pong_ms'])
tap.equal(ws['in']['missing'] + ws['out']['missing'], 0, 'no byte of them is missing')

methods = {(row['route'], row['upstream']): row for row in told['json_rpc']}


def rpc(name, upstream=False):
    return methods.get((name, upstream), dict.fromkeys(('calls', 'notifications', 'errors', 'unanswered'), 0))


for method in ('echo', 'slow', 'fail', 'callback', 'pings'):
    places = [rpc(method), rpc(f'POST /rpc {method}')]
    for what in ('calls', 'notifications', 'errors'):
        tap.equal(sum(place[what] for place in places), truth.get(f'rpc {method} {what}', 0), f'{method}: {what}')
    tap.equal(sum(place['unanswered'] for place in places), 0, f'{method}: all are answered')
tap.equal(rpc('ask', True)['calls'], truth['rpc ask made'], 'calls that the server made')
asked = next(r for r in told['upstream_routes'] if r['route'] == 'ask')
tap.equal((asked['requests'], asked['protocol']), (truth['rpc replies'], 'json-rpc'), 'and their replies')
tap.equal(route_of(told, 'slow')['requests'], SOCKETS * (ROUNDS + 1), 'a call over WebSocket is an exchange, also in a batch')
tap.ok(route_of(told, 'slow')['latency_ms']['min'] >= 49, 'with the latency of its reply', route_of(told, 'slow')['latency_ms'])
tap.ok(route_of(told, 'echo')['latency_ms']['min'] < route_of(told, 'slow')['latency_ms']['min'], 'with times of its own')
tap.equal(route_of(told, 'fail')['errors'], SOCKETS * ROUNDS, 'an error reply is an error')
single, failing, batch = (route_of(told, f'POST /rpc {name}') for name in ('echo', 'fail', '[batch]'))
tap.equal((single['requests'], single['errors'], single['protocol']), (15, 0, 'json-rpc'), 'a call over HTTP has its method for a route')
tap.equal((failing['requests'], failing['errors']), (5, 5), 'and its error')
tap.equal((batch['requests'], batch['errors']), (BATCHES, BATCHES), 'a batch is one exchange')
for method, each in (('echo', 2), ('fail', 1), ('slow', 1)):
    tap.equal(rpc(method)['batched'], each * BATCHES, f'{method}: so many came in batches')
    for what in ('min', 'p50', 'max'):
        tap.equal(rpc(method)['batch_ms'][what], batch['latency_ms'][what], f'{method}: with the time of their batch, {what}')
tap.equal((rpc('POST /rpc echo')['batched'], rpc('POST /rpc echo')['batch_ms']), (0, None), 'and none of those that came alone')
tap.ok(f'{BATCHES} in batches, which took p50' in text, 'the text says so', text)
tap.equal(route_of(told, 'POST /json')['requests'], 3, 'JSON that is no JSON-RPC is a request as any other')
tap.ok(route_of(told, 'POST /rpc') is None, 'and all else has a method')
tap.ok('STREAMS' in text and 'JSON-RPC' in text and max(map(len, text.splitlines())) <= 80, 'the text report', text)

printed = ''.join(perfanalyze(*arguments, server.trace).stdout for arguments in (['--json'], ['dump'])) + text
raw = subprocess.run(['zstd', '-dcq', server.trace], capture_output=True, timeout=60, check=True).stdout
for secret, whose in ((SECRET, 'the client'), (SERVER_SECRET, 'the server')):
    tap.ok(secret[3:].encode() not in raw and secret[3:] not in printed, f'nothing that {whose} said is in the trace')
tap.ok(b'callback' in raw, 'but method names are')

# A library of others, on both sides of a connection, with and without compression: half of the rounds each.
LIBRARY_ROUNDS = 10
program = ['/usr/bin/python3', f'{ROOT}/tests/servers/wslib.py']
no_loss = {'PERFSHIM_MAX_STALL': '30000', 'PERFSHIM_HEAP': 'ledger'}
with Server([*program, 'serve', truth_path], ready=r'listening on 127\.0\.0\.1:(\d+)', env=no_loss) as server:
    client = run_shimmed([*program, 'ask', str(server.port), str(LIBRARY_ROUNDS)], env=no_loss)
    tap.equal(client.returncode, 0, 'the library asks itself')
    server.stop()
truth = json.load(open(truth_path, encoding='utf-8'))
served, asked = report(server.trace), report(client.trace)
for told, whose, near, far in ((served, 'server', 'in', 'out'), (asked, 'client', 'out', 'in')):
    ws, = told['streams']
    tap.equal((ws['route'], ws['upstream'], ws['opened']), ('GET /room/{id}', whose == 'client', LIBRARY_ROUNDS), f'{whose}: connections')
    for way in (near, far):
        tap.equal((ws[way]['messages'], ws[way]['missing']), (truth['messages'], 0), f'{whose}: messages {way}')
        tap.ok(ws[way]['compressed'] >= LIBRARY_ROUNDS, f'{whose}: compressed {way}', ws[way])
        tap.equal(ws[way]['message_bytes_max'], 135000, f'{whose}: the longest {way}')
    tap.equal((ws[near]['pings'], ws[far]['pongs']), (LIBRARY_ROUNDS,) * 2, f'{whose}: pings')
    rows = {(row['route'], row['upstream']): row for row in told['json_rpc']}
    for upstream in (False, True):
        tap.equal((rows['tell', upstream]['calls'], rows['tell', upstream]['unanswered']), (LIBRARY_ROUNDS // 2,) * 2,
                  f"{whose}: calls {'made' if upstream else 'taken'}")
    tap.equal((rows['pieces', whose == 'client']['notifications'], rows['pieces', whose == 'client']['calls']),
              (LIBRARY_ROUNDS // 2, 0), f'{whose}: a notification in three pieces')
    tap.equal(told['exchanges']['lost_framing'], 0, f'{whose}: no connection loses its way')
for trace in (server.trace, client.trace):
    raw = subprocess.run(['zstd', '-dcq', trace], capture_output=True, timeout=60, check=True).stdout
    tap.ok(b'ZqLibrary' not in raw and b'pieces' in raw, 'nothing of it is in the trace')
tap.done()
