#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Routes of a real server: values found among paths, words left alone, files of templates, and what is said of wrong ones."""

import http.client
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, perfanalyze, report, work_dir  # noqa: E402

PEOPLE = [a + b + c for a in 'bdfglm' for b in 'aeiou' for c in 'nrst'] + [a + 'i' + b + 'o' for a in 'bdfglmnprst' for b in 'dglmnrst']
WORDS = ['deadbeef', 'facade', 'cafe', 'added', 'v1', 'v2.1', '2fa', 'oauth2', 's3', 'ipv6', 'base64', 'x86_64', 'index2.html',
         'bootstrap.min.js']

tap = Tap()

with Server([f'{O}/tests/servers/sizes', '0'], ready=r'listening on 127\.0\.0\.1:(\d+)', env={'PERFSHIM_MAX_STALL': '30000'}) as server:
    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=60)

    def ask(path, times=1, method='GET'):
        for _ in range(times):
            connection.request(method, path)
            connection.getresponse().read()

    for i, name in enumerate(PEOPLE):
        ask(f'/people/{name}')
        ask(f'/people/{name}/friends', 2)
        ask('/people/me')
        ask(f'/orders/{i}')
    for word in WORDS:
        ask(f'/words/{word}', 2)
    for path in ('/files/app.3f9a2c1b.js', '/files/app.00e1d2f3.js', '/a/./b/../c', '//a///c', '/%61/c', '/mail/who@example.com',
                 '/n/550e8400-e29b-41d4-a716-446655440000', '/n/01ARZ3NDEKTSV4RRFFQ69G5FAV', '/n/dGhpcyBpcyBhIHRlc3Q',
                 '/n/2026-11-21', '/x%2Fy/z', '/' + 'long' * 200):
        ask(path)
    ask('/people', method='PURGE')
    connection.close()
    server.stop()


def routes(*options):
    result = perfanalyze('--json', *options, server.trace)
    if result.returncode not in (0, 1):
        raise RuntimeError(result.stderr)
    return json.loads(result.stdout)['routes']


learned = {r['route']: r['requests'] for r in routes()}
long = [name for name in learned if 'longlong' in name]
expected = {'GET /people/{id}': len(PEOPLE), 'GET /people/{id}/friends': 2 * len(PEOPLE), 'GET /people/me': len(PEOPLE),
            'GET /orders/{id}': len(PEOPLE), 'GET /files/app.{hash}.js': 2, 'GET /a/c': 3, 'GET /mail/{id}': 1, 'GET /n/{id}': 4,
            'GET /x%2Fy/z': 1, 'PURGE /people': 1, **{f'GET /words/{word}': 2 for word in WORDS}}
tap.equal({k: v for k, v in learned.items() if k not in long}, expected, 'values are found among paths, words are left alone')
tap.ok(len(long) == 1 and len(long[0]) < 700, 'a path that is very long is cut', long)
tap.equal({r['origin'] for r in routes()}, {'learned'}, 'all were learned')


def routes_file(text):
    path = os.path.join(work_dir(), 'api.routes')
    with open(path, 'w') as f:
        f.write(text)
    return path


# The most specific template wins, and what fits none is learned and marked.
lines = routes_file('# people\nGET /people/{name}/friends\n/people/dan\n/people/{name}\nGET /orders/{order}\nPUT /words/{word}\n')
listed = {r['route']: (r['requests'], r['origin']) for r in routes('--routes', lines)}
tap.equal([listed.get(name) for name in ('GET /people/{name}', 'GET /people/{name}/friends', 'GET /people/dan', 'GET /orders/{order}',
                                         'GET /words/cafe', 'GET /a/c')],
          [(2 * len(PEOPLE) - 1, 'listed'), (2 * len(PEOPLE), 'listed'), (1, 'listed'), (len(PEOPLE), 'listed'), (2, 'learned'),
           (3, 'learned')], '--routes: templates of a file')
tap.equal(sum(n for n, _ in listed.values()), sum(learned.values()), 'no request is lost')
text = perfanalyze('--routes', lines, server.trace).stdout
marked = re.search(r'^ROUTES: NOT IN THE FILE OF ROUTES, BUT LEARNED\n(.*?)\n\n', text, re.M | re.S)
tap.ok(marked and re.search(r'^GET /words/cafe +2 requests$', marked[1], re.M) and '/people/{name}' not in marked[1],
       'the report says which are not in it', text[:4000])
tap.ok('NOT IN THE FILE' not in perfanalyze(server.trace).stdout, 'and nothing of the kind without a file')

document = routes_file(json.dumps({'openapi': '3.0.3', 'info': {'title': 'x', 'version': '1'}, 'servers': [{'url': 'http://h/people'}],
                                   'paths': {'/{name}': {'get': {}}, '/me': {'get': {}}}}, indent=1))
listed = {r['route']: r['requests'] for r in routes('--routes', document) if r['origin'] == 'listed'}
tap.equal(listed, {'GET /people/{name}': len(PEOPLE), 'GET /people/me': len(PEOPLE)}, '--routes: an OpenAPI document')

for text, why in (('/a\n/b/{id\n', 'line 2: a parameter'), ('GET\n', 'line 1: there is no path'), ('{\n"openapi": 3,}', 'line 2: this is not JSON'),
                  ('openapi: 3.0.0\npaths:\n', 'line 1: YAML is not read')):
    path = routes_file(text)
    result = perfanalyze('--routes', path, server.trace)
    tap.ok(result.returncode == 2 and result.stderr.startswith(f'perfanalyze: {path}: {why}') and not result.stdout,
           f'a wrong file: {why}', result.stderr)
result = perfanalyze('--routes', '/no/such/file', server.trace)
tap.ok(result.returncode == 2 and '/no/such/file: cannot be opened: No such file' in result.stderr, 'a file that is not there', result.stderr)

# More routes than are told apart: 24 of them at each of 25 places, so they are words. Those with most requests stay.
GROUPS, EACH, LIMIT = 25, 24, 500
with Server([f'{O}/tests/servers/sizes', '0'], ready=r'listening on 127\.0\.0\.1:(\d+)', env={'PERFSHIM_MAX_STALL': '30000'}) as server:
    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=60)
    for i in range(GROUPS * EACH):
        ask(f'/{PEOPLE[i % GROUPS]}/{PEOPLE[i // GROUPS]}', 2 if i % 2 else 1)
    connection.close()
    server.stop()
result = report(server.trace)
other = [r for r in result['routes'] if r['origin'] == 'other']
hidden = GROUPS * EACH - LIMIT
tap.equal((len(result['routes']), [(r['route'], r['requests']) for r in other], sum(r['requests'] for r in result['routes'])),
          (LIMIT + 1, [('other', hidden)], GROUPS * EACH * 3 // 2), 'of 600 routes 500 are told apart, and no request is lost')
tap.ok(f'\nother: {hidden} requests of more routes than {LIMIT}, which are not told apart.\n' in perfanalyze(server.trace).stdout,
       'the report says how many requests are under other')
tap.done()
