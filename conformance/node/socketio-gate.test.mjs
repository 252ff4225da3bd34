// Who may come in, decided after a while: the example `socketio_gate` with npm socket.io-client and
// npm ws.

import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Server } from 'socket.io';
import WebSocket from 'ws';
import { startExample } from '../examples.mjs';
import { Dialer, clients, transports } from '../socketio/clients.mjs';
import { once, until, within } from '../socketio/peer.mjs';

const EIO = '/socket.io/?EIO=4&transport=';
let server;
before(async () => {
  server = await startExample('socketio_gate');
});
after(async () => {
  assert.equal(await server.stop(), 0);
});

/** The status and the text with which a handshake of npm ws is refused. */
function refusal(token, options = {}) {
  const socket = new WebSocket(`${server.ws}${EIO}websocket&token=${token}`, options);
  return within(
    new Promise((resolve, reject) => {
      socket.once('open', () => reject(new Error('it is open')));
      socket.on('error', () => {});
      socket.once('unexpected-response', (_, response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
        response.once('end', () => resolve([response.statusCode, text.trim()]));
      });
    }),
    'refusal',
  );
}

/** The status, the body and the headers of a poll that is to open a session. */
function poll(token, headers = {}, { http = server.http, method = 'GET' } = {}) {
  return within(
    new Promise((resolve, reject) => {
      const options = { method, headers, agent: false };
      const asked = request(`${http}${EIO}polling&token=${token}`, options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
        response.once('end', () => resolve([response.statusCode, text.trim(), response.headers]));
      });
      asked.on('error', reject);
      asked.end();
    }),
    'answer',
  );
}

async function count(name) {
  const text = await (await fetch(`${server.http}/metrics`)).text();
  const line = text.split('\n').find((line) => line.startsWith(`${name} `));
  return Number(line.slice(name.length + 1));
}

for (const version of ['socket.io-client 4.8', 'socket.io-client 3.1']) {
  for (const [transport, options] of Object.entries(transports)) {
    describe(`${version}, ${transport}`, () => {
      const who = `${version}${transport}`.replace(/\W/g, '');
      const dial = (by, token) => by.dial(undefined, { query: { token }, reconnection: false, ...options });
      const by = () => new Dialer(clients[version], server.http);

      test('a known client comes in, under the id that was made', async () => {
        const dialer = by();
        try {
          const token = `secret-of-${who}`;
          const socket = dial(dialer, token);
          const [name] = await once(socket, 'welcome');
          assert.equal(name, who);
          assert.equal(socket.io.engine.id, token);
          if (transport === 'upgrade') {
            const engine = socket.io.engine;
            await until(() => engine.transport.name === 'websocket', 'an upgrade');
          }
          // Nobody else comes in with it, until it is gone.
          const [error] = await once(dial(dialer, token), 'connect_error');
          assert.equal(error.type, 'TransportError');
          socket.disconnect();
          const again = async () => {
            const next = dial(dialer, token);
            return within(
              new Promise((resolve) => {
                next.once('welcome', () => resolve(true));
                next.once('connect_error', () => resolve(false));
              }),
              'answer',
            );
          };
          await until(again, 'the id is free');
        } finally {
          dialer.close();
        }
      });

      test('an unknown client is refused', async () => {
        const dialer = by();
        try {
          const [error] = await once(dial(dialer, 'guess'), 'connect_error');
          assert.equal(error.type, 'TransportError');
        } finally {
          dialer.close();
        }
      });
    });
  }
}

test('what is refused is told, by both transports', async () => {
  const [status, body] = await poll('guess');
  assert.deepEqual([status, JSON.parse(body)], [403, { code: 4, message: 'who are you?' }]);
  assert.deepEqual(await refusal('guess'), [403, 'who are you?']);
});

test('a hook that panics is a 500, and nothing else ends', async () => {
  const socket = new WebSocket(`${server.ws}${EIO}websocket&token=secret-of-witness`);
  const [open] = await once(socket, 'message');
  assert.equal(JSON.parse(open.toString().slice(1)).sid, 'secret-of-witness');
  assert.deepEqual(await refusal('broken'), [500, 'internal error']);
  assert.equal((await poll('broken'))[0], 500);
  socket.send('40');
  const [connected] = await once(socket, 'message');
  assert.match(connected.toString(), /^40\{/);
  socket.terminate();
});

test('a hook that never answers is a 503', async () => {
  const both = await Promise.all([refusal('lost'), poll('lost').then((answer) => answer.slice(0, 2))]);
  assert.deepEqual(both, [
    [503, 'not served in time'],
    [503, 'not served in time'],
  ]);
});

test('clients that go while they wait are forgotten', async () => {
  const name = 'parlor_refusals_total{reason="gone"}';
  const before = await count(name);
  const sockets = [];
  for (let index = 0; index < 50; index += 1) {
    const { port } = new URL(server.http);
    const socket = connect({ port, host: '127.0.0.1' });
    const upgrade = index % 2 === 0;
    const fields = upgrade
      ? 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
      : '';
    const target = `${EIO}${upgrade ? 'websocket' : 'polling'}&token=lost`;
    socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`);
    socket.on('error', () => {});
    sockets.push(socket);
  }
  // Each is served before those behind it, and waits then.
  await once(sockets.at(-1), 'connect');
  assert.equal((await poll('guess'))[0], 403);
  for (const socket of sockets) socket.destroy();
  // Some may have gone before they were asked about.
  await until(async () => (await count(name)) > before, 'they are counted');
  await until(async () => (await count('parlor_connections')) <= 2, 'their places are free');
});

test('origins are let in by a function', async () => {
  for (const [origin, status] of [
    ['https://page.example', 200],
    ['https://page.test', 403],
  ]) {
    const [found, , headers] = await poll(`secret-of-${status}`, { origin });
    assert.equal(found, status);
    assert.equal(headers['access-control-allow-origin'], status === 200 ? origin : undefined);
    assert.equal(headers.vary, 'Origin');
  }
  const known = await poll('secret-of-200', { origin: 'https://page.example' }, { method: 'OPTIONS' });
  assert.equal(known[0], 204);
  assert.equal((await refusal('guess', { origin: 'https://page.test' }))[0], 403);
  assert.deepEqual(await refusal('guess', { origin: 'https://page.example' }), [403, 'who are you?']);
});

test('an origin that a function lets in is told as the reference tells it', async () => {
  const listener = createServer();
  const cors = { origin: (origin, callback) => setImmediate(callback, null, origin.endsWith('.example')) };
  const reference = new Server(listener, { cors });
  try {
    await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const there = `http://127.0.0.1:${listener.address().port}`;
    const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-one' };
    for (const [method, headers] of [
      ['GET', {}],
      ['OPTIONS', preflight],
    ]) {
      const told = async (http) => {
        const asked = { origin: 'https://page.example', ...headers };
        const [status, , fields] = await poll('secret-of-page', asked, { http, method });
        const cross = Object.entries(fields).filter(([name]) => name.startsWith('access-control-'));
        return { status, cross: cross.sort(), vary: fields.vary.split(/\s*,\s*/).sort() };
      };
      assert.deepEqual(await told(server.http), await told(there), method);
    }
  } finally {
    listener.closeAllConnections();
    await new Promise((resolve) => reference.close(resolve));
  }
});
