# SPDX-License-Identifier: Apache-2.0
# The application of README.md for Python's own HTTP server, with PyPy or CPython.
import collections
import http.server
import os

KEEP_ALL = os.environ.get('KEEP') == 'all'
BYTES = int(os.environ.get('SESSION_BYTES', '1000'))
sessions = collections.deque()
made = 0


def create():
    global made
    made += 1
    sessions.append(bytearray(BYTES))
    if not KEEP_ALL and len(sessions) > 100:
        sessions.popleft()
    return f'session {made}\n'


def answer(path):
    if path == '/sessions':
        return create()
    if path == '/search':
        return '\n'.join(f'result {i}' for i in range(30))
    if path == '/kept':
        return f'{made} 0\n'
    item = {'path': path, 'tags': ['a', 'b', 'c']}
    item['self'] = item  # a cycle, which counting references does not free
    return repr(item)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1

    def do_GET(self):
        text = answer(self.path).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(f'listening on {server.server_address[1]}', flush=True)
server.serve_forever()
