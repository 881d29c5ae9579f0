# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests and benchmarks, each on a free port of 127.0.0.1 with nothing but a temporary directory, under the
shim unless shimmed=False. All options are those of harness.Server. A server's .logs are the files that it writes besides.
"""

import collections
import glob
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

from harness import O, ROOT, Server, free_port, have, run, wait_until, work_dir

APPS = os.path.join(ROOT, 'tests', 'hosts')

NGINX_CONF = """
daemon {daemon};
worker_processes {workers};
{main}
{user}
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    log_format truth '$request_time $bytes_sent $request_length $status $request_method $uri';
    access_log {access_log};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    sendfile on;
    keepalive_requests 100000000;
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {directory}/html;
        {server}
    }}
}}
"""


def nginx_command(files, workers=2, server='', http='', log=True, daemon=False, main=''):
    """The command line of an nginx that serves files, {name: bytes}; its port and its directory, which holds the
    configuration, pid, access.log and error.log. main, http, server: more lines of its configuration's blocks."""
    directory = work_dir()
    os.chmod(directory, 0o755)  # the workers of a master that is root are not
    os.mkdir(os.path.join(directory, 'html'))
    for name, content in files.items():
        with open(os.path.join(directory, 'html', name), 'wb') as f:
            f.write(content)
    port = free_port()
    with open(os.path.join(directory, 'nginx.conf'), 'w') as f:
        f.write(NGINX_CONF.format(workers=workers, directory=directory, port=port, http=http, server=server,
                                  user='user www-data;' if os.getuid() == 0 else '', daemon='on' if daemon else 'off', main=main,
                                  access_log=f'{directory}/access.log truth' if log else 'off'))
    cmd = [have('nginx'), '-p', directory, '-e', f'{directory}/error.log', '-c', f'{directory}/nginx.conf']
    return cmd, port, directory


def start_nginx(files, workers=2, server='', http='', log=True, main='', **options):
    """nginx that serves files, {name: bytes}. The result has .access_log, for nginx_log."""
    cmd, port, directory = nginx_command(files, workers, server, http, log, main=main)
    started = Server(cmd, port=port, **options)
    started.access_log = os.path.join(directory, 'access.log')
    started.logs = [os.path.join(directory, 'error.log')]
    return started


NginxEntry = collections.namedtuple('NginxEntry', 'time_s sent_bytes request_bytes status route')


def nginx_log(path):
    """What nginx says about each request: a list of NginxEntry."""
    entries = []
    with open(path) as f:
        for line in f:
            seconds, sent, length, status, route = line.rstrip('\n').split(' ', 4)
            entries.append(NginxEntry(float(seconds), int(sent), int(length), int(status), route))
    return entries


def start_redis(*options, **server_options):
    """A redis-server that saves only when told to, into .directory."""
    port = free_port()
    directory = work_dir()
    started = Server([have('redis-server'), '--port', str(port), '--bind', '127.0.0.1', '--save', '', '--dir', directory,
                      '--daemonize', 'no', *options], port=port, **server_options)
    started.data = directory
    return started


def redis_cli(port, *words, stdin=None):
    """What redis-cli answers, as text."""
    return run(['redis-cli', '-p', str(port), *words], stdin=stdin).stdout


def redis_calls(port):
    """Calls of each command by `info commandstats`: {'SET': 1000, 'CONFIG GET': 1, ...}. The INFO that asks is not in it."""
    return commandstats(redis_cli(port, 'info', 'commandstats'))


def commandstats(info, field='calls'):
    """What INFO says about each command, as a Counter."""
    counts = collections.Counter()
    for name, fields in re.findall(r'^cmdstat_([^:]+):(\S+)', info, re.M):
        counts[name.upper().replace('|', ' ')] += int(re.search(rf'\b{field}=(\d+)', fields)[1])
    return counts


class Resp:
    """A connection to Redis that speaks RESP by hand: pushes are kept apart in .pushes."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), 20)
        self.stream = self.socket.makefile('rb')
        self.pushes = []

    def send(self, *commands):
        """Commands, each a string of words or a list of them, in one piece."""
        lists = [c.split() if isinstance(c, str) else c for c in commands]
        self.raw(b''.join(b'*%d\r\n' % len(words) + b''.join(b'$%d\r\n%s\r\n' % (len(w), w) for w in words)
                          for words in [[w.encode() if isinstance(w, str) else w for w in words] for words in lists]))

    def raw(self, data):
        self.socket.sendall(data)

    def value(self):
        line = self.stream.readline()
        if not line.endswith(b'\r\n'):
            raise EOFError(line)
        kind, rest = line[:1], line[1:-2]
        if kind in b'$=!':
            return None if rest == b'-1' else self.stream.read(int(rest) + 2)[:-2]
        if kind in b'*~%>|' and rest != b'-1':
            values = [self.value() for _ in range(int(rest) * (2 if kind in b'%|' else 1))]
            if kind == b'|':
                return self.value()
            return ('push', values) if kind == b'>' else values
        return None if kind in b'*_' else int(rest) if kind == b':' else kind + rest if kind in b'+-' else rest

    def read(self, count=1):
        """The next replies; pushes are put aside."""
        replies = []
        while len(replies) < count:
            value = self.value()
            if isinstance(value, tuple):
                self.pushes.append(value[1])
            else:
                replies.append(value)
        return replies if count > 1 else replies[0]

    def ask(self, *commands):
        self.send(*commands)
        return self.read(len(commands))

    def close(self):
        self.stream.close()
        self.socket.close()


def start_uvicorn(*more, **options):
    """uvicorn with tests/servers/api.py; .counts is the file that it leaves its own counts in when it ends. more: of its
    command line."""
    port = free_port()
    counts = os.path.join(work_dir(), 'counts.json')
    env = {'API_COUNTS': counts, 'PYTHONDONTWRITEBYTECODE': '1', **options.pop('env', {})}
    started = Server(['/usr/bin/python3', '-m', 'uvicorn', '--app-dir', os.path.join(ROOT, 'tests', 'servers'), 'api:app',
                      '--port', str(port), '--log-level', 'warning', '--no-access-log', *more], port=port, env=env, **options)
    started.counts = counts
    return started


APACHE_CONF = """
ServerRoot {directory}
PidFile {directory}/pid
Mutex file:{directory}
Listen 127.0.0.1:{port}
ServerName localhost
{user}
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule cgid_module {modules}/mod_cgid.so
ScriptSock {directory}/cgid
ScriptAlias /cgi/ {directory}/cgi/
StartServers 2
ServerLimit 8
{spare}
MaxRequestWorkers {workers}
KeepAlive On
MaxKeepAliveRequests 0
DocumentRoot {directory}/html
ErrorLog {directory}/error.log
LogLevel warn
"""


def start_apache(files, mpm='event', scripts=(), more='', **options):
    """apache2 with two children of the given kind; scripts: {name: text} run as CGI below /cgi/; more: lines of its
    configuration."""
    directory = work_dir()
    os.chmod(directory, 0o755)
    for name, content in {**{f'html/{name}': content for name, content in files.items()},
                          **{f'cgi/{name}': content for name, content in dict(scripts).items()}}.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(content)
        os.chmod(path, 0o755)
    port = free_port()
    with open(os.path.join(directory, 'apache.conf'), 'w') as f:
        f.write(APACHE_CONF.format(directory=directory, port=port, mpm=mpm, modules='/usr/lib/apache2/modules',
                                   user='User www-data\nGroup www-data' if os.getuid() == 0 else '',
                                   workers=50 if mpm == 'event' else 4, spare='MinSpareThreads 25' if mpm == 'event' else
                                   'MinSpareServers 1') + more)
    if os.getuid() == 0:
        shutil.chown(directory, 'www-data')
    started = Server([have('apache2'), '-f', f'{directory}/apache.conf', '-DFOREGROUND'], port=port, **options)
    started.logs = [os.path.join(directory, 'error.log')]
    started.scripts = wait_for_scripts(started)
    return started


def wait_for_scripts(apache, old=None):
    """Waits until apache's workers can reach the daemon that runs its scripts, another one than the old; gives a name of it. It
    is begun beside the workers, and until it has given them its socket they answer 503."""
    def ready():
        try:
            status = os.stat(os.path.join(os.path.dirname(apache.logs[0]), f'cgid.{apache.pid}'))
        except OSError:
            return None
        ours = os.getuid() != 0 or status.st_uid == pwd.getpwnam('www-data').pw_uid
        return status.st_ctime_ns if ours and status.st_ctime_ns != old else None
    return wait_until(ready)


HAPROXY_CONF = """
global
    maxconn 200
    nbthread 2
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend front
    bind 127.0.0.1:{port}
    {front}
    default_backend back
backend back
    server shop 127.0.0.1:{backend}
"""


def catches(pid, number):
    """Whether a process has a handler for this signal."""
    with open(f'/proc/{pid}/status') as f:
        return int(re.search(r'^SigCgt:\s+(\w+)', f.read(), re.M).group(1), 16) >> number - 1 & 1


def start_haproxy(backend, front='', **options):
    """haproxy's master with one worker, in front of a server on port `backend`. front: another line of its frontend."""
    directory, port = work_dir(), free_port()
    with open(os.path.join(directory, 'haproxy.cfg'), 'w') as f:
        f.write(HAPROXY_CONF.format(port=port, backend=backend, front=front))
    started = Server([have('haproxy'), '-W', '-f', f'{directory}/haproxy.cfg'], port=port, **options)
    wait_until(lambda: catches(started.pid, signal.SIGTERM))  # its master executes itself again when the worker serves already
    return started


def start_memcached(**options):
    port = free_port()
    user = ['-u', 'nobody'] if os.getuid() == 0 else []
    return Server([have('memcached'), '-l', '127.0.0.1', '-p', str(port), '-t', '4', *user], port=port, **options)


# --- for servers of another user ---

def public_copy(*paths):
    """A directory with copies of files that any user can read and execute: the originals may lie in root's home."""
    directory = work_dir()
    os.chmod(directory, 0o755)
    for path in paths:
        os.chmod(shutil.copy(path, directory), 0o755)
    return directory


def public_shim():
    """A copy of the shim, beside its recorder, that any user can read."""
    return os.path.join(public_copy(f'{O}/libperfshim.so', f'{O}/perfshim-recorder'), 'libperfshim.so')


# --- PostgreSQL: never as root ---


def unprivileged(cmd, env):
    """The command line that runs cmd as nobody if we are root, with env (None removes) set only for cmd itself."""
    drop = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'] if os.getuid() == 0 else []
    words = [f'--unset={name}' if value is None else f'{name}={value}' for name, value in env.items()]
    return [*drop, 'env', *words, *cmd]


def postgres_bin():
    """Where PostgreSQL's programs are, or None."""
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin/postgres'))
    return os.path.dirname(found[-1]) if found else None


class Cluster:
    """A PostgreSQL data directory that belongs to whoever runs the server. trace: of what runs in it, None for bare."""

    def __init__(self, shimmed):
        self.bin = postgres_bin()
        self.directory = work_dir()
        self.shim = public_shim() if shimmed else None
        if os.getuid() == 0:
            shutil.chown(self.directory, 'nobody', 'nogroup')
        self.data = os.path.join(self.directory, 'data')
        self.port = free_port()

    def command(self, program, *arguments, trace='trace.zst'):
        """The command line of one of its programs, recorded if the cluster is."""
        out = os.path.join(self.directory, trace)
        preload = {'LD_PRELOAD': self.shim, 'PERFSHIM_OUT': out} if self.shim else {}
        return unprivileged([os.path.join(self.bin, program), *arguments],
                            {'LC_ALL': 'C', 'PERFSHIM_QUIET': None, **preload})

    def run(self, program, *arguments, timeout=120, **options):
        return run(self.command(program, *arguments, **options), timeout=timeout, cwd=self.directory)

    def initdb(self):
        return self.run('initdb', '-D', self.data, '-A', 'trust', '-U', 'test', '-E', 'UTF8', '--no-sync',
                        trace='initdb.zst')

    def start(self, **_options):
        """The server, which logs to .logs."""
        settings = {'port': self.port, 'listen_addresses': '127.0.0.1', 'unix_socket_directories': self.directory,
                    'fsync': 'off', 'shared_buffers': '16MB', 'autovacuum_naptime': '1s',
                    'autovacuum_vacuum_threshold': '10', 'log_autovacuum_min_duration': '0', 'log_checkpoints': 'off'}
        words = [word for name, value in settings.items() for word in ('-c', f'{name}={value}')]
        server = Server(self.command('postgres', '-D', self.data, *words), port=self.port, shimmed=False, timeout=30,
                        cwd=self.directory)
        server.trace = os.path.join(self.directory, 'trace.zst')
        wait_for = lambda: self.sql('select 1').returncode == 0  # noqa: E731
        if not wait_until(wait_for, 20, step=0.2):
            raise RuntimeError(f'postgres accepts no connection: {server.stderr()}')
        return server

    def sql(self, text, *options):
        """psql, bare: the client is no part of this."""
        return run([os.path.join(self.bin, 'psql'), '-X', '-qAt', '-h', '127.0.0.1', '-p', str(self.port), '-U', 'test',
                    *options, '-c', text, 'postgres'])

    def sleeper(self):
        """A client whose backend sleeps for a minute."""
        return subprocess.Popen([os.path.join(self.bin, 'psql'), '-X', '-h', '127.0.0.1', '-p', str(self.port), '-U', 'test',
                                 '-c', 'select pg_sleep(60)', 'postgres'], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def pgbench(self, *options, timeout=120):
        return run([os.path.join(self.bin, 'pgbench'), '-h', '127.0.0.1', '-p', str(self.port), '-U', 'test', *options,
                    'postgres'], timeout=timeout)


# --- PHP ---

PHP_CONF = """
[global]
error_log = {directory}/error.log
daemonize = no
[www]
{user}
listen = 127.0.0.1:{port}
pm = static
pm.max_children = 2
catch_workers_output = yes
"""


def start_php(**options):
    """php-fpm with two workers."""
    directory, port = work_dir(), free_port()
    with open(os.path.join(directory, 'fpm.conf'), 'w') as f:
        f.write(PHP_CONF.format(directory=directory, port=port,
                                user='user = www-data\ngroup = www-data' if os.getuid() == 0 else ''))
    program = php_program()
    started = Server([program, '-n', '-y', f'{directory}/fpm.conf', '-p', directory], port=port, **options)
    started.logs = [os.path.join(directory, 'error.log')]
    return started


def php_program():
    """php-fpm under the name that Debian gives it, or None."""
    found = sorted(glob.glob('/usr/sbin/php-fpm[0-9]*'))
    return found[-1] if found else None


def fastcgi(port, script, query='', body=b''):
    """One request to a FastCGI responder; what it wrote to its standard output."""
    def packet(kind, content):
        return struct.pack('>BBHHBx', 1, kind, 1, len(content), 0) + content

    variables = {'GATEWAY_INTERFACE': 'CGI/1.1', 'REQUEST_METHOD': 'POST' if body else 'GET', 'SCRIPT_FILENAME': script,
                 'QUERY_STRING': query, 'CONTENT_LENGTH': str(len(body)), 'SERVER_PROTOCOL': 'HTTP/1.1'}
    pairs = b''.join(struct.pack('BB', len(k), len(v)) + k.encode() + v.encode() for k, v in variables.items())
    with socket.create_connection(('127.0.0.1', port), 10) as s:
        s.sendall(packet(1, struct.pack('>HB5x', 1, 0)) + packet(4, pairs) + packet(4, b'') +
                  (packet(5, body) if body else b'') + packet(5, b''))
        stream = s.makefile('rb')
        text = b''
        while header := stream.read(8):
            _, kind, _, length, padding = struct.unpack('>BBHHBx', header)
            content = stream.read(length + padding)[:length]
            text += content if kind == 6 else b''
            if kind == 3:
                break
    return text


# --- language runtimes, with the small applications of tests/hosts ---

def start_node(**options):
    """node's cluster module with two workers."""
    return Server([have('node'), os.path.join(APPS, 'cluster.js')], ready=r'listening on (\d+)', **options)


def start_gunicorn(kind='sync', **options):
    """gunicorn with two workers of the given kind."""
    port = free_port()
    threads = ['--threads', '4'] if kind == 'gthread' else []
    # --worker-tmp-dir: its heartbeat file; graceful: so that the end takes no half minute.
    cmd = ['/usr/bin/python3', '-m', 'gunicorn', '--chdir', APPS, 'wsgi:app', '-b', f'127.0.0.1:{port}', '-w', '2',
           '-k', kind, *threads, '--graceful-timeout', '5', '--log-level', 'warning', '--keep-alive', '5']
    return Server(cmd, port=port, env={'PYTHONDONTWRITEBYTECODE': '1', **options.pop('env', {})}, **options)


def start_puma(**options):
    """puma with two workers of two threads."""
    port = free_port()
    cmd = ['/usr/bin/ruby', have('puma'), '-C', '-', '-w', '2', '-t', '2:2', '-b', f'tcp://127.0.0.1:{port}', '-e', 'production',
           os.path.join(APPS, 'config.ru')]
    return Server(cmd, port=port, ready=r'Worker 1 \(PID: \d+\) booted', timeout=40, **options)


def start_listening(cmd, **options):
    """A server that says "listening on PORT" when it is ready."""
    return Server(cmd, ready=r'listening on (?:\S*:)?(\d+)', **options)


def start_caddy(files, **options):
    """caddy as a file server without its administration port."""
    directory, port = work_dir(), free_port()
    for name, content in files.items():
        with open(os.path.join(directory, name), 'wb') as f:
            f.write(content)
    with open(os.path.join(directory, 'Caddyfile'), 'w') as f:
        f.write(f'{{\n admin off\n auto_https off\n}}\n'
                f'http://127.0.0.1:{port} {{\n root * {directory}\n file_server\n}}\n')
    env = {'HOME': directory, 'XDG_DATA_HOME': directory, 'XDG_CONFIG_HOME': directory, **options.pop('env', {})}
    return Server([have('caddy'), 'run', '--config', f'{directory}/Caddyfile', '--adapter', 'caddyfile'], port=port, env=env,
                  **options)


# --- looking and speaking ---

def recorders(trace):
    """The recorders that have this trace open, by their process ids."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/comm') as f:
                if not f.read().startswith('perfshim'):
                    continue
            if os.path.realpath(trace) in links(pid):
                found.append(int(pid))
        except OSError:
            continue
    return found


def links(pid):
    """What a process's descriptors stand for."""
    names = []
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            names.append(os.readlink(f'/proc/{pid}/fd/{fd}'))
        except OSError:
            continue
    return names


def raw_exchange(port, data, pause=0.0, patience=0.3):
    """Sends bytes, or a list of them with pauses between, and gives all that comes back until the server closes. Ends its
    own side once nothing has come for so long: some servers drop a request whose sender has."""
    with socket.create_connection(('127.0.0.1', port), 5) as s:
        for part in [data] if isinstance(data, bytes) else data:
            s.sendall(part)
            time.sleep(pause)
        answer = b''
        for timeout in (patience, 5):
            s.settimeout(timeout)
            try:
                while part := s.recv(65536):
                    answer += part
                break
            except ConnectionError:
                break
            except socket.timeout:
                try:
                    s.shutdown(socket.SHUT_WR)
                except OSError:
                    break  # it has closed meanwhile
        return answer


def wrk_mix(requests, delay_ms=None):
    """A script for wrk that sends these (method, path, body) over and over, body None for none. A path may hold %d,
    which becomes a number that counts up. delay_ms paces each connection."""
    rows = ',\n'.join(f'  {{"{method}", "{path}", {"nil" if body is None else repr(body)}}}'
                      for method, path, body in requests)
    pace = f'function delay() return {delay_ms} end\n' if delay_ms else ''
    return (f'local mix = {{\n{rows}\n}}\nlocal n = 0\n{pace}function request()\n  n = n + 1\n'
            '  local r = mix[n % #mix + 1]\n  return wrk.format(r[1], (r[2]:gsub("%%d", n)), nil, r[3])\nend\n')
