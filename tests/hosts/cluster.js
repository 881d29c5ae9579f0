// SPDX-License-Identifier: Apache-2.0
// Two workers behind one listening socket; they answer, read files and run programs. SIGTERM ends them all with 0.
'use strict';
const cluster = require('cluster');
const fs = require('fs');
const http = require('http');
const { exec } = require('child_process');
const crypto = require('crypto');

function primary() {
  let listening = 0, ended = 0;
  for (let i = 0; i < 2; i++) cluster.fork();
  cluster.on('listening', (_worker, address) => {
    if (++listening === 2) console.log(`listening on ${address.port}`);
  });
  cluster.on('exit', () => {
    if (++ended === 2) process.exit(0);
  });
  process.on('SIGTERM', () => {
    for (const id in cluster.workers) cluster.workers[id].kill('SIGTERM');
  });
}

function worker() {
  const server = http.createServer((request, response) => {
    if (request.url === '/child')
      exec('echo from a child', (error, stdout) => response.end(error ? String(error) : stdout));
    else if (request.url === '/file')
      fs.readFile(__filename, (error, data) => response.end(error ? String(error) : data));
    else if (request.url === '/hash')
      crypto.pbkdf2('a', 'b', 1000, 32, 'sha256', (error, key) => response.end(key.toString('hex')));
    else if (request.method === 'POST') {
      let bytes = 0;
      request.on('data', (part) => { bytes += part.length; });
      request.on('end', () => response.end(`got ${bytes}`));
    } else {
      response.statusCode = request.url === '/' ? 200 : 404;
      response.end(`url ${request.url}`);
    }
  });
  server.listen(0, '127.0.0.1');
  process.on('SIGTERM', () => process.exit(0));
}

(cluster.isMaster ? primary : worker)();
