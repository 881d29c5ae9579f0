#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TLS: what real servers and clients say through OpenSSL is seen as plaintext, each request of every connection, with the certainty
that belongs to the way in which the host uses the library; and hosts that have another library, or none, notice nothing."""

import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from both import LOUD, answered, both, http_mix, served  # noqa: E402
from harness import ROOT, Tap, Server, dump, free_port, have, perfanalyze, report, route_of, run, run_shimmed, start_shop, work_dir  # noqa: E402
from servers import start_apache, start_haproxy, start_nginx, start_redis, start_uvicorn, redis_calls  # noqa: E402

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
check_server('nginx', lambda **options: start_nginx(FILES, server=f'listen 127.0.0.1:{tls_port} ssl; ssl_certificate {CERTIFICATE}; '
                                                    f'ssl_certificate_key {KEY};', **options), tls_port, 'descriptor', logs='logs')

APACHE_TLS = """
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
Listen 127.0.0.1:{port}
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
    PROXIED = [('GET', '/items/7', None), ('GET', '/search?q=hunter2', None), ('POST', '/orders', b'o' * 2000), ('GET', '/nowhere', None)]
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
    """A server that is recorded, with a client that counts: gives the report."""
    with server:
        seen = http_mix(server.port, requests, CONNECTIONS, rounds, tls=CLIENT)
    result = report(server.trace)
    tap.equal(answered(seen), len(requests) * CONNECTIONS * rounds, f'{name}: all is answered')
    tap.equal((served(result), result['trace']['lost_events']), (answered(seen), 0), f'{name}: each request is counted')
    tap.equal(result['tls']['connections'], {'descriptor': 0, 'inside': 0, 'receive': 0, known_by: CONNECTIONS},
              f'{name}: connections are known by {known_by}')
    tap.equal((result['tls']['handshakes']['server']['done'], result['tls']['unseen_connections'],
               result['tls']['stray_plaintexts']), (CONNECTIONS, 0, 0), f'{name}: handshakes')
    return result


GETS = [('GET', '/items', None), ('GET', '/search?q=hunter2', None)]
check_counts('python3 ssl', Server(['/usr/bin/python3', f'{ROOT}/tests/servers/tls_sync.py', CERTIFICATE, KEY],
                                   ready=r'listening on 127\.0\.0\.1:(\d+)', env=NO_LOSS), GETS, 'descriptor')
check_counts('uvicorn (asyncio)', start_uvicorn('--ssl-certfile', CERTIFICATE, '--ssl-keyfile', KEY, '--loop', 'asyncio', env=NO_LOSS),
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

# --- clients ---

tls_port = free_port()
with start_nginx(FILES, server=f'listen 127.0.0.1:{tls_port} ssl; ssl_certificate {CERTIFICATE}; ssl_certificate_key {KEY};',
                 shimmed=False):
    urls = [f'https://127.0.0.1:{tls_port}/{path}' for path in ('small.txt', 'big.bin?secret=hunter2', 'missing')] * 10
    curl = run_shimmed(['curl', '-s', '-o', '/dev/null', '--cacert', CERTIFICATE, *urls], env=NO_LOSS)
    result = report(curl.trace)
    tap.equal((curl.returncode, {r['route']: r['requests'] for r in result['upstream_routes']}),
              (0, {'GET /small.txt': 10, 'GET /big.bin': 10, 'GET /missing': 10}), 'curl: each of its requests is counted')
    tls = result['tls']
    tap.equal((tls['connections'], tls['handshakes']['client']['done']), ({'descriptor': 0, 'inside': 1, 'receive': 0}, 1),
              'curl: one connection, known by the socket calls inside')

tap.done()

