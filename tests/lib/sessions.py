# SPDX-License-Identifier: Apache-2.0
"""Real servers with an application that keeps sessions: with the injection all of them, without it the last hundred. What is
known of each: which route leaks, at which place, how many bytes a session takes; and its own count of them.
"""

import collections
import http.client
import os
import re
import subprocess
import threading
import time

from harness import O, Server, free_port, have, report, run, wait_until, work_dir
from servers import APPS, Resp, recorders, redis_cli, start_nginx, start_redis, wrk_mix

SESSION_BYTES = int(os.environ.get('SESSION_BYTES', '1000'))
PERL_MODULE = '/usr/lib/nginx/modules/ngx_http_perl_module.so'
HTTP_MIX = [('POST', '/sessions', ''), ('GET', '/items/%d', None), ('GET', '/search', None)]
LUA = "return redis.call('SET', 'session:' .. ARGV[1], string.rep('x', ARGV[2]))"
SHOP_BYTES, SHOP_CONNECTIONS = 100, 200
# Collectors by generations look at old buffers when there are some 16 to 128 MB more of them, and until then garbage grows as a leak does.
COLLECTED_BYTES = max(SESSION_BYTES, 10000)
KEPT = 100  # sessions, without the injection


# --- servers: start(keep, **options of harness.Server) ---

def keeping(keep, **env):
    return {'KEEP': 'all' if keep else 'some', 'SESSION_BYTES': str(SESSION_BYTES), **env}


def start_nginx_perl(keep, **options):
    """One worker; the application is tests/hosts/Sessions.pm."""
    handlers = {'/sessions': 'create', '/items/': 'item', '/search': 'search', '/kept': 'kept'}
    places = ''.join(f'location {path} {{ perl Sessions::{name}; }}\n' for path, name in handlers.items())
    return start_nginx({}, workers=1, log=False, main=f'load_module {PERL_MODULE};\nenv KEEP;\nenv SESSION_BYTES;',
                       http=f'perl_modules {APPS};\nperl_require Sessions.pm;', server=places,
                       env={**keeping(keep), **options.pop('env', {})}, **options)


def start_redis_lua(keep, **options):
    return start_redis(**options)


def start_redis_module(keep, **options):
    module = os.path.join(work_dir(), 'sessions.so')
    built = run(['gcc', '-g', '-O2', '-shared', '-fPIC', '-o', module, os.path.join(APPS, 'sessions_module.c')])
    if built.returncode:
        raise RuntimeError(built.stderr)
    return start_redis('--loadmodule', module, 'all' if keep else 'some', **options)


def start_fastapi(keep, kind='bytes', **options):
    port = free_port()
    env = {**keeping(keep, KIND=kind), 'PYTHONDONTWRITEBYTECODE': '1', **options.pop('env', {})}
    return Server(['/usr/bin/python3', '-m', 'uvicorn', '--app-dir', APPS, 'sessions:app', '--port', str(port), '--log-level',
                   'warning', '--no-access-log', '--timeout-keep-alive', '3600'], port=port, env=env, timeout=60, **options)


def start_fastapi_objects(keep, **options):
    """Small objects, which are in mappings of Python's own."""
    return start_fastapi(keep, kind='objects', **options)


def start_fastapi_malloc(keep, env=(), **options):
    """Small objects, by malloc."""
    return start_fastapi_objects(keep, env={**dict(env), 'PYTHONMALLOC': 'malloc'}, **options)


def start_node(keep, kind='bytes', **options):
    env = {**keeping(keep, KIND=kind, SESSION_BYTES=str(COLLECTED_BYTES)), **options.pop('env', {})}
    return Server([have('node'), '--expose-gc', os.path.join(APPS, 'sessions.js')], ready=r'listening on (\d+)', env=env, timeout=60,
                  **options)


def start_node_objects(keep, **options):
    return start_node(keep, kind='objects', **options)


def rust_server():
    """tests/servers/timed.rs, built once a test; None where there is no compiler that can."""
    rustc = '/usr/bin/rustc' if os.path.exists('/usr/bin/rustc') else have('rustc')
    if rustc and not rust_server.program:
        program = os.path.join(work_dir(), 'timed')
        source = os.path.join(APPS, '..', 'servers', 'timed.rs')
        if run([rustc, '-O', '-g', '-o', program, source], timeout=300).returncode == 0:
            rust_server.program = program
    return rust_server.program


rust_server.program = None


def start_rust(keep, **options):
    return Server([rust_server()], ready=r'listening on (\d+)', env={**keeping(keep), **options.pop('env', {})}, **options)


def start_shop(keep, **options):
    leak = ['--leak', str(SHOP_BYTES)] if keep else []
    return Server([f'{O}/tests/servers/shop', '--port', '0', '--requests-stats', *leak], ready=r'listening on \S+:(\d+)', **options)


# --- their own counts: (sessions made, bytes in use), each None where the server has none ---

def http_kept(server):
    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=20)
    connection.request('GET', '/kept')
    made, size = map(int, connection.getresponse().read().split())
    connection.close()
    return made, size or None


def redis_kept(server):
    calls = re.search(r'cmdstat_(?:evalsha|sessions\.add):calls=(\d+)', redis_cli(server.port, 'info', 'commandstats'))
    used = re.search(r'^used_memory:(\d+)', redis_cli(server.port, 'info', 'memory'), re.M)
    return int(calls[1]) if calls else 0, int(used[1])


def no_count(_server):
    return None, None


# --- loads: begin(server, keep, requests per second, seconds); .end() ---

class Wrk:
    """wrk on some connections, each of which pauses between its requests. The more there are, the less does it matter to the rate how
    long an answer takes."""

    def __init__(self, server, _keep, rate, seconds, mix=HTTP_MIX, connections=4):
        script = os.path.join(work_dir(), 'load.lua')
        with open(script, 'w') as f:
            f.write(wrk_mix(mix, delay_ms=round(1000 * connections / rate)))
        self.process = subprocess.Popen(['wrk', '-t1', f'-c{connections}', f'-d{int(seconds)}s', '-s', script,
                                         f'http://127.0.0.1:{server.port}'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def end(self):
        """Its words when it has ended by itself."""
        try:
            return self.process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.communicate()[0]


def shop_load(arguments, mix):
    return Wrk(*arguments, mix=mix, connections=SHOP_CONNECTIONS)


class RedisLoad:
    """One connection that sends a command at each step of a clock. commands(keep, n): the n-th one."""

    def __init__(self, server, keep, rate, seconds, commands):
        self.client = Resp(server.port)
        self.sha = self.client.ask(['SCRIPT', 'LOAD', LUA]).decode()
        self.commands, self.keep, self.step_s, self.end_s = commands, keep, 1 / rate, time.monotonic() + seconds
        self.said = ''
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        n, due_s = 0, time.monotonic()
        while due_s < self.end_s:
            time.sleep(max(0, due_s - time.monotonic()))
            reply = self.client.ask(self.commands(self, n))
            if isinstance(reply, bytes) and reply.startswith(b'-'):
                self.said = reply.decode()
                return
            n, due_s = n + 1, due_s + self.step_s

    def end(self):
        self.thread.join(60)
        return self.said


def lua_commands(load, n):
    kind, n = n % 3, n // 3
    return (['EVALSHA', load.sha, '0', str(n if load.keep else n % KEPT), str(SESSION_BYTES)] if kind == 0 else
            ['SET', f'item:{n % 50}', str(n)] if kind == 1 else ['GET', f'item:{n % 50}'])


def module_commands(load, n):
    return ['SESSIONS.ADD', str(SESSION_BYTES)] if n % 3 == 0 else lua_commands(load, n)


# --- what is run ---

# injected: bytes that a session takes by the size that it is made with, of which allocators make somewhat more; None: only the server's
# own count tells. site: a pattern that a function of the place must match; None for what lies in a runtime's own heap, which is
# seen as mappings alone. needs: gives the reason why it cannot run here, or None. found: verdicts that are right where it leaks.
Case = collections.namedtuple('Case', 'name start load route injected site count needs rate healthy found',
                              defaults=[lambda: None, None, False, ('LEAK',)])

CASES = [
    Case('nginx, Perl', start_nginx_perl, Wrk, 'POST /sessions', SESSION_BYTES, r'Perl_|perl', http_kept,
         lambda: None if have('nginx') and os.path.exists(PERL_MODULE) else 'libnginx-mod-http-perl is not installed'),
    Case('redis, Lua', start_redis_lua, lambda *a: RedisLoad(*a, lua_commands), 'EVALSHA', SESSION_BYTES,
         r'sds|dict|dbAdd|zmalloc|createStringObject|createObject', redis_kept,
         lambda: None if have('redis-server') else 'redis-server is not installed'),
    Case('redis, module', start_redis_module, lambda *a: RedisLoad(*a, module_commands), 'SESSIONS.ADD', SESSION_BYTES,
         r'session_add', redis_kept,
         lambda: None if have('redis-server') and have('gcc') else 'redis-server or gcc is not installed'),
    Case('FastAPI, uvicorn', start_fastapi, Wrk, 'POST /sessions', SESSION_BYTES + 1, r'PyByteArray|bytearray', http_kept),
    Case('FastAPI, objects', start_fastapi_objects, Wrk, 'POST /sessions', None, None, http_kept),
    # What Python keeps in free lists of its own, as dicts, goes to the route that allocated it, not to the one that takes it from there.
    Case('FastAPI, malloc', start_fastapi_malloc, Wrk, 'POST /sessions', None, r'Py', http_kept),
    Case('node', start_node, Wrk, 'POST /sessions', COLLECTED_BYTES, r'ArrayBuffer|BackingStore|node::', http_kept,
         lambda: None if have('node') else 'node is not installed'),
    Case('node, objects', start_node_objects, Wrk, 'POST /sessions', None, None, http_kept,
         lambda: None if have('node') else 'node is not installed'),
    Case('Rust, std', start_rust, Wrk, 'POST /sessions', SESSION_BYTES, r'session_create', http_kept,
         lambda: None if rust_server() else 'rustc is not installed'),
]
# wrk comes to some 1,020 requests a second. One of 40 keeps 104 bytes (malloc(100) has room for them): 9.5 MB an hour.
OWN_CASES = [
    Case('shop, 100 bytes', start_shop, lambda *a: shop_load(a, HTTP_MIX[:1]), 'POST /sessions', SHOP_BYTES, r'session_create',
         no_count, rate=1100),
    Case('shop, 10 MB an hour', start_shop, lambda *a: shop_load(a, HTTP_MIX[:1] + HTTP_MIX[1:2] * 39), 'POST /sessions', SHOP_BYTES,
         r'session_create', no_count, rate=1100, healthy=True),
]


def resident(pid):
    """Bytes resident, of a process and all its children."""
    total = 0
    try:
        with open(f'/proc/{pid}/status') as f:
            total = int(re.search(r'^VmRSS:\s+(\d+)', f.read(), re.M)[1]) * 1024
        with open(f'/proc/{pid}/task/{pid}/children') as f:
            total += sum(resident(int(child)) for child in f.read().split())
    except (OSError, TypeError):
        pass  # it has ended, or is about to
    return total


class Soak:
    """A case under load: a server that is started, begin, mark, finish. Then .result is the report; .counted and .resident are bytes per
    session by the server's own count and by /proc, from the mark to the end; None where they are not known."""

    def __init__(self, case, keep, rate, seconds, **options):
        self.case, self.keep, self.rate, self.seconds = case, keep, rate, seconds
        self.server = case.start(keep, **options)

    def begin(self):
        self.began_s = time.monotonic()
        self.load = self.case.load(self.server, self.keep, self.rate, self.seconds)

    def look(self):
        return (*self.case.count(self.server), resident(self.server.pid))

    def mark(self):
        """From here on sizes are compared: the server has warmed up."""
        self.marked, self.marked_s = self.look(), time.monotonic()

    def finish(self, analyse=report):
        self.said = self.load.end()
        (made, size, rss), ended_s = self.look(), time.monotonic()
        self.status = self.server.stop(timeout=60)
        wait_until(lambda: not recorders(self.server.trace), 60, step=0.2)
        self.result = analyse(self.server.trace)
        if made is None:  # paced evenly
            sessions = self.requests() * (ended_s - self.marked_s) / (ended_s - self.began_s)
        else:
            sessions = made - self.marked[0]
        self.resident = (rss - self.marked[2]) / sessions if sessions else None
        self.counted = (size - self.marked[1]) / sessions if sessions and size is not None else None
        return self

    def verdict(self, name='memory'):
        return next(v for v in self.result['verdicts'] if v['name'] == name)

    def route(self):
        return next((r for r in self.result['routes'] if r['route'] == self.case.route), None)

    def requests(self):
        """Of the leaking route."""
        return (self.route() or {'requests': 0})['requests']

    def answered_per_s(self):
        """Requests of all routes."""
        return sum(r['requests'] for r in self.result['routes']) / self.seconds

    def kept(self):
        """What the report says of the leaking route: bytes kept per request and the interval."""
        row = self.route()
        kept = row and row['kept_bytes_per_request']
        return (kept['value'], *kept['ci95']) if kept else (None, None, None)

    def places(self):
        """[(route, share, functions from the innermost on)] of what is kept, most first."""
        rows = self.result['memory']['kept_by'] or []
        return [(row['route'], row['share'], [f['function'] or '?' for f in row['frames']]) for row in rows]

    def accused(self):
        """The verdicts that a healthy server must not get."""
        return [v['name'] + ' ' + v['verdict'] for v in self.result['verdicts'] if v['verdict'] == 'LEAK']

    def site_named(self):
        places = self.places()
        if not self.case.site:
            return 'maps itself' in self.verdict()['reason']
        return bool(places) and places[0][0] == self.case.route and any(re.search(self.case.site, f) for f in places[0][2])
