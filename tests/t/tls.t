#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TLS: what real servers and clients say through OpenSSL is seen as plaintext, each request of every connection, with the certainty
that belongs to the way in which the host uses the library; and hosts that have another library, or none, notice nothing."""

import os
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from both import LOUD, answered, both, http_mix, served  # noqa: E402
from harness import (O, ROOT, Tap, Server, dump, free_port, have, perfanalyze, report, run, run_shimmed,  # noqa: E402
                     start_shop, work_dir)
from servers import (raw_exchange, redis_calls, start_apache, start_haproxy, start_nginx, start_redis,  # noqa: E402
                     start_uvicorn)

FILES = {'small.txt': b's' * 1024, 'big.bin': b'b' * 200_000}
SITE = [('GET', '/small.txt', None), ('GET', '/big.bin', None), ('GET', '/missing?token=hunter2', None),
        ('HEAD', '/small.txt', None), ('POST', '/small.txt', b'hunter2' * 400)]
CONNECTIONS, ROUNDS = 4, 10
NO_LOSS = {**LOUD, 'PERFSHIM_MAX_STALL': '30000'}

tap = Tap()
directory = work_dir()
os.chmod(directory, 0o755)
CERTIFICATE, KEY, BOTH = (os.path.join(directory, name) for name in ('cert.pem', 'key.pem', 'both.pem'))
made = run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', KEY, '-out', CERTIFICATE, '-days', '2',
            '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'])
if made.returncode:
    tap.ok(False, 'openssl makes a certificate', made.stderr)
    tap.done()
with open(BOTH, 'w') as f:
    f.write(open(CERTIFICATE).read() + open(KEY).read())
for path in (KEY, BOTH):
    os.chmod(path, 0o644)
CLIENT = ssl.create_default_context(cafile=CERTIFICATE)


def nginx_tls(port):
    return f'listen 127.0.0.1:{port} ssl; ssl_certificate {CERTIFICATE}; ssl_certificate_key {KEY};'


def https(port):
    return lambda _server: http_mix(port, SITE, CONNECTIONS, ROUNDS, tls=CLIENT)


def as_asked(seen):
    """What a served route must count, by its name."""
    routes = {}
    for (method, path, *_), count in seen.items():
        name = f"{method} {path.partition('?')[0]}"
        routes[name] = routes.get(name, 0) + count
    return routes


def check_server(name, start, port, known_by, handshakes=CONNECTIONS, resumed=0, **options):
    """Runs it bare and preloaded: every request has its plaintext, and its connection is known in this way."""
    _, shimmed, result = both(tap, name, lambda env=None, **more: start(env={**env, **NO_LOSS} if env else None, **more), https(port),
                              **options)
    tap.equal(answered(shimmed.answers), len(SITE) * CONNECTIONS * ROUNDS, f'{name}: all is answered')
    tap.equal({r['route']: r['requests'] for r in result['routes']}, as_asked(shimmed.answers), f'{name}: each request is counted')
    tap.equal((result['exchanges']['unfinished'], result['exchanges']['unpaired']), (0, 0), f'{name}: none twice, none left over')
    tls = result['tls']
    tap.equal({how: n for how, n in tls['connections'].items() if n}, {known_by: handshakes},
              f'{name}: connections are known by {known_by}')
    tap.equal((tls['handshakes']['server']['done'], tls['handshakes']['server']['resumed'], tls['unseen_connections'],
               tls['stray_plaintexts']), (handshakes, resumed, 0, 0), f'{name}: handshakes')
    times = tls['handshakes']['server']['duration_us']
    tap.ok(50 < times['p50'] <= times['p99'] <= times['max'] < 60e6, f'{name}: their times', times)
    payload = sum(n * (len(FILES.get(path[1:], b'')) if method == 'GET' else 0)
                  for (method, path, *_), n in shimmed.answers.items())
    tap.ok(payload < tls['plaintext_bytes_out'] < tls['ciphertext_bytes_out'] < 1.2 * payload,
           f'{name}: bytes that are written are plaintext once, and ciphertext once', tls)
    tap.ok(0 < tls['plaintext_bytes_in'] < tls['ciphertext_bytes_in'], f'{name}: and those that are read', tls)
    raw = run(['zstd', '-dc', shimmed.server.trace]).stdout
    tap.ok('hunter2' not in raw and 'token' not in raw, f'{name}: no secret is in the trace')
    return result


# --- servers ---

tls_port = free_port()
check_server('nginx', lambda **options: start_nginx(FILES, server=nginx_tls(tls_port), **options), tls_port, 'descriptor',
             logs='logs')

# When the kernel had a request is known by the ciphertext that brought it.
tls_port = free_port()
with start_nginx(FILES, server=nginx_tls(tls_port),
                 env={**NO_LOSS, 'PERFSHIM_RXTIME': '1'}) as server:
    seen = http_mix(tls_port, SITE, CONNECTIONS, 2, tls=CLIENT)
result = report(server.trace)
tap.equal({r['route']: (r['requests'], r['queue_known']) for r in result['routes']},
          {route: (count, count) for route, count in as_asked(seen).items()}, 'nginx: times of receipt of every request')
tap.ok(all(0 <= r['queue_ms']['p50'] < 20_000 for r in result['routes']), 'nginx: queues',
       [r['queue_ms'] for r in result['routes']])

APACHE_TLS = """
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
Listen 127.0.0.1:{port}
KeepAliveTimeout 60
<VirtualHost 127.0.0.1:{port}>
    SSLEngine on
    SSLCertificateFile {certificate}
    SSLCertificateKeyFile {key}
</VirtualHost>
"""

for mpm in ('event', 'prefork'):
    if not have('apache2'):
        tap.skip(f'apache2, {mpm}', 'apache2 is not installed')
        continue
    tls_port = free_port()
    check_server(f'apache2, {mpm}', lambda **options: start_apache(
        FILES, mpm, more=APACHE_TLS.format(port=tls_port, certificate=CERTIFICATE, key=KEY), **options), tls_port, 'inside',
        logs='logs', ignore='AH00170|AH00169')

if have('haproxy'):
    PROXIED = [('GET', '/items/7', None), ('GET', '/search?q=hunter2', None), ('POST', '/orders', b'o' * 2000),
               ('GET', '/nowhere', None)]
    tls_port = free_port()
    with start_shop(shimmed=False) as shop:
        _, shimmed, result = both(
            tap, 'haproxy', lambda env=None, **options: start_haproxy(
                shop.port, f'bind 127.0.0.1:{tls_port} ssl crt {BOTH}', env={**env, **NO_LOSS} if env else None, **options),
            lambda _server: http_mix(tls_port, PROXIED, CONNECTIONS, ROUNDS, tls=CLIENT), ignore=r'exited with code')
    count = answered(shimmed.answers)
    tap.equal((count, served(result), sum(r['requests'] for r in result['upstream_routes'])),
              (len(PROXIED) * CONNECTIONS * ROUNDS,) * 3, 'haproxy: every answer to its clients, and of its backend, is counted')
    tap.equal(result['tls']['connections'], {'descriptor': 0, 'inside': CONNECTIONS, 'receive': 0},
              'haproxy: connections are known by the socket calls inside')
else:
    tap.skip('haproxy', 'haproxy is not installed')


def check_counts(name, server, requests, known_by, rounds=ROUNDS):
    """A server that is recorded, with a client that counts, and one that does not trust it: gives the report."""
    with server:
        with socket.create_connection(('127.0.0.1', server.port), 60) as s:
            try:
                ssl.create_default_context().wrap_socket(s, server_hostname='127.0.0.1')
                tap.ok(False, f'{name}: a client that does not trust it goes away')
            except ssl.SSLError:
                pass
        seen = http_mix(server.port, requests, CONNECTIONS, rounds, tls=CLIENT)
    result = report(server.trace)
    tap.equal(answered(seen), len(requests) * CONNECTIONS * rounds, f'{name}: all is answered')
    tap.equal((served(result), result['trace']['lost_events']), (answered(seen), 0), f'{name}: each request is counted')
    tap.equal(result['tls']['connections'], {'descriptor': 0, 'inside': 0, 'receive': 0, known_by: CONNECTIONS},
              f'{name}: connections are known by {known_by}')
    done, failed = (result['tls']['handshakes']['server'][how] for how in ('done', 'failed'))
    tap.equal((done, failed > 0, result['tls']['unseen_connections'], result['tls']['stray_plaintexts']),
              (CONNECTIONS, True, 0, 0), f'{name}: handshakes')
    return result


GETS = [('GET', '/items', None), ('GET', '/search?q=hunter2', None)]
check_counts('python3 ssl', Server(['/usr/bin/python3', f'{ROOT}/tests/servers/tls_sync.py', CERTIFICATE, KEY],
                                   ready=r'listening on 127\.0\.0\.1:(\d+)', env=NO_LOSS), GETS, 'descriptor')
check_counts('uvicorn (asyncio)', start_uvicorn('--ssl-certfile', CERTIFICATE, '--ssl-keyfile', KEY, '--loop', 'asyncio',
                                                '--timeout-keep-alive', '60', env=NO_LOSS),
             [('GET', '/users/7', None), ('POST', '/users', b'u' * 40_000)], 'receive')

# redis, in TLS alone; its protocol is what its client says inside
tls_port = free_port()
with start_redis('--tls-port', str(tls_port), '--tls-cert-file', CERTIFICATE, '--tls-key-file', KEY, '--tls-ca-cert-file', CERTIFICATE,
                 '--tls-auth-clients', 'no', env=NO_LOSS) as redis:
    loaded = run(['redis-benchmark', '--tls', '--cacert', CERTIFICATE, '-p', str(tls_port), '-n', '200', '-c', '4', '-t', 'set,get',
                  '-q'])
    calls = redis_calls(redis.port)
result = report(redis.trace)
if 'SET' in calls:
    tap.equal({r['route']: r['requests'] for r in result['routes'] if r['route'] in ('SET', 'GET')},
              {name: calls[name] for name in ('SET', 'GET')}, 'redis: each command is counted')
    tap.equal((result['tls']['connections']['inside'], result['tls']['connections']['receive']), (0, 0),
              'redis: its connections are known by descriptor')
else:
    tap.skip('redis', f'this build has no TLS: {loaded.stderr}')

# GnuTLS; it answers without a length, and closes
if have('gnutls-serv'):
    port = free_port()
    with Server([have('gnutls-serv'), '--http', '--x509certfile', CERTIFICATE, '--x509keyfile', KEY, '-p', str(port)], port=port,
                env=NO_LOSS) as server:
        seen = http_mix(port, GETS, 2, 5, tls=CLIENT)
    result = report(server.trace)
    tap.equal((answered(seen), {r['route']: r['requests'] for r in result['routes']}), (20, {'GET /items': 10, 'GET /search': 10}),
              'gnutls-serv: each request is counted')
    tls = result['tls']
    tap.equal((tls['connections'], tls['handshakes']['unknown']['done'], tls['stray_plaintexts']),
              ({'descriptor': 0, 'inside': 20, 'receive': 0}, 20, 0), 'gnutls-serv: its connections and handshakes')
else:
    tap.skip('gnutls-serv', 'not installed')

# --- clients ---

tls_port = free_port()
with start_nginx(FILES, server=nginx_tls(tls_port),
                 shimmed=False):
    urls = [f'https://127.0.0.1:{tls_port}/{path}' for path in ('small.txt', 'big.bin?secret=hunter2', 'missing')] * 10
    curl = run_shimmed(['curl', '-s', '-o', '/dev/null', '--cacert', CERTIFICATE, *urls], env=NO_LOSS)
    result = report(curl.trace)
    tap.equal((curl.returncode, {r['route']: r['requests'] for r in result['upstream_routes']}),
              (0, {'GET /small.txt': 10, 'GET /big.bin': 10, 'GET /missing': 10}), 'curl: each of its requests is counted')
    tls = result['tls']
    tap.equal((tls['connections'], tls['handshakes']['client']['done']), ({'descriptor': 0, 'inside': 1, 'receive': 0}, 1),
              'curl: one connection, known by the socket calls inside')
    if have('wget') and 'gnutls' in run(['ldd', have('wget')]).stdout:
        wget = run_shimmed(['wget', '-q', '-O', '/dev/null', '--ca-certificate', CERTIFICATE, *urls[:2]], env=NO_LOSS)
        result = report(wget.trace)
        tap.equal((wget.returncode, {r['route']: r['requests'] for r in result['upstream_routes']}, result['tls']['connections']),
                  (0, {'GET /small.txt': 1, 'GET /big.bin': 1}, {'descriptor': 0, 'inside': 1, 'receive': 0}),
                  'wget, of GnuTLS: each of its requests is counted')
    else:
        tap.skip('wget', 'not installed, or not of GnuTLS')

AIOHTTP = """
import asyncio, ssl, sys
import aiohttp
async def main():
    context = ssl.create_default_context(cafile=sys.argv[1])
    async with aiohttp.ClientSession() as session:
        async def fetch(i):
            async with session.get(sys.argv[2] + ('/small.txt', '/big.bin')[i % 2], ssl=context) as response:
                return len(await response.read())
        print(sum(await asyncio.gather(*(fetch(i) for i in range(100)))))
asyncio.run(main())
"""
if run(['/usr/bin/python3', '-c', 'import aiohttp']).returncode == 0:
    with start_nginx(FILES, server=nginx_tls(tls_port),
                     shimmed=False):
        client = run_shimmed(['/usr/bin/python3', '-c', AIOHTTP, CERTIFICATE, f'https://127.0.0.1:{tls_port}'], env=NO_LOSS)
        result = report(client.trace)
        tap.equal((client.stdout.strip(), {r['route']: r['requests'] for r in result['upstream_routes']}),
                  (str(50 * sum(map(len, FILES.values()))), {'GET /small.txt': 50, 'GET /big.bin': 50}),
                  'aiohttp: each of its requests is counted')
        tls = result['tls']
        count = tls['connections']['receive']
        tap.ok(1 < count <= 100 and tls['connections'] == {'descriptor': 0, 'inside': 0, 'receive': count},
               'aiohttp: many connections on one thread, known by what it read last', tls)
else:
    tap.skip('aiohttp', 'not installed')

# --- a handshake that fails, and one that goes on where another left off; how long those that are whole take, by both sides' clocks ---

HANDSHAKES = 8
ASK = """import os, socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[2])
for _ in range(int(sys.argv[3])):
    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 60)
    s.settimeout(None)  # one call for the handshake
    wrapped = context.wrap_socket(s, server_hostname='127.0.0.1', do_handshake_on_connect=False)
    cpu_ns, begin_ns = time.thread_time_ns(), time.monotonic_ns()
    wrapped.do_handshake()
    took_ns, cpu_ns = time.monotonic_ns() - begin_ns, time.thread_time_ns() - cpu_ns
    print('handshake', took_ns, cpu_ns, os.getpid(), flush=True)
    wrapped.sendall(b'GET /b HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
    while wrapped.recv(65536):
        pass
    wrapped.close()
"""


def check_handshakes(name, trace, printed):
    """Against lines of its own clock, which was read around each: never more, and little less."""
    own = [tuple(map(int, line.split()[1:])) for line in printed.splitlines() if line.startswith('handshake ')]
    seen = [e for e in dump(trace) if e.name == 'tls' and (e.fields['result'], e.fields['resumed']) == ('0', '0')]
    own.sort(key=lambda row: row[2])  # a server has a thread for each
    seen.sort(key=lambda e: e.tid)
    rows = [((e.int('duration'), took), (e.int('cpu_ns'), cpu)) for e, (took, cpu, _) in zip(seen, own)]
    tap.ok(len(seen) == len(own) == HANDSHAKES, f'{name}: each handshake is there', (len(seen), own))
    for what, of_it in (('time', [row[0] for row in rows]), ('CPU', [row[1] for row in rows])):
        off = sorted(true - got for got, true in of_it)
        true = sorted(true for _, true in of_it)[len(rows) // 2]
        tap.ok(off[0] >= -5000 and off[len(off) // 2] <= max(0.05 * true, 100_000),
               f"{name}: a handshake's {what} is what it measured itself", of_it)


with Server(['/usr/bin/python3', f'{ROOT}/tests/servers/tls_sync.py', CERTIFICATE, KEY], ready=r'listening on 127\.0\.0\.1:(\d+)',
            env=NO_LOSS) as server:
    raw_exchange(server.port, b'GET / HTTP/1.0\r\n\r\n')
    sessions = []
    for i in range(2):
        with socket.create_connection(('127.0.0.1', server.port), 60) as s:
            with CLIENT.wrap_socket(s, server_hostname='127.0.0.1', session=sessions[-1] if sessions else None) as wrapped:
                wrapped.sendall(b'GET /a HTTP/1.1\r\nHost: x\r\n\r\n')
                while not wrapped.recv(65536).endswith(b'/a'):
                    pass
                sessions.append(wrapped.session)
    whole = run_shimmed(['/usr/bin/python3', '-c', ASK, str(server.port), CERTIFICATE, str(HANDSHAKES - 1)], env=NO_LOSS)
    tap.equal(whole.returncode, 0, 'handshakes: a client of python3')
    server.stop()
own = [line for line in server.stdout().splitlines() if line.startswith('handshake')]
check_handshakes('server', server.trace, '\n'.join(own[:1] + own[2:]))
HANDSHAKES -= 1
check_handshakes('client', whole.trace, whole.stdout)
result = report(server.trace)
both_sides = result['tls']['handshakes']
tap.equal((both_sides['server']['done'], both_sides['server']['resumed'], both_sides['server']['failed']), (2 + HANDSHAKES, 1, 1),
          'handshakes: all are done, one of them resumed, one failed')
tap.equal(both_sides['versions']['1.3'], 2 + HANDSHAKES, 'handshakes: their version')
tap.equal(served(result), 2 + HANDSHAKES, 'handshakes: and what followed')

# --- hosts with a TLS library of their own, or several, or none ---

probe = f'{O}/tests/programs/tls_probe'
bare, shimmed = run([probe]), run_shimmed([probe])
tap.equal((shimmed.stdout, set(shimmed.stdout.strip())), (bare.stdout, {'0'}), 'who looks for a TLS library finds none')

VERSIONS = {'1.1': ('libssl.so.1.1', 11, ['OPENSSL_1_1_0']), '3': ('libssl.so.3', 3, ['OPENSSL_3.0.0']),
            'bundled': ('libssl-81ffa89e.so.3', 33, ['OPENSSL_3.0.0']), 'boring': ('libssl.so', 99, [])}


def build(cmd):
    built = run(['cc', '-w', '-g', *cmd])
    if built.returncode:
        raise RuntimeError(built.stderr)


library, user = (f'{ROOT}/tests/hosts/{name}' for name in ('tls_library.c', 'tls_user.c'))
plugins = []
for name, (soname, answer, versions) in VERSIONS.items():
    place = os.path.join(directory, name)
    os.mkdir(place)
    with open(f'{place}/map', 'w') as f:
        f.write(''.join(f'{version} {{ global: *; }};\n' for version in versions))
    build(['-shared', '-fPIC', f'-DANSWER={answer}', f'-Wl,-soname,{soname}',
           *([f'-Wl,--version-script={place}/map'] if versions else []), library, '-o', f'{place}/{soname}'])
    build(['-shared', '-fPIC', '-DPLUGIN', user, f'{place}/{soname}', f'-Wl,-rpath,{place}', '-o', f'{place}/plugin.so'])
    plugins.append(f'{place}/plugin.so')
build([user, '-ldl', '-o', f'{directory}/tls_user'])
bare = run([f'{directory}/tls_user', *plugins])
shimmed = run_shimmed([f'{directory}/tls_user', *plugins], env=NO_LOSS)
tap.equal(bare.stdout, '11 11 3 11 3 33 11 3 33 99 ' * 3 + '\n', 'four TLS libraries in one process')
tap.equal((shimmed.stdout, shimmed.returncode), (bare.stdout, 0), 'each session is given to the library that made it')
tap.equal(report(shimmed.trace)['trace']['lost_events'], 0, 'nothing was lost')
plain = {(e.fields['op'], e.int('bytes'), e.int('desc')) for e in dump(shimmed.trace) if e.name == 'io' and 'SSL' in e.fields['op']}
tap.equal(plain, {(op, n, 0) for op in ('SSL_read', 'SSL_write') for n in (11, 3, 33)},
          'their plaintext is recorded, of no connection, but for the one without versions')

NODE = """
const https = require('https'), fs = require('fs');
const options = {cert: fs.readFileSync(process.argv[1]), key: fs.readFileSync(process.argv[2])};
const server = https.createServer(options, (request, response) => {
  request.resume(); request.on('end', () => response.end('seen ' + request.method)); });
server.keepAliveTimeout = 60000;
server.listen(0, '127.0.0.1', () => console.log('listening on 127.0.0.1:' + server.address().port));
process.on('SIGTERM', () => process.exit(0));
"""
if have('node'):
    with Server([have('node'), '-e', NODE, CERTIFICATE, KEY], ready=r'listening on 127\.0\.0\.1:(\d+)', env=NO_LOSS) as server:
        seen = http_mix(server.port, GETS, CONNECTIONS, 3, tls=CLIENT)
        status = server.stop()
    result = report(server.trace)
    tap.equal((answered(seen), status), (len(GETS) * CONNECTIONS * 3, 0), 'node: all is answered')
    tls = result['tls']
    known = served(result), tls['unseen_connections'], sum(tls['connections'].values())
    if 'libssl' in run(['ldd', have('node')]).stdout:  # Debian's
        tap.equal(known, (answered(seen), 0, CONNECTIONS), 'node on the shared OpenSSL: every answer is counted')
    else:
        tap.equal((*known, tls['plaintext_bytes_in']), (0, CONNECTIONS, 0, 0), 'node: its TLS is its own, and nothing is believed of it')
        text = ' '.join(perfanalyze(server.trace).stdout.split())
        tap.ok(f'TLS is inside of {os.path.realpath(have("node"))}' in text and
               f'requests on {CONNECTIONS} connections cannot be seen' in text, 'node: the report says so', text)
else:
    tap.skip('node', 'node is not installed')

tap.done()
