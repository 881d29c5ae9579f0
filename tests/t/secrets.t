#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing that a client or server says in confidence reaches the trace: each place gets a secret of its own, and the whole
decompressed file is searched for all of them."""

import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import Tap, perfanalyze, report, start_shop  # noqa: E402
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
    raw_exchange(redis.port, b'*1\r\n$300000\r\n' + secret('broken length').encode() + b'\r\n')
    redis.stop()
tap.ok({'SET', 'AUTH', 'EVAL'} <= {r['route'] for r in report(redis.trace)['routes']},
       'redis: commands are known all the same')
search(redis, 'redis', b'EVAL')

tap.equal([name for name in set(os.listdir('/dev/shm')) - shared_memory if 'perfshim' in name.lower()], [],
          'nothing of ours is in /dev/shm')
tap.done()
