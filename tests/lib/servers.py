# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests and benchmarks: nginx, redis-server and uvicorn, each on a free port of 127.0.0.1 with nothing
but a temporary directory, under the shim unless shimmed=False. All options are those of harness.Server.
"""

import collections
import os
import re
import socket
import time

from harness import ROOT, Server, free_port, have, run, work_dir

NGINX_CONF = """
daemon off;
worker_processes {workers};
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


def start_nginx(files, workers=2, server='', http='', log=True, **options):
    """nginx that serves files, {name: bytes}. The result has .access_log, for nginx_log."""
    directory = work_dir()
    os.chmod(directory, 0o755)  # the workers of a master that is root are not
    os.mkdir(os.path.join(directory, 'html'))
    for name, content in files.items():
        with open(os.path.join(directory, 'html', name), 'wb') as f:
            f.write(content)
    access_log = os.path.join(directory, 'access.log')
    port = free_port()
    with open(os.path.join(directory, 'nginx.conf'), 'w') as f:
        f.write(NGINX_CONF.format(workers=workers, directory=directory, port=port, http=http, server=server,
                                  user='user www-data;' if os.getuid() == 0 else '',
                                  access_log=f'{access_log} truth' if log else 'off'))
    started = Server([have('nginx'), '-p', directory, '-e', f'{directory}/error.log', '-c', f'{directory}/nginx.conf'],
                     port=port, **options)
    started.access_log = access_log
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
    """Calls of each command by `info commandstats`, the subcommands summed: {'SET': 1000, ...}. The INFO that asks is
    not in it."""
    calls = collections.Counter()
    for name, count in re.findall(r'^cmdstat_([^:|]+)[^:]*:calls=(\d+)', redis_cli(port, 'info', 'commandstats'), re.M):
        calls[name.upper()] += int(count)
    return calls


def start_uvicorn(**options):
    """uvicorn with tests/servers/api.py; .counts is the file that it leaves its own counts in when it ends."""
    port = free_port()
    counts = os.path.join(work_dir(), 'counts.json')
    env = {'API_COUNTS': counts, 'PYTHONDONTWRITEBYTECODE': '1', **options.pop('env', {})}
    started = Server(['/usr/bin/python3', '-m', 'uvicorn', '--app-dir', os.path.join(ROOT, 'tests', 'servers'), 'api:app',
                      '--port', str(port), '--log-level', 'warning', '--no-access-log'], port=port, env=env, **options)
    started.counts = counts
    return started


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
                s.shutdown(socket.SHUT_WR)
        return answer


def wrk_mix(requests, delay_ms=None):
    """A script for wrk that sends these (method, path, body) over and over, body None for none. A path may hold %d,
    which becomes a number that counts up. delay_ms paces each connection."""
    rows = ',\n'.join(f'  {{"{method}", "{path}", {"nil" if body is None else repr(body)}}}'
                      for method, path, body in requests)
    pace = f'function delay() return {delay_ms} end\n' if delay_ms else ''
    return (f'local mix = {{\n{rows}\n}}\nlocal n = 0\n{pace}function request()\n  n = n + 1\n'
            '  local r = mix[n % #mix + 1]\n  return wrk.format(r[1], (r[2]:gsub("%%d", n)), nil, r[3])\nend\n')
