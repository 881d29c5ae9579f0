#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing that a client or server says in confidence reaches the trace: each place gets a secret of its own, and the whole
decompressed file is searched for all of them."""

import base64
import os
import socket
import ssl
import stat
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import (Server, Tap, have, perfanalyze, report, run_shimmed, start_shop,  # noqa: E402
                     work_dir)
from servers import raw_exchange, start_nginx, start_redis  # noqa: E402

tap = Tap()
secrets = {}
shared_memory = set(os.listdir('/dev/shm'))


def secret(place):
    """A text that stands nowhere else, made for one place."""
    secrets[place] = f'xZq{len(secrets):03d}wKvJ'
    return secrets[place]


def content(trace):
    """The file as it is, all of it decompressed, and all that perfanalyze prints of it, which waits for its end first."""
    printed = ''.join(perfanalyze(*arguments, trace).stdout for arguments in ([], ['--json'], ['info'], ['dump']))
    packed = open(trace, 'rb').read()
    raw = subprocess.run(['zstd', '-dcq', trace], capture_output=True, timeout=60, check=True).stdout
    return packed, raw, printed.encode()


def search(server, host, kept):
    """None of the secrets made so far is in the server's trace, where `kept` is; they are forgotten then."""
    packed, raw, printed = content(server.trace)
    tap.ok(kept in raw and kept in printed, f'{host}: what may be kept is found by such a search')
    found = {place: text for place, text in secrets.items()
             for where in (packed, raw, printed) if text.lower().encode() in where.lower()}
    for place in secrets:
        tap.ok(place not in found, f'{host}: {place}')
    tap.equal(stat.S_IMODE(os.stat(server.trace).st_mode), 0o600, f'{host}: the trace is its owner\'s alone')
    secrets.clear()


def http(port, line, headers=(), body=b''):
    head = '\r\n'.join([line, 'Host: shop', 'Connection: close', *headers, '', ''])
    return raw_exchange(port, head.encode() + body)


def post(port, content_type, text):
    headers = [f'Content-Type: {content_type}', f'Content-Length: {len(text)}']
    return http(port, 'POST /orders HTTP/1.1', headers, text.encode())


with start_shop() as shop:
    port = shop.port
    http(port, 'GET /items/1 HTTP/1.1', [f"Authorization: Bearer {secret('Authorization header')}"])
    http(port, 'GET /items/1 HTTP/1.1', [f"Cookie: session={secret('cookie')}"])
    http(port, 'GET /items/1 HTTP/1.1', [f"X-Api-Key: {secret('header of our own')}", f"{secret('header name')}: 1"])
    http(port, 'GET /items/1 HTTP/1.1', ['X-Folded: one', f" {secret('folded header line')}"])
    http(port, 'GET /items/1 HTTP/1.1', [f"Content-Length: 0;{secret('end of a framing header')}"])
    http(port, 'GET /items/1 HTTP/1.1', [f"Transfer-Encoding: {secret('unknown transfer coding')}"])
    http(port, 'GET /items/1 HTTP/1.1', [f"Filler: {'f' * 20000}", f"Late: {secret('header behind the captured part')}"])
    http(port, f"GET /search?q={secret('query value')} HTTP/1.1")
    http(port, f"GET /search?{secret('query without a name')} HTTP/1.1")
    http(port, f"GET /items/1;jsessionid={secret('path parameter')} HTTP/1.1")
    http(port, f"GET /items/1#{secret('fragment')} HTTP/1.1")
    http(port, f"GET http://user:{secret('user info of an absolute target')}@shop/items/1 HTTP/1.1")
    http(port, f"GET /search?q={secret('query, no version')}")
    http(port, f"get /search?q={secret('query, lower-case method')} http/1.1")
    http(port, f"GET  /search?q={secret('query, two spaces')} HTTP/1.1")
    http(port, f"GET /search?q=a {secret('query with a space')} HTTP/1.1")
    http(port, f"GET /search?{'q' * 20000}{secret('end of a long query')} HTTP/1.1")
    http(port, f"CONNECT {secret('authority')}:443 HTTP/1.1")
    post(port, 'application/json', '{"password": "%s"}' % secret('JSON body'))
    post(port, 'application/x-www-form-urlencoded', f"password={secret('form body')}")
    post(port, 'text/plain', 'GET /%s HTTP/1.1\r\n\r\n' % secret('body that looks like a request'))
    post(port, 'text/plain', 'b' * 30000 + secret('end of a long body'))
    http(port, 'POST /orders HTTP/1.1', ['Content-Length: 4'], b'body' + secret('behind the body').encode() + b'\r\n\r\n')
    chunk = secret('chunked body').encode()
    http(port, 'POST /orders HTTP/1.1', ['Transfer-Encoding: chunked'], b'%x;x=%s\r\n%s\r\n0\r\n%s: 1\r\n\r\n' % (
        len(chunk), secret('chunk extension').encode(), chunk, secret('trailer').encode()))
    raw_exchange(port, [b'GET /items/2 HTTP/1.1\r\nHost: shop\r\nAuthoriz', b'ation: Bearer ',
                        secret('split header').encode(), b'\r\nConnection: close\r\n\r\n'], pause=0.05)
    raw_exchange(port, [b'GET /search?q=', secret('split query').encode(), b' HTTP/1.1\r\nHost: shop\r\n\r\n'], pause=0.05)
    raw_exchange(port, b''.join(b'GET /items/3 HTTP/1.1\r\nHost: shop\r\nCookie: %s\r\n\r\n' % text for text in
                                (secret('first pipelined').encode(), secret('second pipelined').encode())))
    raw_exchange(port, secret('no HTTP at all').encode() + b'\r\n\r\n')
    raw_exchange(port, b'\x16\x03\x01\x02\x00' + secret('binary').encode() + b'\0' * 40)
    raw_exchange(port, b'*2\r\n$4\r\nAUTH\r\n$9\r\n' + secret('Redis spoken to an HTTP server').encode() + b'\r\n')
    http(port, 'GET /items/1 HTTP/1.1', [f"Authorization: Basic {base64.b64encode(secret('Basic').encode()).decode()}"])
    secrets['Basic, encoded'] = base64.b64encode(secrets['Basic'].encode()).decode().rstrip('=')
    http(port, 'GET /items/1 HTTP/1.1', [f"Proxy-Authorization: Digest response={secret('Digest')}"])
    raw_exchange(port, [b'POST /orders HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n',
                        secret('body behind 100-continue').encode(), b'GET /items/1 HTTP/1.0\r\n\r\n'], pause=0.1)
    raw_exchange(port, (b'POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 19\r\n\r\npassword=%s'
                        b'GET /items/1 HTTP/1.1\r\nHost: shop\r\nCookie: %s\r\n\r\n') % (
                            secret('form in front of a pipelined request').encode(), secret('its cookie').encode()))
    raw_exchange(port, b'POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: multipart/form-data; boundary=%s\r\n'
                       b'Content-Length: 14\r\n\r\n--%s--' % ((secret('boundary').encode(),) * 2))
    whole = ('POST /orders?k=%s HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer %s\r\nCookie: c=%s\r\nContent-Length: 17\r\n'
             '\r\n{"pass":"%s"GET /items/1;s=%s HTTP/1.1\r\nX: %s\r\n\r\n') % tuple(
                 secret(f'{place}, byte by byte') for place in ('query', 'header', 'cookie', 'body', 'parameter', 'header 2'))
    raw_exchange(port, [bytes([byte]) for byte in whole.encode()], pause=0.002)

    def repeat(place, text):
        for _ in range(20):
            http(port, f'GET /search?q={text} HTTP/1.1', [f'Cookie: {text}'])
            raw_exchange(port, [b'POST /orders HTTP/1.1\r\nContent-Length: 1', b'0\r\n\r\n', text.encode()], pause=0.005)
    threads = [threading.Thread(target=repeat, args=(i, secret(f'thread {i}'))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shop.stop()
tap.ok(len(report(shop.trace)['routes']) > 1, 'shop: routes are known all the same')
search(shop, 'shop', b'/items/')

with start_shop(shimmed=False) as shop:
    files = {'page.html': f"<input value={secret('page by sendfile')}>".encode(),
             'written.html': f"<input value={secret('page by write')}>".encode() * 100}
    proxied = f"""location /written.html {{ sendfile off; }}
        location /cookie {{ add_header Set-Cookie "id={secret('response cookie')}"; return 204; }}
        location /moved {{ return 302 "/login?token={secret('redirect')}"; }}
        location /said {{ return 200 "{secret('response body')}"; }}
        location /search {{ proxy_pass http://127.0.0.1:{shop.port};
            proxy_set_header Authorization "Basic {secret('header of an upstream request')}"; }}
        location /orders {{ proxy_pass http://127.0.0.1:{shop.port}; }}"""
    env = {'SERVICE_PASSWORD': secret('environment of the host')}
    with start_nginx(files, server=proxied, env=env) as nginx:
        for path in ('page.html', 'written.html', 'cookie', 'moved', 'said', f"search?q={secret('upstream query')}"):
            answer = http(nginx.port, f'GET /{path} HTTP/1.1')
            tap.ok(answer.startswith(b'HTTP/1.1 '), f"nginx answers /{path.split('?')[0]}")
        post(nginx.port, 'text/plain', secret('upstream body'))
        nginx.stop()
search(nginx, 'nginx', b'/page.html')

password = secret('password on the command line')
with start_redis('--requirepass', password) as redis:
    def say(*words, as_array=True):
        """An authenticated connection says one command."""
        parts = [word.encode() for word in words]
        command = b'*%d\r\n' % len(parts) + b''.join(b'$%d\r\n%s\r\n' % (len(p), p) for p in parts)
        login = b'*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n' % (len(password), password.encode())
        return raw_exchange(redis.port, login + (command if as_array else b' '.join(parts) + b'\r\n'))

    tap.ok(say('SET', secret('key'), secret('SET value')) == b'+OK\r\n+OK\r\n', 'redis takes the password')
    say('GET', secrets['key'])
    say('AUTH', secret('wrong password'))
    say('AUTH', 'default', secret('wrong password of a user'))
    say('HELLO', '3', 'AUTH', 'default', secret('HELLO AUTH'))
    say('AUTH', secret('AUTH as an inline command'), as_array=False)
    say('SET', 'key', f'"{secret("SET value as an inline command")}"', as_array=False)
    say('CONFIG', 'SET', 'masterauth', secret('CONFIG SET'))
    say('EVAL', f"return '{secret('script and its reply')}'", '0')
    say('EVAL', f"return redis.status_reply('{secret('status reply')}')", '0')
    say('EVAL', f"return redis.error_reply('{secret('error reply')}')", '0')
    say('NOSUCH', secret('argument of an unknown command'))
    say(secret('unknown command'))
    say(secret('unknown inline command'), as_array=False)
    say('SET', 'big', 'v' * 40000 + secret('end of a big value'))
    say('GET', 'big')
    say('SET', 'nested', f"*2\r\n$4\r\nAUTH\r\n$11\r\n{secret('value that looks like a command')}\r\n")
    raw_exchange(redis.port, [b'*2\r\n$4\r\nAU', b'TH\r\n$10\r\n', secret('split AUTH').encode(), b'\r\n'], pause=0.05)
    say('CONFIG', 'SET', 'masteruser', secret('CONFIG SET masteruser'))
    say('ACL', 'SETUSER', 'worker', 'on', f">{secret('ACL SETUSER')}", '+get')
    say('ACL', 'SETUSER', 'other', 'on', f"#{secret('ACL SETUSER by hash')}")
    say('MIGRATE', '127.0.0.1', '1', 'key', '0', '1', 'AUTH', secret('MIGRATE AUTH'))
    say('MIGRATE', '127.0.0.1', '1', 'key', '0', '1', 'AUTH2', 'user', secret('MIGRATE AUTH2'))
    say('CLIENT', 'SETNAME', secret('CLIENT SETNAME'))
    say('HSET', 'user:1', secret('field'), secret('field value'))
    say('HGETALL', 'user:1')
    say('PUBLISH', secret('channel'), secret('message'))
    say('SUBSCRIBE', secret('subscribed channel'))
    raw_exchange(redis.port, [bytes([byte]) for byte in b'*3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$10\r\n%s\r\nAUTH %s\r\n' % (
        secret('AUTH byte by byte').encode(), secret('inline AUTH byte by byte').encode())], pause=0.002)
    raw_exchange(redis.port, b''.join(b'*2\r\n$4\r\nAUTH\r\n$10\r\n%s\r\n' % secret(f'pipelined AUTH {i}').encode()
                                      for i in range(3)))
    raw_exchange(redis.port, b'*1\r\n$300000\r\n' + secret('broken length').encode() + b'\r\n')
    redis.stop()
tap.ok({'SET', 'AUTH', 'EVAL'} <= {r['route'] for r in report(redis.trace)['routes']},
       'redis: commands are known all the same')
search(redis, 'redis', b'EVAL')

# Other protocols, plain and within TLS, and what a program has besides connections: one server that takes anything. It prints
# the port of its plain socket when all are ready.
SINK = """
import os, socket, ssl, subprocess, sys, threading
certificate, unix, extra = sys.argv[1:4]
reply = os.environ['REPLY_SECRET'].encode()
open(os.path.join(os.path.dirname(unix), extra), 'w').write(extra)
def talk(c, tls):
    try:
        if tls:
            c = tls.wrap_socket(c, server_side=True)
        while c.recv(4096):
            c.sendall(b'R\\0\\0\\0\\10\\0\\0\\0\\0' + reply + b'\\r\\n')
    except OSError:
        pass
    c.close()
def serve(s, tls=None):
    while True:
        threading.Thread(target=talk, args=(s.accept()[0], tls), daemon=True).start()
plain, local, secure = socket.create_server(('127.0.0.1', 0)), socket.socket(socket.AF_UNIX), None
local.bind(unix)
local.listen()
threading.Thread(target=serve, args=(local,), daemon=True).start()
port = 0
if certificate:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    secure = socket.create_server(('127.0.0.1', 0))
    port = secure.getsockname()[1]
    threading.Thread(target=serve, args=(secure, tls), daemon=True).start()
subprocess.run(['/bin/echo', 'argument', extra], env=dict(os.environ, CHILD_TOKEN=extra), stdout=subprocess.DEVNULL)
print('listening', plain.getsockname()[1], 'tls', port, '.', flush=True)
serve(plain)
"""


def make_certificate(directory):
    """Path of a file with a key and a certificate; "" where there is no openssl to make them."""
    path = os.path.join(directory, 'certificate.pem')
    if not have('openssl'):
        return ''
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-days', '2',
                    '-keyout', path, '-out', path + '.crt'], capture_output=True, check=True)
    with open(path, 'ab') as f, open(path + '.crt', 'rb') as certificate:
        f.write(certificate.read())
    return path


def send(address, parts, wrap=None):
    with (socket.socket(socket.AF_UNIX) if isinstance(address, str) else socket.socket()) as plain:
        plain.settimeout(5)
        plain.connect(address)
        connection = wrap(plain) if wrap else plain
        for part in parts:
            connection.sendall(part)
            connection.recv(4096)
        connection.close()


def postgres(place):
    """The messages of a client that logs in and asks: start, password, a SASL answer, a query, bound values."""
    def message(kind, content):
        return kind + struct.pack('>I', len(content) + 4) + content
    start = b'\0\3\0\0user\0%s\0database\0shop\0\0' % secret(f'user of PostgreSQL, {place}').encode()
    return [struct.pack('>I', len(start) + 4) + start,
            message(b'p', secret(f'PostgreSQL password, {place}').encode() + b'\0'),
            message(b'p', b'SCRAM-SHA-256\0\0\0\0\20n,,n=,r=' + secret(f'SASL, {place}').encode()),
            message(b'Q', b"SELECT '" + secret(f'query of PostgreSQL, {place}').encode() + b"'\0"),
            message(b'B', b'\0\0\0\0\0\1\0\0\0\12' + secret(f'bound value, {place}').encode() + b'\0\0')]


directory = work_dir()
certificate, unix = make_certificate(directory), os.path.join(directory, 'socket')
program = os.path.join(directory, 'sink.py')
with open(program, 'w') as f:
    f.write(SINK)
env = {'REPLY_SECRET': secret('reply in no known protocol')}
argument = secret('argument, file name and environment of a child')
with Server([sys.executable, program, certificate, unix, argument], ready=r'listening (\d+) tls \d+ \.', env=env) as sink:
    plain = ('127.0.0.1', sink.port)
    tls_port = int(sink.stdout().split()[3])
    send(plain, postgres('TCP'))
    send(unix, postgres('unix socket'))
    send(plain, [b'EHLO %s\r\n' % secret('EHLO').encode(),
                 b'AUTH PLAIN %s\r\n' % secret('SMTP AUTH').encode(), b'AUTH LOGIN\r\n', secret('SMTP password').encode() + b'\r\n',
                 b'MAIL FROM:<%s@x>\r\n' % secret('sender').encode(), b'DATA\r\n', secret('mail').encode() + b'\r\n.\r\n'])
    send(plain, [b'USER %s\r\nPASS %s\r\n' % (secret('USER').encode(), secret('PASS').encode())])
    send(plain, [b'set %s 0 0 10\r\n%s\r\n' % (secret('memcached key').encode(), secret('memcached value').encode())])
    send(plain, [b'\x10\x2a\0\4MQTT\4\xc2\0\x3c\0\2id\0\4user\0\12' + secret('MQTT').encode()])
    send(plain, [bytes([byte]) for byte in b'LOGIN %s\r\n' % secret('unknown protocol byte by byte').encode()])
    send(unix, [b'GET /local?q=%s HTTP/1.1\r\nCookie: %s\r\n\r\n' % (
        secret('query, unix socket').encode(), secret('cookie, unix socket').encode())])
    if certificate:
        context = ssl.create_default_context(cafile=certificate)
        for text in ('GET /secure?token=%s HTTP/1.1', 'PASS %s'):
            send(('127.0.0.1', tls_port), [(text % secret(f'TLS: {text[:4]}')).encode() + b'\r\n\r\n'],
                 lambda s: context.wrap_socket(s, server_hostname='localhost'))
    else:
        tap.skip('TLS', 'openssl is not installed')
    sink.stop()
search(sink, 'other protocols', b'python3')

# What stands in the trace's place, and is no old trace of ours, is left as it is; the host runs on and is told the path.
directory = work_dir()
victim = os.path.join(directory, 'victim')
planted = {name: os.path.join(directory, name) for name in ('link', 'dangling', 'fifo', 'directory', 'foreign')}
for path, content in ((victim, 'not to be touched'), (planted['foreign'], 'not to be touched')):
    with open(path, 'w') as f:
        f.write(content)
os.symlink('victim', planted['link'])
os.symlink('nowhere', planted['dangling'])
os.mkfifo(planted['fifo'])
os.mkdir(planted['directory'])
if os.getuid() == 0:
    os.chown(planted['foreign'], 1, 1)
else:
    del planted['foreign']
for name, path in planted.items():
    before = os.lstat(path)
    host = run_shimmed(['/bin/echo', 'runs on'], out=path, env={'PERFSHIM_QUIET': None})
    after = os.lstat(path)
    tap.ok(host.returncode == 0 and host.stdout == 'runs on\n' and len(host.stderr.splitlines()) == 1 and path in host.stderr,
           f'planted {name}: the host runs on, one line names the path', host.stderr)
    tap.ok((before.st_ino, before.st_size, before.st_uid, before.st_mode) ==
           (after.st_ino, after.st_size, after.st_uid, after.st_mode) and not os.path.lexists(path + '.old'),
           f'planted {name}: it is left as it is')
tap.equal(open(victim).read(), 'not to be touched', 'nothing was written through a link')
os.symlink('victim', os.path.join(directory, 'trace.zst.old'))
for _ in range(2):
    perfanalyze('info', run_shimmed(['/bin/true'], out=os.path.join(directory, 'trace.zst')).trace)
tap.ok(open(victim).read() == 'not to be touched' and not os.path.islink(os.path.join(directory, 'trace.zst.old')),
       'a link in the old trace\'s place is replaced, not followed')

tap.equal([name for name in set(os.listdir('/dev/shm')) - shared_memory if 'perfshim' in name.lower()], [],
          'nothing of ours is in /dev/shm')
tap.done()
