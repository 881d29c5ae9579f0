# SPDX-License-Identifier: Apache-2.0
"""Server-sent events, WebSocket and JSON-RPC 2.0 in one server of Python's asyncio: python3 tests/servers/live.py TRUTH

  GET  /events?count=N&ms=M   N events, M milliseconds apart, chunked; with HTTP/1.0 until the connection is closed
  GET  /feed                  events as they are published, until /end
  POST /publish?count=N       N events to each who has asked for /feed; POST /end ends these
  GET  /ws                    WebSocket: answers JSON-RPC calls, those of a batch one by one, echoes anything else
  POST /rpc                   JSON-RPC, batches too
JSON-RPC methods: echo (gives its params), slow (after 50 ms), fail (an error), and over WebSocket also: callback (calls `ask` of the
client twice, with ids that are a number and a text, and replies when both are answered), pings (three, one after the other's pong).
Calls made over WebSocket are answered as they are done, not in order. What the server itself saw is written as JSON to TRUTH when
it gets SIGTERM.
"""
import asyncio
import base64
import collections
import hashlib
import json
import signal
import struct
import sys
from urllib.parse import parse_qs, urlsplit

truth = collections.Counter()
SERVER_SECRET = 'xZqServerSaysInConfidence'


def reply_of(call):
    """What a call is answered with; None to a notification."""
    where = f"rpc {call['method']}"
    if 'id' not in call:
        truth[where + ' notifications'] += 1
        return None
    truth[where + ' calls'] += 1
    if call['method'] == 'fail':
        truth[where + ' errors'] += 1
        return {'jsonrpc': '2.0', 'id': call['id'], 'error': {'code': -1, 'message': SERVER_SECRET}}
    return {'jsonrpc': '2.0', 'result': call.get('params'), 'id': call['id']}


class Socket:
    """The server's end of a WebSocket connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.waiting = {}
        self.pong = None
        self.tasks = set()

    def send(self, opcode, payload, last=True):
        truth['ws out frames'] += 1
        head = bytes([opcode | (0x80 if last else 0)])
        n = len(payload)
        head += bytes([n]) if n < 126 else struct.pack('>BH', 126, n) if n < 65536 else struct.pack('>BQ', 127, n)
        self.writer.write(head + payload)

    def send_text(self, text):
        truth['ws out messages'] += 1
        truth['ws out bytes'] += len(text.encode())
        self.send(1, text.encode())

    async def receive_frame(self):
        first, length = await self.reader.readexactly(2)
        n = length & 127
        if n == 126:
            n, = struct.unpack('>H', await self.reader.readexactly(2))
        elif n == 127:
            n, = struct.unpack('>Q', await self.reader.readexactly(8))
        mask = await self.reader.readexactly(4)
        masked = await self.reader.readexactly(n)
        return first, bytes(byte ^ mask[i & 3] for i, byte in enumerate(masked))

    async def call(self, name, call_id):
        truth['rpc ' + name + ' made'] += 1
        self.waiting[call_id] = asyncio.get_running_loop().create_future()
        self.send_text(json.dumps({'jsonrpc': '2.0', 'method': name, 'params': [SERVER_SECRET], 'id': call_id}))
        await self.waiting[call_id]

    async def answer(self, call):
        reply = reply_of(call)
        if call['method'] == 'slow':
            await asyncio.sleep(0.05)
        elif call['method'] == 'callback':
            await asyncio.gather(self.call('ask', 1), self.call('ask', SERVER_SECRET + 'Id'))
        elif call['method'] == 'pings':
            for _ in range(3):
                self.pong = asyncio.get_running_loop().create_future()
                truth['ws pings'] += 1
                self.send(9, SERVER_SECRET.encode())
                await self.pong
        if reply:
            self.send_text(json.dumps(reply))

    def take_json(self, message):
        if 'method' not in message:
            truth['rpc replies'] += 1
            self.waiting.pop(message['id']).set_result(None)
            return
        task = asyncio.create_task(self.answer(message))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def take(self, text):
        truth['ws in messages'] += 1
        truth['ws in bytes'] += len(text.encode())
        if text.startswith('{'):
            self.take_json(json.loads(text))
        elif text.startswith('['): # each is answered by a message of its own
            for message in json.loads(text):
                self.take_json(message)
        else:
            self.send_text(text)

    async def serve(self):
        message = b''
        while True:
            first, payload = await self.receive_frame()
            opcode = first & 15
            if opcode < 8:
                message += payload
                if first & 0x80:
                    self.take(message.decode())
                    message = b''
            elif opcode == 9:
                truth['ws pings taken'] += 1
                self.send(10, payload)
            elif opcode == 10:
                self.pong.set_result(None)
            else:
                self.send(8, payload)
                return


async def events(writer, version, query):
    count, ms = int(query['count'][0]), int(query['ms'][0])
    chunked = version == 'HTTP/1.1'
    truth['sse opened'] += 1
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n' +
                 (b'Transfer-Encoding: chunked\r\n\r\n' if chunked else b'Connection: close\r\n\r\n'))
    for i in range(count):
        await asyncio.sleep(ms / 1000)
        text = f': awake\n\nid: {i}\ndata: {SERVER_SECRET}\ndata: more\n\n'.encode()
        writer.write(b'%x\r\n%s\r\n' % (len(text), text) if chunked else text)
        await writer.drain()
        truth['sse events'] += 1
    if chunked:
        writer.write(b'0\r\n\r\n')
    return chunked


class Feed:
    """Who wants to hear what is published."""

    def __init__(self):
        self.writers = {}

    async def listen(self, writer):
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
        self.writers[writer] = asyncio.get_running_loop().create_future()
        truth['sse opened'] += 1
        truth['sse most open'] = max(truth['sse most open'], len(self.writers))
        await self.writers[writer]
        writer.write(b'0\r\n\r\n')

    async def publish(self, count):
        for i in range(count):
            text = f'id: {i}\ndata: {SERVER_SECRET}\n\n'.encode()
            for writer in self.writers:
                writer.write(b'%x\r\n%s\r\n' % (len(text), text))
                truth['sse events'] += 1
            await asyncio.gather(*(writer.drain() for writer in self.writers))

    def end(self):
        for ended in self.writers.values():
            ended.set_result(None)
        self.writers.clear()


feed = Feed()


def rpc(body):
    truth['http posts'] += 1
    calls = json.loads(body)
    if isinstance(calls, dict):
        return json.dumps(reply_of(calls)) if 'id' in calls else reply_of(calls)
    replies = [reply for reply in map(reply_of, calls) if reply]
    return json.dumps(replies) if replies else None


async def upgrade(reader, writer, headers):
    key = base64.b64encode(hashlib.sha1(headers['sec-websocket-key'].encode() +
                                        b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
    writer.write(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                 b'Sec-WebSocket-Accept: ' + key + b'\r\n\r\n')
    truth['ws opened'] += 1
    await Socket(reader, writer).serve()


async def request(reader, writer):
    """Serves one; false when it was the last."""
    line, *rest = (await reader.readuntil(b'\r\n\r\n')).decode().split('\r\n')
    method, target, version = line.split(' ')
    headers = {name.lower(): value.strip() for name, _, value in (header.partition(':') for header in rest if header)}
    url = urlsplit(target)
    if url.path == '/events':
        return await events(writer, version, parse_qs(url.query))
    if url.path == '/feed':
        await feed.listen(writer)
        return True
    if url.path == '/publish':
        await feed.publish(int(parse_qs(url.query)['count'][0]))
    elif url.path == '/end':
        feed.end()
    if url.path == '/ws':
        await upgrade(reader, writer, headers)
        return False
    text = rpc(await reader.readexactly(int(headers['content-length']))) if 'content-length' in headers else None
    if text is None:
        writer.write(b'HTTP/1.1 204 No Content\r\n\r\n')
    else:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' % (
            len(text), text.encode()))
    return True


async def connection(reader, writer):
    try:
        while await request(reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(connection, '127.0.0.1', 0, backlog=1024)
    print(f'listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}', flush=True)
    await stop.wait()
    with open(sys.argv[1], 'w', encoding='utf-8') as out:
        json.dump(truth, out)


asyncio.run(main())
