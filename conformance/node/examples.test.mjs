// The examples of the library, driven by npm ws and EventSource.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { io } from 'socket.io-client';
import { startExample } from '../examples.mjs';
import { open, within } from './client.mjs';

/** Runs `drive` against an example, and stops that. */
function example(name, drive) {
  test(`the example ${name}`, async () => {
    const running = await startExample(name);
    const clients = [];
    const connect = async (path, options) => {
      const client = await open(running.ws + path, options);
      clients.push(client);
      return client;
    };
    try {
      await drive(connect, running);
    } finally {
      for (const client of clients) client.socket.terminate();
      assert.equal(await running.stop(), 0);
    }
  });
}

/** The next message that passes, those before it are passed over. */
async function nextThat(client, passes) {
  for (;;) {
    const message = await client.next();
    if (passes(message)) return message;
  }
}

example('echo', async (connect) => {
  const client = await connect('/echo');
  client.send('hello');
  assert.equal(await client.next(), 'hello');
});

example('hub', async (connect) => {
  const [ann, bo] = [await connect('/'), await connect('/')];
  ann.send('Hello, server!');
  assert.equal(await bo.next(), 'Hello, server!');
});

example('broadcast', async (connect) => {
  const [ann, bo] = [await connect('/everybody'), await connect('/everybody')];
  ann.send(Buffer.from([1, 2, 3]));
  assert.deepEqual([...(await bo.next())], [1, 2, 3]);
});

example('rooms', async (connect) => {
  const [ann, bo] = [await connect('/rooms'), await connect('/rooms')];
  ann.send('{"join": "tea"}');
  assert.equal(await ann.next(), 'tea has 1 members');
  bo.send('{"join": "tea"}');
  assert.equal(await bo.next(), 'tea has 2 members');
  ann.send('{"to": "tea", "say": "hello"}');
  assert.equal(await bo.next(), 'hello');
});

example('chat', async (connect) => {
  await assert.rejects(connect('/chat/tea'), { status: 400 });
  const ann = await connect('/chat/tea?name=Ann');
  ann.send('anybody?');
  assert.equal(await ann.next(), 'Ann: anybody?');
  const bo = await connect('/chat/tea?name=Bo');
  assert.equal(await bo.next(), '* Ann comes in');
  assert.equal(await bo.next(), 'Ann: anybody?');
  bo.socket.close();
  await nextThat(ann, (line) => line === '* Bo goes');
});

example('axum_app', async (connect, { http }) => {
  // The endpoint answers 503 until its server has begun beside axum's.
  let client;
  while (!client) {
    client = await connect('/rt/news').catch((error) => {
      assert.equal(error.status, 503);
    });
  }
  assert.equal(await (await fetch(http)).text(), '<h1>News</h1>');
  const posted = await fetch(`${http}/news`, { method: 'POST', body: 'hello' });
  assert.equal(posted.status, 202);
  assert.equal(await client.next(), 'hello');

  // Below the same path rooms are heard by event streams and by Socket.IO, however it comes.
  const source = new EventSource(`${http}/rt/sse/tea`);
  const heard = (event) => within(new Promise((resolve) => source.addEventListener(event, resolve)), event);
  const sockets = [['polling'], ['websocket'], ['polling', 'websocket']].map((transports) =>
    io(http, { path: '/rt/socket.io/', transports, forceNew: true }),
  );
  try {
    await heard('joined');
    for (const socket of sockets) await within(socket.emitWithAck('join', 'tea'), 'a room');
    await upgraded(sockets.at(-1));
    assert.deepEqual(sockets.map((socket) => socket.io.engine.transport.name), ['polling', 'websocket', 'websocket']);
    const messages = sockets.map((socket) => within(once(socket, 'score'), 'an event of Socket.IO'));
    const event = heard('score');
    const published = await fetch(`${http}/rt/rooms/tea/messages`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ event: 'score', data: [3, 1] }),
    });
    assert.equal(published.status, 201);
    assert.equal((await published.json()).receivers, 4);
    assert.deepEqual(JSON.parse((await event).data), [3, 1]);
    for (const [score] of await Promise.all(messages)) assert.deepEqual(score, [3, 1]);
    const others = sockets.slice(1).map((socket) => within(once(socket, 'message'), 'a message'));
    sockets[0].emit('message', 'from one to all');
    for (const [text] of await Promise.all(others)) assert.equal(text, 'from one to all');
    const file = await fetch(`${http}/rt/socket.io/socket.io.js`);
    assert.match(file.headers.get('content-type'), /javascript/);
  } finally {
    source.close();
    for (const socket of sockets) socket.close();
  }
});

/** Waits until a client of Socket.IO has gone over to WebSocket. */
async function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name !== 'websocket') await within(once(engine, 'upgrade'), 'an upgrade');
}

/** The arguments of the next event of an emitter. */
function once(emitter, event) {
  return new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));
}

example('presence', async (connect) => {
  const ann = await connect('/presence?name=Ann');
  const bo = await connect('/presence?name=Bo');
  bo.send('{"mood": "fine"}');
  const both = [['Ann', null], ['Bo', 'fine']];
  await nextThat(ann, (list) => {
    assert.doesNotThrow(() => JSON.parse(list));
    return JSON.stringify(JSON.parse(list).sort()) === JSON.stringify(both);
  });
});

example('game_loop', async (connect) => {
  const [player, watcher] = [await connect('/game'), await connect('/game')];
  player.send('{"dx": 1, "dy": 1}');
  await nextThat(watcher, (world) =>
    Object.values(JSON.parse(world)).some(([x, y]) => x === 1 && y === 1),
  );
});

example('dashboard', async (_, { http }) => {
  const page = await (await fetch(http)).text();
  assert.match(page, /new EventSource/);
  const source = new EventSource(`${http}/sse/load?last=1`);
  try {
    const sample = await within(
      new Promise((resolve) => source.addEventListener('sample', resolve)),
      'sample',
    );
    assert.equal(typeof JSON.parse(sample.data).connections, 'number');
  } finally {
    source.close();
  }
});

example('auth', async (connect) => {
  await assert.rejects(connect('/private'), { status: 401 });
  await assert.rejects(connect('/private?token=guess'), { status: 403 });
  const ann = await connect('/private', { headers: { Cookie: 'token=ann-reads' } });
  const bo = await connect('/private', { headers: { Authorization: 'Bearer bo-writes' } });
  bo.send('read this');
  assert.equal(await ann.next(), 'read this');
  ann.send('me too');
  assert.equal((await ann.closed()).code, 4403);
});
