#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Data servers, bare and preloaded: redis-server (append-only file and its rewrite, snapshots, a replica, Lua), memcached,
PostgreSQL (initdb, pgbench, autovacuum, a backend killed)."""

import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from both import both, descendants, mapped  # noqa: E402
from harness import Tap, have, report, wait_until  # noqa: E402
from servers import (Cluster, postgres_bin, redis_calls, redis_cli, start_memcached, start_redis)  # noqa: E402

tap = Tap()

# --- redis ---

LUA = "local sum = 0; for i = 1, 100 do sum = sum + redis.call('INCR', KEYS[1]) end; return sum"


def settled(port):
    """Whether neither a snapshot nor a rewrite is under way."""
    text = redis_cli(port, 'info', 'persistence')
    return all(f'{name}:0' in text for name in ('rdb_bgsave_in_progress', 'aof_rewrite_in_progress', 'aof_rewrite_scheduled'))


def state_of(server):
    """What persistence left: both succeeded, and the files are there."""
    text = redis_cli(server.port, 'info', 'persistence')
    files = {name.split('.')[0] for _, _, names in os.walk(server.data) for name in names}
    return 'rdb_last_bgsave_status:ok' in text, 'aof_last_bgrewrite_status:ok' in text, sorted(files)


def drive_redis(server):
    port, answers = server.port, []
    answers.append(redis_cli(port, 'eval', 'for i = 1, 3000 do redis.call("SET", "key" .. i, string.rep("v", 500)) end', '0'))
    answers.append(redis_cli(port, 'eval', LUA, '1', 'counter'))
    for command in ('bgsave', 'bgrewriteaof'):
        answers.append(redis_cli(port, command).split('\n')[0])
        answers.append(bool(wait_until(lambda: settled(port), 20, step=0.1)))
    answers.append(state_of(server))
    with start_redis('--replicaof', '127.0.0.1', str(port), shimmed=False) as replica:
        synced = wait_until(lambda: 'master_link_status:up' in redis_cli(replica.port, 'info', 'replication'), 20, step=0.1)
        redis_cli(port, 'set', 'late', 'word')
        wait_until(lambda: redis_cli(replica.port, 'get', 'late').strip(), 20, step=0.1)
        redis_cli(port, 'wait', '1', '5000')
        answers += [bool(synced), redis_cli(replica.port, 'get', 'late'), redis_cli(replica.port, 'dbsize')]
    answers += [redis_cli(port, 'cluster', 'info'), redis_cli(port, 'debug', 'jmap')]
    server.calls = redis_calls(port)
    return answers


if have('redis-server'):
    bare, shimmed, result = both(
        tap, 'redis', lambda **options: start_redis('--appendonly', 'yes', '--repl-diskless-sync-delay', '0', **options),
        drive_redis, ignore=r'[Cc]opy-on-write|Fork CoW|DB saved on disk|AOF rewrite|Residual|seconds|Replica N|Streamed N|replication IDs')
    tap.ok(shimmed.answers[3] and shimmed.answers[5] and shimmed.answers[7], 'redis: snapshot, rewrite and replica succeed',
           shimmed.answers)
    counts = {r['route']: r['requests'] for r in result['routes']}
    # What Lua calls is in the server's statistics, but nobody sent it.
    sent = {name: count for name, count in shimmed.server.calls.items()
            if name not in ('SET', 'INCR', 'INFO', 'REPLCONF', 'DEBUG')}
    tap.equal({name: counts.get(name) for name in sent}, sent, 'redis: each command as often as the server counted')
    tap.ok(len(result['trace']['processes']) >= 4, 'redis: the children of snapshot, rewrite and replication are in the trace',
           result['trace']['processes'])
else:
    tap.skip('redis', 'redis-server is not installed')

# --- memcached ---


def drive_memcached(server):
    answers = []
    for connection in range(8):
        with socket.create_connection(('127.0.0.1', server.port), 60) as s:
            stream = s.makefile('rb')
            for i in range(200):
                key, value = f'key{connection}-{i}'.encode(), b'v' * (i * 37 % 5000)
                s.sendall(b'set %s 0 0 %d\r\n%s\r\nget %s\r\n' % (key, len(value), value, key))
                answers.append(stream.readline() + stream.readline() + stream.read(len(value) + 2) + stream.readline())
            s.sendall(b'incr nothing 1\r\nnonsense\r\ndelete %s\r\nmg %s v\r\n' % (key, key))
            answers += [stream.readline() for _ in range(4)]
    return answers


if have('memcached'):
    bare, shimmed, result = both(tap, 'memcached', start_memcached, drive_memcached)
    tap.equal(result['connections']['accepted'], 9, 'memcached: its connections are counted, with the one that looked')
else:
    tap.skip('memcached', 'memcached is not installed')

# --- PostgreSQL ---

# What differs from run to run: figures of vacuum runs, who noticed the crash first, and who else was there.
IGNORED = r'vacuum|checkpoint|pages:|tuples|terminating connection|corrupted shared memory|In a moment|skipping|WAL|usage|elapsed|frozen:|removable|index |I/O|buffer|' \
          'automatic|avg read|relfrozenxid|database system is|recovery state|invalid record length|invalid magic number'
SCHEMA = '''create table notes (id serial primary key, body text);
insert into notes (body) select repeat(chr(65 + i % 26), i % 500) from generate_series(1, 5000) i;
create index on notes (body);
analyze notes'''
QUERIES = ('select count(*), sum(length(body)) from notes', 'select max(body) from notes where id % 7 = 3',
           "select body from notes where id = -1", 'select 1/0', 'select * from nowhere',
           "set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; "
           "set min_parallel_table_scan_size = 0; select count(*) from notes where length(body) > 100",
           "copy notes to program 'cat >/dev/null'")


def vacuumed(cluster):
    return int(cluster.sql("select autovacuum_count from pg_stat_user_tables where relname = 'notes'").stdout or 0) > 0


def kill_backend(cluster):
    """kill -9 of one backend: the postmaster ends all others and starts anew. Whether it did, and what is left."""
    holder = cluster.sleeper()
    pid = wait_until(lambda: cluster.sql("select pid from pg_stat_activity where query like '%pg_sleep(60)%' "
                                         "and pid <> pg_backend_pid()").stdout.strip())
    os.kill(int(pid), signal.SIGKILL)
    holder.wait(60)
    alive = wait_until(lambda: cluster.sql('select count(*) from notes').returncode == 0, step=0.2)
    return bool(alive)


def drive_postgres(cluster, server):
    answers = [cluster.sql(text).returncode for text in SCHEMA.split(';\n')]
    for query in QUERIES:
        done = cluster.sql(query)
        answers.append((done.returncode, done.stdout, done.stderr))
    answers.append(cluster.pgbench('-i', '-s', '1', '-q').returncode)
    done = cluster.pgbench('-c', '4', '-j', '1', '-t', '100', '-n')
    answers += [done.returncode, 'number of transactions actually processed: 400/400' in done.stdout]
    answers.append(cluster.sql('delete from notes where id % 3 = 0').returncode)
    answers.append(bool(wait_until(lambda: vacuumed(cluster), step=0.3)))
    answers.append(kill_backend(cluster))
    answers.append(cluster.sql(QUERIES[0]).stdout)
    server.bare = [pid for pid in descendants(server.pid) if mapped(pid) is False]
    return answers


def start_postgres(shimmed=True, **_options):
    """initdb, then the server on what it made."""
    cluster = Cluster(shimmed)
    made = cluster.initdb()
    tap.ok(made.returncode == 0, f"postgres: initdb, {'preloaded' if shimmed else 'bare'}", made.stdout + made.stderr)
    server = cluster.start()
    server.cluster = cluster
    return server


if postgres_bin():
    bare, shimmed, result = both(
        tap, 'postgres', start_postgres, lambda server: drive_postgres(server.cluster, server),
        stop=lambda server: server.stop(signal.SIGINT), ignore=IGNORED)
    tap.ok(all(answer is not False and answer is not None for answer in shimmed.answers), 'postgres: pgbench, autovacuum and crash restart',
           shimmed.answers)
    tap.equal(shimmed.server.bare, [], 'postgres: every process has the shim')
    made = report(os.path.join(shimmed.server.cluster.directory, 'initdb.zst'))
    tap.ok({'initdb', 'postgres'} <= {os.path.basename(p['exe'] or '') for p in made['trace']['processes']},
           'postgres: initdb and the servers that it runs are in its trace', made['trace']['processes'])
else:
    tap.skip('postgres', 'postgres is not installed')

tap.done()
