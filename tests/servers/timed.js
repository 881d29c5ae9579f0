// SPDX-License-Identifier: Apache-2.0
// An HTTP server with a middleware that times each request as such middleware does, from 'request' to 'finish':
//
//   GET /wait/MS   answers that many milliseconds later
//   GET /spin/MS   computes for that long first
//
// It prints "listening on PORT", and on SIGTERM writes a line "METHOD PATH NANOSECONDS" a request to the file named by TIMES.
'use strict';

const fs = require('fs');
const http = require('http');

const times = [];

function answer(request, response) {
  const [, what, milliseconds] = request.url.split('/');
  const reply = () => response.end('ok\n');
  if (what === 'wait') {
    setTimeout(reply, Number(milliseconds));
    return;
  }
  const end = process.hrtime.bigint() + BigInt(milliseconds) * 1000000n;
  while (process.hrtime.bigint() < end);
  reply();
}

function timed(request, response) {
  const start = process.hrtime.bigint();
  response.on('finish', () => times.push(`${request.method} ${request.url} ${process.hrtime.bigint() - start}\n`));
  answer(request, response);
}

const server = http.createServer(timed);
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
process.on('SIGTERM', () => {
  fs.writeFileSync(process.env.TIMES, times.join(''));
  process.exit(0);
});
