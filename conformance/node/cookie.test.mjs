// The cookie that tells the id of a session: the same one as the reference tells with the same options, in the same
// answers; and in one more.

import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, test } from 'node:test';
import { Server } from 'socket.io';
import { startServer } from '../server.mjs';

const stops = [];
after(() => Promise.all(stops.map((stop) => stop())));

async function startReference(cookie) {
  const http = createServer();
  new Server(http, { cookie });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  stops.push(() => {
    http.closeAllConnections();
    return new Promise((resolve) => http.close(resolve));
  });
  return { port: http.address().port };
}

async function startOurs(cookie) {
  const server = await startServer('--socketio-cookie', cookie);
  stops.push(() => server.stop());
  return server;
}

/** The cookies of an answer, without the id in them; and the body of one that is no handshake. */
function ask({ port }, { method = 'GET', query, headers, body }) {
  const path = `/socket.io/?EIO=4&${query}`;
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', method, path, headers, agent: false });
    const told = (response) =>
      (response.headers['set-cookie'] ?? []).map((cookie) => cookie.replace(/^([^=]+)=[^;]+/, '$1=ID'));
    asked.on('response', async (response) => {
      let text = '';
      for await (const part of response) text += part;
      resolve({ cookies: told(response), text });
    });
    asked.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ cookies: told(response), text: '' });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

const upgrade = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

/** The cookies of each answer in the life of a session, and of one that begins as a WebSocket. */
async function cookiesOf(server) {
  const opened = await ask(server, { query: 'transport=polling' });
  const session = `transport=polling&sid=${JSON.parse(opened.text.slice(1)).sid}`;
  const posted = await ask(server, { method: 'POST', query: session, headers: { 'content-type': 'text/plain' }, body: '40' });
  const polled = await ask(server, { query: session });
  const socket = await ask(server, { query: 'transport=websocket', headers: upgrade });
  return [opened, posted, polled, socket].map(({ cookies }) => cookies);
}

const rows = [
  ['the default', {}, 'io'],
  ['a path and a name', { name: 'sid', path: '/chat' }, 'sid; Path=/chat; HttpOnly; SameSite=Lax'],
  [
    'every attribute',
    {
      maxAge: 60,
      domain: 'chat.example',
      path: '/a b',
      secure: true,
      partitioned: true,
      priority: 'high',
      sameSite: 'none',
    },
    'io; samesite=none; Priority=High; Partitioned; Secure; HttpOnly; Path=/a b; Domain=chat.example; Max-Age=60',
  ],
  ['no attribute', { path: false, httpOnly: false, sameSite: false }, 'io;'],
];

for (const [name, options, ours] of rows) {
  test(name, async () => {
    const expected = await cookiesOf(await startReference(options));
    const [opened] = expected;
    assert.equal(opened.length, 1);
    // A session that begins as a WebSocket has none there.
    assert.deepEqual(expected, [opened, [], [], []]);
    assert.deepEqual(await cookiesOf(await startOurs(ours)), [opened, [], [], opened]);
  });
}
