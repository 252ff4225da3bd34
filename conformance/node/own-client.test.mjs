// Our own Socket.IO client against the server that its protocol comes from.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Server } from 'socket.io';
import { startProxy } from '../proxy.mjs';
import { make, stored } from '../socketio/bundle.mjs';
import { Manager, io } from '../socketio/own.mjs';
import { inbox, once, plain, until, within } from '../socketio/peer.mjs';

let http;
let server;
let url;
const open = new Set();

async function start(options = {}) {
  const http = createServer();
  const server = new Server(http, {
    connectionStateRecovery: { maxDisconnectionDuration: 60_000 },
    ...options,
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  for (const name of ['/', '/chat']) {
    server.of(name).on('connection', (socket) => {
      socket.on('echo', (...args) => {
        const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined;
        if (ack) ack(...args);
        else socket.emit('echo', ...args);
      });
      socket.on('ask me', async (ack) => ack(await socket.emitWithAck('question', 1, Buffer.from([1]))));
      socket.on('auth', (ack) => ack(socket.handshake.auth, socket.handshake.query.color));
      socket.on('kick', (close) => socket.disconnect(close));
      socket.on('transport', (ack) => ack(socket.conn.transport.name));
      socket.on('silence', () => {});
    });
  }
  server.of('/secret').use((socket, next) => {
    if (socket.handshake.auth.token === 'right') next();
    else next(Object.assign(new Error('who are you?'), { data: { code: 7 } }));
  });
  return { http, server, url: `http://127.0.0.1:${http.address().port}` };
}

before(async () => {
  ({ http, server, url } = await start());
});
after(async () => {
  for (const socket of open) socket.disconnect();
  await within(new Promise((resolve) => server.close(resolve)), 'end of the server');
});

/** A socket with a connection of its own. */
function dial(path = '', options = {}, base = url) {
  const socket = io(base + path, { forceNew: true, ...options });
  open.add(socket);
  return socket;
}

async function connected(...args) {
  const socket = dial(...args);
  await once(socket, 'connect');
  return socket;
}

const TRANSPORTS = {
  'polling only': { transports: ['polling'] },
  'WebSocket only': { transports: ['websocket'] },
  'polling, then WebSocket': {},
};

test('the stored minified forms are made from the source, and small', async () => {
  const made = await make();
  for (const [name, text] of Object.entries(await stored())) {
    assert.ok(text === made[name], `${name} is old: node conformance/socketio/bundle.mjs --write`);
    assert.ok(Buffer.byteLength(text) < 20_000, `${name} has ${Buffer.byteLength(text)} bytes`);
  }
});

for (const [name, options] of Object.entries(TRANSPORTS)) {
  test(`events and acks both ways, ${name}`, async () => {
    const socket = await connected('', options);
    const echo = inbox(socket, 'echo');
    const args = [1, 'two \u2028 \x1e \u{1f600}', { three: [null, true, { _placeholder: true, num: 0 }] }];
    socket.emit('echo', ...args);
    // With recovery the last argument is the offset.
    assert.deepEqual((await echo.next()).slice(0, -1), ['echo', ...args]);
    const binary = [Buffer.from([0, 255, 30]), { deep: [new Uint8Array([1, 2]).subarray(1), 'x'] }];
    socket.emit('echo', ...binary);
    assert.deepEqual(plain(await echo.next()).slice(0, 3), ['echo', ...plain(binary)]);
    assert.deepEqual(plain(await within(socket.emitWithAck('echo', new Uint8Array(3).buffer), 'ack')), {
      bytes: [0, 0, 0],
    });
    assert.deepEqual(
      await within(new Promise((resolve) => socket.emit('echo', 4, 5, (...all) => resolve(all))), 'ack'),
      [4, 5],
    );
    socket.on('question', (number, bytes, answer) => answer({ number, bytes }));
    assert.deepEqual(plain(await socket.emitWithAck('ask me')), { number: 1, bytes: { bytes: [1] } });
    const big = new Uint8Array(700_000).map((_, at) => at % 251);
    assert.deepEqual(new Uint8Array(await socket.emitWithAck('echo', big)), big);
    await assert.rejects(socket.timeout(20).emitWithAck('silence'), /timed out/);
    socket.disconnect();
  });
}

test('nothing is lost or reordered while the transport changes', async () => {
  for (let round = 0; round < 20; round += 1) {
    const socket = dial();
    const echo = inbox(socket, 'echo');
    let upgraded = false;
    socket.io.engine.once('upgrade', () => (upgraded = true));
    let sent = 0;
    while (!upgraded || sent < 50) {
      socket.emit('echo', (sent += 1), Buffer.from([sent % 256]));
      if (sent % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (let at = 1; at <= sent; at += 1) {
      const [, number, bytes] = await echo.next();
      assert.deepEqual([number, plain(bytes)], [at, { bytes: [at % 256] }]);
    }
    assert.equal(await socket.emitWithAck('transport'), 'websocket');
    socket.disconnect();
  }
});

test('namespaces share one connection', async () => {
  const main = io(`${url}/?color=red`, { auth: { token: 'a' } });
  const chat = io(`${url}/chat`, { auth: (done) => done({ token: 'b' }) });
  const again = io(`${url}/chat`);
  open.add(main).add(chat).add(again);
  await Promise.all([main, chat, again].map((socket) => once(socket, 'connect')));
  assert.equal(main.io, chat.io);
  assert.notEqual(chat.io, again.io);
  assert.notEqual(main.id, chat.id);
  const asked = (socket) => new Promise((resolve) => socket.emit('auth', (...all) => resolve(all)));
  assert.deepEqual(await asked(main), [{ token: 'a' }, 'red']);
  assert.deepEqual(await asked(chat), [{ token: 'b' }, 'red']);
  chat.disconnect();
  assert.equal(chat.active, false);
  assert.deepEqual(await main.emitWithAck('echo', 'still here'), 'still here');
  const gone = once(main, 'disconnect');
  main.disconnect();
  assert.deepEqual(await gone, ['io client disconnect', undefined]);
  assert.equal(main.io.engine.readyState, 'closed');
});

test('a refused namespace says why', async () => {
  const refused = dial('/secret', { auth: { token: 'wrong' } });
  const [error] = await once(refused, 'connect_error');
  assert.deepEqual([error.message, error.data, refused.active], ['who are you?', { code: 7 }, false]);
  refused.auth = { token: 'right' };
  refused.connect();
  await once(refused, 'connect');
  const [unknown] = await once(dial('/nowhere'), 'connect_error');
  assert.equal(unknown.message, 'Invalid namespace');
});

test('reasons of a disconnect', async () => {
  const kicked = await connected();
  const reason = once(kicked, 'disconnect');
  kicked.emit('kick', false);
  assert.equal((await reason)[0], 'io server disconnect');
  assert.equal(kicked.active, false);
  const closed = await connected('', { transports: ['websocket'] });
  const second = once(closed, 'disconnect');
  closed.emit('kick', true);
  assert.equal((await second)[0], 'io server disconnect');
});

test('catch-all listeners, once and off', async () => {
  const socket = await connected();
  const seen = [];
  const echo = inbox(socket, 'echo');
  socket.onAny((...args) => seen.push(['in', ...args.slice(0, 2)]));
  socket.onAnyOutgoing((...args) => seen.push(['out', ...args]));
  socket.once('echo', (value) => seen.push(['once', value]));
  const never = () => seen.push(['never']);
  socket.on('echo', never).off('echo', never);
  socket.on('echo', () => {
    seen.push(['last']);
  });
  socket.emit('echo', 1);
  await echo.next();
  socket.offAny().offAnyOutgoing();
  socket.emit('echo', 2);
  await echo.next();
  assert.deepEqual(seen, [['out', 'echo', 1], ['in', 'echo', 1], ['once', 1], ['last'], ['last']]);
  assert.throws(() => socket.emit('connect'), /reserved/);
});

test('comes back after a cut, recovers what it missed, and sends what was waiting', async () => {
  const proxy = await startProxy(http.address().port);
  const base = `http://127.0.0.1:${proxy.port}`;
  for (const options of Object.values(TRANSPORTS)) {
    const socket = await connected('', { ...options, reconnectionDelay: 10, reconnectionDelayMax: 50 }, base);
    const news = inbox(socket, 'news', 'echo');
    const { id } = socket;
    server.to(id).emit('news', 1);
    assert.equal((await news.next())[1], 1);
    const target = proxy.target;
    proxy.target = 0;
    const lost = once(socket, 'disconnect');
    proxy.cut();
    const [reason] = await lost;
    assert.match(reason, /^transport (close|error)$/);
    assert.equal(socket.connected, false);
    // Between two polls there is nothing that the server could notice.
    server.of('/').sockets.get(id)?.conn.close(true);
    await until(() => server.of('/').sockets.get(id) === undefined, 'the server noticed');
    server.to(id).emit('news', 2, Buffer.from([2]));
    socket.emit('echo', 'waited');
    socket.volatile.emit('echo', 'gone');
    const back = once(socket, 'connect');
    proxy.target = target;
    await back;
    assert.deepEqual([socket.recovered, socket.id], [true, id]);
    assert.deepEqual(plain(await news.next()).slice(0, 3), ['news', 2, { bytes: [2] }]);
    assert.equal((await news.next())[1], 'waited');
    assert.equal(news.unread, 0);
    socket.disconnect();
  }
  await proxy.stop();
});

test('a server that falls silent is left after the ping timeout', async () => {
  const quick = await start({ pingInterval: 200, pingTimeout: 200 });
  const socket = await connected('', { transports: ['websocket'], reconnection: false }, quick.url);
  const gone = once(socket, 'disconnect');
  let pings = 0;
  socket.io.on('ping', () => (pings += 1));
  await until(() => pings > 2, 'pings');
  assert.equal(socket.connected, true);
  for (const client of quick.server.engine.clients ? Object.values(quick.server.engine.clients) : []) {
    clearTimeout(client.pingIntervalTimer);
    client.sendPacket = () => {};
  }
  assert.equal((await gone)[0], 'ping timeout');
  await new Promise((resolve) => quick.server.close(resolve));
});

test('gives up after the attempts it was allowed', async () => {
  const proxy = await startProxy(0);
  const base = `http://127.0.0.1:${proxy.port}`;
  const options = { reconnectionAttempts: 2, reconnectionDelay: 1, autoConnect: false };
  for (const transports of [['polling'], ['websocket']]) {
    const manager = new Manager(base, { ...options, transports });
    const told = [];
    for (const name of ['reconnect_attempt', 'reconnect_error']) {
      manager.on(name, (value) => told.push(`${name} ${value.message ?? value}`));
    }
    const socket = manager.socket('/');
    socket.on('connect_error', (error) => told.push(`connect_error ${error.message}`));
    const failed = once(manager, 'reconnect_failed');
    socket.connect();
    await failed;
    const words = transports[0] === 'polling' ? 'xhr poll error' : 'websocket error';
    assert.deepEqual(told.filter((it) => it.startsWith('connect_error')), Array(3).fill(`connect_error ${words}`));
    assert.equal(told.filter((it) => it.startsWith('reconnect_attempt')).length, 2);
    assert.equal(socket.active, true);
    manager.close();
  }
  await proxy.stop();
});

test('a message that is too long ends the connection, and it comes back', async () => {
  for (const transports of [['polling'], ['websocket']]) {
    const socket = await connected('', { transports, reconnectionDelay: 10 });
    const lost = once(socket, 'disconnect');
    const back = once(socket.io, 'reconnect');
    const pending = socket.emitWithAck('echo', 'x'.repeat(1_100_000));
    const [reason] = await lost;
    assert.equal(reason, transports[0] === 'polling' ? 'transport error' : 'transport close');
    await assert.rejects(pending, /disconnected/);
    await back;
    socket.disconnect();
  }
});

test('what is no packet ends the connection with a parse error', async () => {
  for (const bad of ['9', '2{}', '2["connect"]', '51-["x"]', '2', 'x', '0[']) {
    const socket = await connected('', { transports: ['websocket'], reconnection: false });
    const lost = once(socket, 'disconnect');
    for (const [, client] of server.of('/').sockets) {
      if (client.id === socket.id) client.conn.write(bad);
    }
    if (bad.startsWith('51-')) server.of('/').sockets.get(socket.id)?.conn.write('2["a"]');
    assert.equal((await lost)[0], 'parse error', bad);
  }
});
