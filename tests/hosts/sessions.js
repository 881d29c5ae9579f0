// SPDX-License-Identifier: Apache-2.0
// An application for node that keeps its sessions in memory: node --expose-gc sessions.js
//
//   POST /sessions    makes one, of SESSION_BYTES in a buffer; with KIND=objects of small JavaScript objects instead
//   GET  /items/ID, /search    keep nothing
//   GET  /kept        how many sessions were made, and the bytes in use by node's own count, after a collection
//
// With KEEP=all all sessions are kept, else the last hundred. It prints "listening on PORT".
'use strict';

const http = require('http');

const keepAll = process.env.KEEP === 'all';
const objects = process.env.KIND === 'objects';
const sessionBytes = Number(process.env.SESSION_BYTES || 1000);
const sessions = [];
let made = 0;

function sessionObjects() {
  const visited = [];
  for (let i = 0; i < 8; i++) visited.push({path: `/items/${made + i}/of/${made}`, at: made + 0.5, tags: [made, i]});
  return {id: made, user: {name: `user ${made}`, mail: `user${made}@example.org`}, visited};
}

const routes = {
  'POST /sessions': () => {
    made++;
    sessions.push(objects ? sessionObjects() : Buffer.alloc(sessionBytes));
    if (!keepAll && sessions.length > 100) sessions.shift();
    return {made};
  },
  'GET /items': (path) => ({path, tags: ['a', 'b', 'c']}),
  'GET /search': () => Array.from({length: 20}, (_, i) => ({id: i, title: `result ${i}`})),
};

// Buffers are given back by another thread, a little after the collection.
function kept(response) {
  global.gc();
  setTimeout(() => {
    const use = process.memoryUsage();
    response.end(`${made} ${use.heapUsed + use.arrayBuffers}\n`);
  }, 500);
}

const server = http.createServer((request, response) => {
  if (request.url === '/kept') return kept(response);
  const handler = routes[`${request.method} /${request.url.split('/')[1]}`];
  response.end(JSON.stringify(handler(request.url)));
});
server.keepAliveTimeout = 3600 * 1000;
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
