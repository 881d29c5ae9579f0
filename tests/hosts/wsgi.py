# SPDX-License-Identifier: Apache-2.0
"""A WSGI application that answers, reads a body, reads a file, and runs a program."""
import hashlib
import subprocess


def app(environ, start_response):
    path = environ['PATH_INFO']
    body = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    status, text = '200 OK', b'root'
    if path == '/child':
        text = subprocess.run(['/bin/echo', 'from a child'], stdout=subprocess.PIPE, check=True).stdout
    elif path == '/file':
        with open(__file__, 'rb') as f:
            text = hashlib.sha256(f.read()).hexdigest().encode()
    elif path == '/post':
        text = b'got %d' % len(body)
    elif path != '/':
        status, text = '404 Not Found', b'none'
    start_response(status, [('Content-Length', str(len(text)))])
    return [text]
