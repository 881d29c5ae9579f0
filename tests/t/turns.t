#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Connections whose protocol is not known become turns, marked as a guess; of those whose is, every byte is found in a message, as
nginx's own log has it."""

import os
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import PERFANALYZE, Server, Tap, free_port, http_requests, report, route_of, run, work_dir  # noqa: E402
from servers import nginx_log, start_memcached, start_nginx  # noqa: E402

# Frames of four bytes of length and the content. The server greets, sleeps as long as it is told, asks another server if it is told
# to, and writes its answer in two pieces.
COMMON = '''
import os, socket, struct, sys, threading, time

def take(s, n):
    data = b''
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data

def frame(s):
    return take(s, struct.unpack('>I', take(s, 4))[0])

def put(s, data):
    s.sendall(struct.pack('>I', len(data)) + data)
'''
SERVER = COMMON + '''
def serve(c):
    c.sendall(b'greetings')
    up = None
    try:
        while True:
            what = frame(c)
            time.sleep(what[0] / 1000)
            if what[1]:
                up = up or socket.create_connection(('127.0.0.1', int(sys.argv[2])))
                put(up, what)
                frame(up)
            c.sendall(struct.pack('>I', 200))
            c.sendall(b'x' * 200)
    except EOFError:
        c.close()
        if up:
            up.close()

def listen(l):
    while True:
        threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()

inner = socket.socket(socket.AF_UNIX)
inner.bind(sys.argv[3])
inner.listen()
threading.Thread(target=listen, args=(inner,), daemon=True).start()
outer = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=64)
listen(outer)
'''

tap = Tap()


def take(s, n):
    data = b''
    while len(data) < n:
        data += s.recv(n - len(data)) or exit('the server closed')
    return data


def ask(s, sleep_ms, upstream=0, more=b''):
    content = bytes([sleep_ms, upstream]) + more
    s.sendall(struct.pack('>I', len(content)) + content)
    take(s, 204)


def upstream_server(listener):
    """Answers each frame by one."""
    def serve(c):
        while head := c.recv(4):
            take(c, struct.unpack('>I', head)[0])
            c.sendall(struct.pack('>I', 1) + b'y')
        c.close()
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


upstream = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=upstream_server, args=(upstream,), daemon=True).start()
up_port = upstream.getsockname()[1]
port, path = free_port(), os.path.join(work_dir(), 's')
with Server(['/usr/bin/python3', '-c', SERVER, str(port), str(up_port), path], port=port,
            env={'PERFSHIM_MAX_STALL': '30000'}) as server:
    for _ in range(3):
        with socket.create_connection(('127.0.0.1', port), 20) as s:
            take(s, len('greetings'))
            for i in range(20):
                ask(s, 10, i % 2, b'more' * i)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        take(s, len('greetings'))
        for i in range(5):
            ask(s, 0)
    server.stop()

result = report(server.trace)
counted = {r['route']: r['requests'] for r in result['routes']}
tap.equal(counted, {f'tcp :{port}': 60, f'unix {path}': 5}, 'what goes in and then out is a turn')
up = {r['route']: (r['requests'], r['guess']) for r in result['upstream_routes']}
tap.equal(up, {f'tcp 127.0.0.1:{up_port}': (30, True)}, 'so is what is asked of another, under the address of that')
row = route_of(result, f'tcp :{port}')
tap.ok(row['guess'] and row['protocol'] == 'tcp', 'it is marked as a guess')
tap.ok(row['latency_ms']['min'] >= 10, 'its latency has the time that the server took', row['latency_ms'])
tap.equal(row['response_bytes'], {'mean': 204, 'max': 204}, 'its response is all that came until the next request')
tap.equal(row['request_bytes']['max'], 4 + 2 + 4 * 19, 'and its request all that came before')
tap.equal([row['allocations_per_request'], row['kept_bytes_per_request']['value']], [None, None], 'of its memory nothing is said')
cover = {(r['protocol'], r['as_client']): r for r in result['coverage']['protocols']}
tap.equal(cover[('tcp', True)]['read_bytes'], 30 * 5, 'its bytes are counted')
tap.equal({r['share'] for r in cover.values()}, {0}, 'and none of them is called understood')
text = run([PERFANALYZE, server.trace]).stdout
tap.ok(' (guess)' in text and 'Guess: ' in text, 'the text says that it is a guess', text)

with start_memcached(env={'PERFSHIM_MAX_STALL': '30000'}) as server:
    with socket.create_connection(('127.0.0.1', server.port), 20) as s:
        stream = s.makefile('rb')
        for i in range(50):
            s.sendall(b'set key%d 0 0 5\r\nvalue\r\n' % i)
            stream.readline()
        for i in range(70):
            s.sendall(b'mg key%d v\r\n' % (i % 50))
            stream.readline(), stream.readline()
    server.stop()
result = report(server.trace)
row = route_of(result, f'tcp :{server.port}')
tap.equal(row and row['requests'], 120, 'memcached: as many turns as it was asked')

files = {'small': b's' * 1000, 'large': b'l' * 3000000}
with start_nginx(files, env={'PERFSHIM_MAX_STALL': '30000'}) as server:
    for name, count in (('small', 40), ('large', 4), ('missing', 3)):
        http_requests(server.port, 'GET', f'/{name}', count)
    server.stop()
log = nginx_log(server.access_log)
result = report(server.trace)
row = [r for r in result['coverage']['protocols'] if r['protocol'] == 'http/1.1'][0]
tap.equal([row['read_bytes'], row['written_bytes']], [sum(e.request_bytes for e in log), sum(e.sent_bytes for e in log)],
          'nginx: bytes read and written as in its log')
tap.equal([row['read_framed_bytes'], row['written_framed_bytes'], row['share']], [row['read_bytes'], row['written_bytes'], 1],
          'nginx: all of them are in messages')
tap.equal({r['guess'] for r in result['routes']}, {False}, 'nothing of it is a guess')

# Nothing is captured: it is told how much went, and nothing of it is understood.
with start_nginx({'small': b's' * 1000}, env={'PERFSHIM_MAX_STALL': '30000', 'PERFSHIM_CAPTURE': '0'}) as server:
    http_requests(server.port, 'GET', '/small', 10)
    server.stop()
result = report(server.trace)
share = {r['protocol']: r['share'] for r in result['coverage']['protocols']}
tap.ok(share.get('tcp', share.get('http/1.1')) == 0, 'without payload nothing is understood', share)
tap.done()
