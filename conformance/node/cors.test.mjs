// Cross-origin headers at /socket.io/: the same answers as the reference gives with the same options.

import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, test } from 'node:test';
import { Server } from 'socket.io';
import { startServer } from '../server.mjs';

const stops = [];
after(() => Promise.all(stops.map((stop) => stop())));

async function startReference(cors) {
  const http = createServer();
  new Server(http, { cors });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  stops.push(() => {
    http.closeAllConnections();
    return new Promise((resolve) => http.close(resolve));
  });
  return { port: http.address().port };
}

async function startOurs(...options) {
  const server = await startServer(...options);
  stops.push(() => server.stop());
  return server;
}

/** The status of an answer, and its cross-origin headers. */
function ask({ port }, method, path, headers) {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', method, path, headers, agent: false }, (response) => {
      response.resume();
      response.on('error', reject);
      response.on('end', () => {
        const told = Object.entries(response.headers)
          .filter(([name]) => name.startsWith('access-control-'))
          .sort(([one], [other]) => (one < other ? -1 : 1));
        const vary = (response.headers.vary ?? '').split(/\s*,\s*/).filter(Boolean).sort();
        resolve({ status: response.statusCode, told, vary });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

const page = 'https://page.example';
const open = '/socket.io/?EIO=4&transport=polling';
const file = '/socket.io/socket.io.js';
const rows = [
  ['any origin', { origin: '*' }, ['--socketio-cors-origin', '*']],
  // Browsers refuse the answer for requests with cookies, here as there.
  [
    'any origin and credentials',
    { origin: '*', credentials: true },
    ['--socketio-cors-origin', '*', '--socketio-cors-credentials', 'on'],
  ],
  ['origins that are listed', { origin: [page, 'https://other.example'] }, ['--socketio-cors-origin', `${page},https://other.example`]],
  ['origins by a pattern', { origin: /^https:\/\/[a-z.-]+\.example$/ }, ['--socketio-cors-origin', 'https://*.example']],
  [
    'every option',
    {
      origin: [page],
      methods: ['GET', 'POST'],
      allowedHeaders: ['x-one', 'x-two'],
      exposedHeaders: ['x-three'],
      credentials: true,
      maxAge: 600,
      optionsSuccessStatus: 200,
    },
    [
      ...['--socketio-cors-origin', page, '--socketio-cors-methods', 'GET,POST'],
      ...['--socketio-cors-allowed-headers', 'x-one,x-two', '--socketio-cors-exposed-headers', 'x-three'],
      ...['--socketio-cors-credentials', 'on', '--socketio-cors-max-age', '10m', '--socketio-cors-preflight', '200'],
    ],
  ],
];
const requests = [
  ['GET', open, { origin: page }],
  ['GET', `${open}&sid=unknown`, { origin: page }],
  ['POST', open, { origin: page }],
  ['OPTIONS', open, { origin: page }],
  [
    'OPTIONS',
    open,
    { origin: page, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-one, content-type' },
  ],
  ['GET', open, {}],
  ['OPTIONS', open, {}],
];

for (const [name, options, flags] of rows) {
  test(name, async () => {
    const [reference, ours] = [await startReference(options), await startOurs(...flags)];
    for (const [method, path, headers] of requests) {
      const expected = await ask(reference, method, path, headers);
      const label = `${method} ${path} ${JSON.stringify(headers)}`;
      assert.deepEqual(await ask(ours, method, path, headers), expected, label);
    }
    // The files of the client, whose answers vary by their coding too.
    const [theirs, told] = [await ask(reference, 'GET', file, { origin: page }), await ask(ours, 'GET', file, { origin: page })];
    assert.deepEqual([told.status, told.told], [200, theirs.told]);
  });
}

test('an origin that may not come', async () => {
  const headers = { origin: 'https://foreign.example' };
  const reference = await startReference({ origin: [page] });
  const ours = await startOurs('--socketio-cors-origin', page);
  const expected = await ask(reference, 'GET', open, headers);
  assert.deepEqual(expected, { status: 200, told: [], vary: ['Origin'] });
  // Where the reference leaves it to the browser, we refuse.
  assert.deepEqual(await ask(ours, 'GET', open, headers), { ...expected, status: 403 });
  const preflight = { ...headers, 'access-control-request-method': 'POST' };
  const asked = await ask(reference, 'OPTIONS', open, preflight);
  assert.deepEqual(await ask(ours, 'OPTIONS', open, preflight), asked);
});

test('preflights that go on', async () => {
  const reference = await startReference({ origin: '*', preflightContinue: true });
  const ours = await startOurs('--socketio-cors-origin', '*', '--socketio-cors-preflight', 'pass');
  const expected = await ask(reference, 'OPTIONS', open, { origin: page });
  assert.equal(expected.status, 400);
  assert.deepEqual(await ask(ours, 'OPTIONS', open, { origin: page }), expected);
});
