#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Upstream exchanges: counted and timed as the proxies themselves do it, and linked to the requests that caused them. Requests and
what is asked because of them have names that match, so that each link can be checked: none may be wrong."""

import collections
import importlib.util
import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, free_port, have, http_requests, perfanalyze, report, wait_until, work_dir  # noqa: E402
from servers import start_nginx  # noqa: E402

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'servers')
NO_LOSS = {'PERFSHIM_MAX_STALL': '30000'}
# nginx and haproxy log milliseconds, of a clock that they read once a turn of their loop. On a busy machine a few requests lose
# the processor between that and the call itself.
LOG_MS = 2.0
BUSY_MS = 15.0

tap = Tap()


def load(port, clients, each, path='/in/t%d'):
    """Each client sends so many requests, one after another, over a connection of its own; all have different numbers."""
    def one(client):
        for i in range(each):
            answers.append(http_requests_on(connections[client], path % (client * each + i)))

    import http.client
    answers = []
    connections = [http.client.HTTPConnection('127.0.0.1', port, timeout=60) for _ in range(clients)]
    threads = [threading.Thread(target=one, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.close()
    return answers


def http_requests_on(connection, path):
    connection.request('GET', path)
    response = connection.getresponse()
    response.read()
    return response.status


def exchanges(trace):
    """All upstream exchanges as (path, what became of its link, its parent's path), and the inbound ones by path."""
    lines = perfanalyze('dump', '--exchanges', trace)
    paths, upstream, inbound = {}, [], {}
    for line in lines.stdout.splitlines():
        fields = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', line)}
        if line.split()[2] == 'request':
            paths[fields['exchange']] = fields.get('path')
        elif fields['side'] == 'upstream':
            upstream.append((fields['exchange'], fields['link'], fields['parent']))
        else:
            inbound[fields['exchange']] = fields
    return ([(paths[x], link, paths.get(parent)) for x, link, parent in upstream],
            {paths[x]: fields for x, fields in inbound.items()})


def number(path):
    found = re.search(r'/t(\d+)', path or '')
    return found and found.group(1)


def check_links(name, trace):
    """That no link is wrong; the upstream exchanges by (whether they have a number, link)."""
    upstream, _ = exchanges(trace)
    wrong = [row for row in upstream if row[1] == 'linked' and (not number(row[0]) or number(row[0]) != number(row[2]))]
    tap.ok(not wrong, f'{name}: no link is wrong', wrong[:5])
    return collections.Counter((number(path) is not None, link) for path, link, _ in upstream)


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]


def near_log(name, times, logged_ms):
    """Quantiles and mean of the report's times against the log's."""
    for what, wanted, within in (('p50', quantile(logged_ms, 0.5), LOG_MS), ('p90', quantile(logged_ms, 0.9), LOG_MS),
                                 ('p99', quantile(logged_ms, 0.99), BUSY_MS), ('mean', sum(logged_ms) / len(logged_ms), LOG_MS)):
        got = times[what]
        tap.ok(got is not None and abs(got - wanted) <= within + 0.05 * wanted, f'{name}: {what} {got} ms, logged {wanted:.3f} ms')


def pair_of(result, route, upstream_route):
    row = next((r for r in result['upstream']['routes'] if r['route'] == route), None)
    return next((p for p in row['calls'] if p['upstream_route'] == upstream_route), None) if row else None


# --- nginx: proxy_pass, one connection for each upstream request and with a pool, one client and several ---

LOGGED = """log_format upstream '$request_time $upstream_response_time $uri';
upstream back {{ server 127.0.0.1:{port}; {pool} }}"""
PROXY = """access_log {log} upstream;
location /in/ {{ proxy_pass http://back/up/; proxy_http_version 1.1; proxy_set_header Connection "{connection}"; }}"""


def proxy(back, pool):
    log = os.path.join(work_dir(), 'upstream.log')
    with open(log, 'w'):
        os.chmod(log, 0o666)
    os.chmod(os.path.dirname(log), 0o755)
    nginx = start_nginx({}, workers=1, env=NO_LOSS, http=LOGGED.format(port=back.port, pool='keepalive 32;' if pool else ''),
                        server=PROXY.format(log=log, connection='' if pool else 'close'))
    nginx.upstream_log = log
    return nginx


def slow_server():
    """A server that takes 3 ms for each request, one at a time."""
    return Server([f'{O}/tests/servers/queue', '0', '3000'], ready=r':(\d+)', shimmed=False)


REQUESTS = 120
for pool in (True, False):
    name = 'nginx with a pool' if pool else 'nginx without a pool'
    with slow_server() as back, proxy(back, pool) as nginx:
        http_requests(nginx.port, 'GET', '/in/7', REQUESTS)
        nginx.stop()
    with open(nginx.upstream_log) as f:
        logged = [line.split() for line in f]
    result = report(nginx.trace)
    pair = pair_of(result, 'GET /in/{id}', 'GET /up/{id}')
    tap.equal(result['upstream']['links']['linked'], REQUESTS, f'{name}, one client: all are linked')
    tap.equal(result['upstream']['exchanges'], REQUESTS, f'{name}: and there are no others')
    tap.equal((len(logged), pair and pair['calls'], pair and pair['calls_per_request']), (REQUESTS, REQUESTS, 1),
              f'{name}: calls by route are those of its log')
    if pair:
        near_log(f'{name}: $upstream_response_time', pair['time_ms'], [1000 * float(row[1]) for row in logged])
    inbound = next(r for r in result['routes'] if r['route'] == 'GET /in/{id}')
    near_log(f'{name}: $request_time', inbound['latency_ms'], [1000 * float(row[0]) for row in logged])
    share = next(r['share_of_time'] for r in result['upstream']['routes'] if r['route'] == 'GET /in/{id}')
    tap.ok(0.5 < share <= 1, f'{name}: most of the time is upstream', share)
    row = next(r for r in result['upstream_routes'] if r['route'] == 'GET /up/{id}')
    tap.equal((row['connections'], row['connects']), (1, 1) if pool else (REQUESTS, REQUESTS), f'{name}: connections')
    text = perfanalyze(nginx.trace).stdout
    tap.ok(f'linked 100% of {REQUESTS} upstream exchanges' in text, f'{name}: the text says so', text)
    tap.ok(all(len(line) <= 80 for line in text.splitlines()), f'{name}: within 80 columns')

with start_nginx({}, workers=1, shimmed=False, server='location / { return 200 ok; }') as back, proxy(back, True) as nginx:
    answers = load(nginx.port, 8, 50)
    nginx.stop()
tap.equal(answers, [200] * 400, 'nginx, eight clients: all are answered')
links = check_links('nginx, eight clients', nginx.trace)
tap.equal(sum(links.values()), 400, 'nginx, eight clients: all upstream exchanges are there')
tap.ok(links[True, 'linked'] > 0, 'nginx, eight clients: some are linked', links)

# --- haproxy: its own timers ---

HAPROXY = """
global
    nbthread 2
    log stdout format raw local0
defaults
    mode http
    log global
    log-format "T %TR %Tw %Tc %Tr %Ta"
    timeout connect 60s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    http-request set-path %[path,regsub(^/in/,/up/)]
    server back 127.0.0.1:{back}
"""
if have('haproxy'):
    with slow_server() as back:
        port, config = free_port(), os.path.join(work_dir(), 'haproxy.cfg')
        with open(config, 'w') as f:
            f.write(HAPROXY.format(port=port, back=back.port))
        with Server([have('haproxy'), '-f', config], port=port, env=NO_LOSS) as haproxy:
            http_requests(port, 'GET', '/in/7', REQUESTS)
            rows = lambda: re.findall(r'^T (\d+) (\d+) (\d+) (\d+) (\d+)$', haproxy.stdout(), re.M)  # noqa: E731
            wait_until(lambda: len(rows()) == REQUESTS)
            haproxy.stop()
    logged = [[float(value) for value in row] for row in rows()]
    result = report(haproxy.trace)
    pair = pair_of(result, 'GET /in/{id}', 'GET /up/{id}')
    tap.equal((len(logged), pair and pair['calls']), (REQUESTS, REQUESTS), 'haproxy, one client: all are linked')
    if pair:
        near_log('haproxy: Tr', pair['time_ms'], [row[3] for row in logged])
    inbound = next(r for r in result['routes'] if r['route'] == 'GET /in/{id}')
    near_log('haproxy: Ta', inbound['latency_ms'], [row[4] for row in logged])
    row = next(r for r in result['upstream_routes'] if r['route'] == 'GET /up/{id}')
    tap.equal((row['connections'], row['connects']), (1, 1), 'haproxy: one connection')
    tap.ok(abs(row['connect_ms']['max'] - max(fields[2] for fields in logged)) <= BUSY_MS, 'haproxy: its connecting took Tc', row['connect_ms'])
else:
    tap.skip('haproxy', 'not installed')

# --- threads: each for its connection; and such that hand their requests to each other ---

for kind in ('direct', 'queue'):
    with start_nginx({}, workers=1, shimmed=False, server='location / { return 200 ok; }') as back, \
         Server([f'{O}/tests/servers/relay', str(back.port), kind], ready=r'listening on (\d+)', env=NO_LOSS) as relay:
        answers = load(relay.port, 8, 50)
        relay.stop()
    tap.equal(answers, [200] * 400, f'relay {kind}: all are answered')
    links = check_links(f'relay {kind}', relay.trace)
    background = {link: n for (own, link), n in links.items() if not own}
    tap.equal(set(background), {'no_request'}, f'relay {kind}: what its background thread asks belongs to no request')
    if kind == 'direct':
        tap.equal(links[True, 'linked'], 400, 'relay direct: all are linked')
    else:
        result = report(relay.trace)
        tap.ok(links[True, 'handed_over'] > 0, 'relay queue: work was handed over, and that was seen', links)
        tap.equal(result['upstream']['links']['linked'], 0, 'relay queue: what was linked before is withdrawn')

# --- an asyncio service: calls one after another and at once, and a background task ---

for client in ('httpx', 'aiohttp'):
    if not (importlib.util.find_spec(client) and importlib.util.find_spec('uvicorn')):
        tap.skip(f'uvicorn with {client}', 'not installed')
        continue
    for quiet, clients, each in (('1', 1, 30), ('', 3, 20)):
        name = f'uvicorn with {client}, ' + ('one client' if quiet else 'three clients and a background task')
        port = free_port()
        with start_nginx({}, workers=1, shimmed=False, server='location / { return 200 ok; }') as back, \
             Server(['/usr/bin/python3', '-m', 'uvicorn', '--app-dir', APPS, 'relay:app', '--port', str(port), '--log-level',
                     'warning', '--no-access-log'], port=port,
                    env={**NO_LOSS, 'PYTHONDONTWRITEBYTECODE': '1', 'RELAY_CLIENT': client, 'RELAY_QUIET': quiet,
                         'RELAY_UPSTREAM': f'http://127.0.0.1:{back.port}'}) as relay:
            answers = load(port, clients, each)
            relay.stop()
        tap.equal(answers, [200] * clients * each, f'{name}: all are answered')
        links = check_links(name, relay.trace)
        tap.equal(sum(n for (own, _), n in links.items() if own), 3 * clients * each, f'{name}: three calls a request')
        if quiet:
            tap.ok(links[True, 'linked'] > 0, f'{name}: some are linked', links)
            _, inbound = exchanges(relay.trace)
            odd = [x for x in inbound.values() if int(x['upstream_calls']) > 3 or
                   int(x['upstream_ns']) > 1e9 * (float(x['done']) - float(x['in'])) + 1000]
            tap.ok(not odd, f'{name}: no request has more calls, or more upstream time than time', odd[:3])
tap.done()
