#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Upstream exchanges: counted and timed as the proxies themselves do it, and linked to the requests that caused them. Requests and
what is asked because of them have names that match, so that each link can be checked: none may be wrong. The waits for them are
`upstream` in the requests' splits."""

import bisect
import collections
import importlib.util
import json
import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, free_port, have, http_requests, perfanalyze, report, wait_until, work_dir  # noqa: E402
from servers import start_nginx  # noqa: E402

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'servers')
NO_LOSS = {'PERFSHIM_MAX_STALL': '30000'}
# nginx and haproxy log whole milliseconds, of clocks that they read once a turn of their loop, after its wait. What passes between
# that and the call itself, little but where the processor is taken away, the trace tells: so each logged time has bounds, on any machine.
LOG_MS = 1.0
CLOCKS_MS = 0.02  # two clocks, converted
SHARE = 0.05      # where a loop's own clock is read beside ours: of the middle one of all pairs

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


def upstream_times(trace):
    """(The path of its request, its fields) of each upstream exchange."""
    lines = [(line, {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', line)})
             for line in perfanalyze('dump', '--exchanges', trace).stdout.splitlines()]
    paths = {fields['exchange']: fields['path'] for line, fields in lines if line.split()[2] == 'request'}
    return [(paths[fields['exchange']].removeprefix('/up'), fields) for line, fields in lines
            if line.split()[2] == 'exchange' and fields['side'] == 'upstream']


def number(path):
    found = re.search(r'/t?(\d+)', path or '')
    return found and found.group(1)


def check_links(name, trace):
    """That no link is wrong; the upstream exchanges by (whether they have a number, link)."""
    upstream, _ = exchanges(trace)
    wrong = [row for row in upstream if row[1] == 'linked' and (not number(row[0]) or number(row[0]) != number(row[2]))]
    tap.ok(not wrong, f'{name}: no link is wrong', wrong[:5])
    return collections.Counter((number(path) is not None, link) for path, link, _ in upstream)


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]


def served(trace):
    """The requests in the order in which they came, times in ms: (fields and `who` read it, its split, its linked calls' fields)."""
    requests, calls, who = [], collections.defaultdict(list), {}
    for line in perfanalyze('dump', '--exchanges', trace).stdout.splitlines():
        fields = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', line)}
        if line.split()[2] == 'request':
            who[fields['exchange']] = line.split()[1]
            continue
        fields['who'] = who[fields['exchange']]
        for time in ('in', 'ready', 'out', 'done'):
            fields[time] = 1e3 * float(fields[time])
        if fields['side'] == 'upstream':
            calls[fields['parent']].append(fields)
        else:
            requests.append(fields)
    requests.sort(key=lambda fields: fields['in'])
    return [(fields, split_of(fields), sorted(calls[fields['exchange']], key=lambda c: c['in'])) for fields in requests]


def split_of(fields):
    parts = (part.split(':') for part in fields['split_ns'].split(',') if part)
    return {kind: float(ns) / 1e6 for kind, ns in parts}


def wakes(trace):
    """When waits for descriptors ended, in ms: a function that gives the last such time of a thread before another time; of one that
    has not waited yet nothing is known."""
    ends = collections.defaultdict(lambda: [-float('inf')])
    for line in perfanalyze('dump', trace).stdout.splitlines():
        if ' wait op=epoll' in line:
            ends[line.split()[1]].append(1e3 * float(line.split()[0]))
    return lambda who, ms: ends[who][bisect.bisect_left(ends[who], ms) - 1]


def within(name, times, least, most):
    """Each quantile and the mean of the report's times lie between those of what each single time is at least and at most."""
    for what, of in (('p50', lambda v: quantile(v, 0.5)), ('p90', lambda v: quantile(v, 0.9)), ('p99', lambda v: quantile(v, 0.99)),
                     ('mean', lambda v: sum(v) / len(v))):
        low, high, got = of(least), of(most), times[what]
        off = CLOCKS_MS + 0.005 * high  # as exact as quantiles are
        tap.ok(got is not None and low - off <= got <= high + off, f'{name}: {what}', f'{got} ms, by the log {low:.3f} to {high:.3f} ms')


def pairs(name, rows):
    """rows: (least, got, most) of each request: none is out of bounds."""
    odd = [row for row in rows if not row[0] - CLOCKS_MS <= row[1] <= row[2] + CLOCKS_MS]
    tap.ok(rows and not odd, f'{name}: of each request', odd[:5])


def near_log(name, trace, logged_ms, times, step_ms=LOG_MS, connects=False):
    """What the proxy logged of its one call in each request, against the call and the request's split; times: the report's.
    connects: the logged time has connecting in it."""
    woke, rows, calls = wakes(trace), [], []
    linked = [(logged, *row) for logged, row in zip(logged_ms, served(trace)) if row[2]]
    for logged, request, split, (call,) in linked:
        took, asked, replied = call['done'] - call['in'], call['in'] - woke(request['who'], request['in']), call['done'] - woke(call['who'], call['done'])
        calls.append((logged - step_ms - asked - (request['out'] - call['done']), took, logged + step_ms + replied))
        other = request['done'] - request['in'] - split.get('upstream', 0)
        rows.append((logged - step_ms - asked - other, split.get('upstream', 0),
                     logged + step_ms + replied + (0 if connects else call['in'] - request['in'])))
    pairs(f'{name}, the call', calls)
    within(f'{name}, the call', times, [row[0] for row in calls], [row[2] for row in calls])
    pairs(f'{name}, upstream in the split', rows)
    off = quantile([abs(row[1] - logged) for row, (logged, *_) in zip(rows, linked)], 0.5)
    tap.ok(off <= step_ms + SHARE * quantile(logged_ms, 0.5), f'{name}: what is upstream in the split is what was logged', off)
    rest = quantile([split.get('descriptors', 0) for _, _, split, _ in linked], 0.5)
    tap.ok(rest <= 0.5, f'{name}: and no waits for descriptors are left', rest)


def near_total(name, trace, logged_ms, times, step_ms=LOG_MS):
    """And of the whole request."""
    woke, rows = wakes(trace), []
    for logged, (request, _, _) in zip(logged_ms, served(trace)):
        begins, ends = request['in'] - woke(request['who'], request['in']), request['done'] - woke(request['who'], request['done'])
        rows.append((logged - step_ms - begins, request['done'] - request['in'], logged + step_ms + ends))
    pairs(name, rows)
    within(name, times, [row[0] for row in rows], [row[2] for row in rows])


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
        near_log(f'{name}: $upstream_response_time', nginx.trace, [1000 * float(row[1]) for row in logged], pair['time_ms'],
                 connects=True)
    inbound = next(r for r in result['routes'] if r['route'] == 'GET /in/{id}')
    near_total(f'{name}: $request_time', nginx.trace, [1000 * float(row[0]) for row in logged], inbound['latency_ms'])
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
    tap.ok(len(logged) == REQUESTS and pair and 0.9 * REQUESTS <= pair['calls'] <= REQUESTS,
           'haproxy, one client: all are linked but where a timer of its may have been due', result['upstream'])
    if pair:
        near_log('haproxy: Tr', haproxy.trace, [row[3] for row in logged], pair['time_ms'])
    inbound = next(r for r in result['routes'] if r['route'] == 'GET /in/{id}')
    near_total('haproxy: Ta', haproxy.trace, [row[4] for row in logged], inbound['latency_ms'])
    row = next(r for r in result['upstream_routes'] if r['route'] == 'GET /up/{id}')
    tap.equal((row['connections'], row['connects']), (1, 1), 'haproxy: one connection')
    first, _, of_it = served(haproxy.trace)[0]
    most = (of_it[0]['in'] if of_it else first['out']) - wakes(haproxy.trace)(first['who'], first['in']) + LOG_MS
    tap.ok(row['connect_ms']['max'] <= most and logged[0][2] <= most, 'haproxy: its connecting took Tc', (row['connect_ms'], logged[0], most))
else:
    tap.skip('haproxy', 'not installed')

# --- an event loop that reads the clock around each of its calls: so each time lies between two of the log ---

CALLS = {'one': 1, 'two': 2, 'late': 1, 'none': 0}


def proxy_log(log):
    """Of each path: the calls, how long each took at least and at most, and the request's fields; and all that the loop did on
    connections to the other server, as (when, how long). In ms."""
    calls, requests, done = collections.defaultdict(list), {}, []
    with open(log) as f:
        for kind, path, *numbers in map(str.split, f):
            ms = [int(ns) / 1e6 for ns in numbers]
            if kind == 'call':
                ask0, ask1, reply0, reply1 = ms
                calls[path].append({'least': reply0 - ask1, 'most': reply1 - ask0})
                done += [(ask0, ask1 - ask0), (reply0, reply1 - reply0)]
            elif kind == 'connect':
                done.append((ms[0], ms[1] - ms[0]))
            else:
                requests[path] = dict(zip(('woke', 'read0', 'read1', 'out0', 'out1', 'waited'), ms))
    return calls, requests, done


def middle_off(name, rows):
    """rows: (got, true)."""
    off, true = quantile([abs(got - true) for got, true in rows], 0.5), quantile([true for _, true in rows], 0.5)
    tap.ok(off <= max(SHARE * true, CLOCKS_MS), f'{name}', f'{off:.3f} ms off {true:.3f} ms')


for clients, each in ((1, 25), (4, 15)):
    name = f'a loop, {clients} at once'
    log = os.path.join(work_dir(), 'log')
    with slow_server() as back, Server([f'{O}/tests/servers/proxy', log, str(back.port)], ready=r'127\.0\.0\.1:(\d+)',
                                       env=NO_LOSS) as loop:
        answers = [status for path in CALLS for status in load(loop.port, clients, each, f'/{path}/%d')]
        loop.stop()
    calls, logged, done = proxy_log(log)
    upstream, inbound = exchanges(loop.trace)
    by_path = {path: (float(fields['done']) - float(fields['in'])) * 1e3 for path, fields in inbound.items()}
    tap.equal((answers, sorted(inbound), sum(map(len, calls.values()))), ([200] * 4 * clients * each, sorted(logged), len(upstream)),
              f'{name}: each request and each call are there')
    check_links(name, loop.trace)
    requests = [(path, fields, split_of(fields)) for path, fields in inbound.items()]
    own = {path: sum(took for when, took in done if r['read0'] <= when <= r['out1']) for path, r in logged.items()}
    shown = [(split.get('upstream', 0), logged[path]['waited'] + own[path], path) for path, _, split in requests]
    tap.ok(shown and all(got <= most + CLOCKS_MS for got, most, _ in shown),
           f'{name}: no more is upstream in a split than the loop waited with calls under way',
           [row for row in shown if row[0] > row[1] + CLOCKS_MS][:5])
    unlinked = [(split.get('upstream', 0), own[path], path) for path, fields, split in requests if fields['upstream_calls'] == '0']
    tap.ok(all(got <= most + CLOCKS_MS for got, most, _ in unlinked), f'{name}: none of that where no call is linked', unlinked[:5])
    delays = [(float(fields['dispatch_ns']) / 1e6, r['read0'] - r['woke'], r['read1'] - r['woke'], path)
              for path, fields, _ in requests if 'dispatch_ns' in fields for r in [logged[path]]]
    tap.ok(len(delays) >= len(requests) / 2 and all(got >= least - CLOCKS_MS for got, least, *_ in delays),
           f'{name}: none was read sooner after the wait than by the log', [row for row in delays if row[0] < row[1] - CLOCKS_MS][:5])
    middle_off(f'{name}: and the delay is that of the log', [(got, true) for got, _, true, _ in delays])
    odd = [(path, split) for path, fields, split in requests if abs(sum(split.values()) - by_path[path]) > 1e-5]
    tap.ok(not odd, f'{name}: each split is all of the time', odd[:3])
    result = json.loads(perfanalyze('--json', '--slowest', '1000', loop.trace).stdout)
    rows = [r for r in result['routes'] if r['requests'] and not r.get('upstream')]
    total = sum(r['split']['mean_ms'].get('upstream', 0) * r['requests'] for r in rows)
    wanted = sum(split.get('upstream', 0) for _, _, split in requests)
    tap.ok(abs(total - wanted) <= 1e-6 * wanted, f'{name}: the routes have it', (total, wanted))
    slowest = sum(r['split_ms'].get('upstream', 0) for r in result['slowest'])
    tap.ok(abs(slowest - wanted) <= 1e-6 * wanted, f'{name}: and so have the slowest, of which these are all', (slowest, wanted))
    if clients > 1:
        continue
    links = collections.Counter(link for _, link, _ in upstream)
    tap.ok(links['linked'] >= 4 * each - 3, f'{name}: all calls are linked, but perhaps where one client comes as another goes', links)
    for path, n in CALLS.items():
        of_it = [(fields, split, logged[p]) for p, fields, split in requests if p.startswith(f'/{path}/')]
        middle_off(f'{name}, /{path}: upstream is what the loop waited with calls under way',
                   [(split.get('upstream', 0), truth['waited']) for _, split, truth in of_it])
        left = quantile([split.get('descriptors', 0) for _, split, _ in of_it], 0.5)
        tap.ok(5 <= left if path in ('late', 'none') else left == 0, f'{name}, /{path}: and what is left is the waiting for its timer', left)
        calls_each = collections.Counter(int(fields['upstream_calls']) for fields, _, _ in of_it)
        tap.ok(calls_each[n] >= each - 1 and max(calls_each) == n, f'{name}, /{path}: {n} calls each', calls_each)
    truth = [call for path in sorted(logged) for call in calls[path]]
    rows = [(path, 1e3 * (float(x['done']) - float(x['in']))) for path, x in
            sorted(upstream_times(loop.trace), key=lambda row: (row[0], float(row[1]['in'])))]
    pairs(f'{name}: the call', [(call['least'], took, call['most']) for call, (_, took) in zip(truth, rows)])
    for r in result['upstream']['routes']:
        for pair in r['calls']:
            of_it = [call for path in calls if path.startswith('/' + r['route'].split('/')[1] + '/') for call in calls[path]]
            within(f'{name}: {r["route"]}', pair['time_ms'], [call['least'] for call in of_it], [call['most'] for call in of_it])
    middle_off(f'{name}: these bounds are close', [(call['least'], call['most']) for call in truth])

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
        with slow_server() if quiet else start_nginx({}, workers=1, shimmed=False, server='location / { return 200 ok; }') as back, \
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
            whole = [split_of(x) for x in inbound.values() if x['upstream_calls'] == '3']
            tap.ok(not whole or quantile([s.get('descriptors', 0) / s['upstream'] for s in whole], 0.5) < 0.2,
                   f'{name}: where all calls are linked, it waited for them', whole[:3])
tap.done()
