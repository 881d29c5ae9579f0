# SPDX-License-Identifier: Apache-2.0
"""An HTTPS server of Python's blocking ssl module, a thread for each connection: tls_sync.py CERTIFICATE KEY

Answers every request with its path. Prints its port, and for each handshake that is done a line with how many nanoseconds it took, and of its
thread's processor time, and the thread's number; ends at SIGTERM.
"""
import http.server
import signal
import ssl
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        body = self.path.partition('?')[0].encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def finish_request(self, request, client_address):  # on the connection's own thread
        with context.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as wrapped:
            cpu_ns, begin_ns = time.thread_time_ns(), time.monotonic_ns()
            wrapped.do_handshake()
            took_ns, cpu_ns = time.monotonic_ns() - begin_ns, time.thread_time_ns() - cpu_ns
            print(f'handshake {took_ns} {cpu_ns} {threading.get_native_id()}', flush=True)
            super().finish_request(wrapped, client_address)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = Server(('127.0.0.1', 0), Handler)
print(f'listening on 127.0.0.1:{server.server_port}', flush=True)
server.serve_forever()
