// The doors `/`, `/ws` and `/ws/{room}`: who hears what.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { open, settled } from './client.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(async () => {
  assert.equal(await server.stop(), 0, server.output());
});

test('text and binary go to the others byte for byte, not to the sender', async () => {
  const [ann, bo, cy] = await Promise.all([1, 2, 3].map(() => open(`${server.ws}/ws/bytes`)));
  const payloads = ['Hello, server!', '', 'ünïcødé 🜚', Buffer.from([0, 255, 128, 10]), Buffer.alloc(0)];
  for (const payload of payloads) {
    ann.send(payload);
  }
  for (const payload of payloads) {
    assert.deepEqual(await bo.next(), payload);
    assert.deepEqual(await cy.next(), payload);
  }
  await settled(ann);
  assert.equal(ann.unread, 0);
  await Promise.all([ann, bo, cy].map((client) => client.close(1000)));
});

test('`/` and `/ws` and `/ws/lobby` are one room', async () => {
  const [root, ws, lobby] = await Promise.all(
    ['/', '/ws', '/ws/lobby'].map((path) => open(server.ws + path)),
  );
  root.send('from /');
  assert.equal(await ws.next(), 'from /');
  assert.equal(await lobby.next(), 'from /');
  ws.send('from /ws');
  assert.equal(await root.next(), 'from /ws');
  lobby.send('from /ws/lobby');
  assert.equal(await ws.next(), 'from /ws/lobby');
  await Promise.all([root, ws, lobby].map((client) => client.close()));
});

test('a room hears nothing of another room', async () => {
  const names = ['a', 'b', '*', '%3E', 'a%20b', 'A', encodeURIComponent('чай')];
  const rooms = await Promise.all(
    names.map((name) => Promise.all([1, 2].map(() => open(`${server.ws}/ws/${name}`)))),
  );
  rooms.forEach(([speaker], index) => speaker.send(`in ${names[index]}`));
  for (const [index, [, listener]] of rooms.entries()) {
    assert.equal(await listener.next(), `in ${names[index]}`);
  }
  await settled(...rooms.flat());
  assert.ok(rooms.flat().every((client) => client.unread === 0));
  await Promise.all(rooms.flat().map((client) => client.close()));
});

test('a room name is compared after percent-decoding', async () => {
  const [plain, encoded] = await Promise.all(
    ['tea', '%74%65%61'].map((name) => open(`${server.ws}/ws/${name}`)),
  );
  plain.send('x');
  assert.equal(await encoded.next(), 'x');
  await Promise.all([plain.close(), encoded.close()]);
});

test('`?echo=1` includes the sender', async () => {
  const [ann, bo] = await Promise.all([
    open(`${server.ws}/ws/mirror?echo=1`),
    open(`${server.ws}/ws/mirror?name=Bo`),
  ]);
  ann.send('to all');
  assert.equal(await ann.next(), 'to all');
  assert.equal(await bo.next(), 'to all');
  bo.send('to the others');
  assert.equal(await ann.next(), 'to the others');
  await settled(bo);
  assert.equal(bo.unread, 0);
  await Promise.all([ann.close(), bo.close()]);
});

test('the order of sixteen publishers holds, nothing is lost or repeated', async () => {
  const publishers = 16;
  const each = 500;
  const listeners = await Promise.all([1, 2].map(() => open(`${server.ws}/ws/order`)));
  const speakers = await Promise.all(
    Array.from({ length: publishers }, () => open(`${server.ws}/ws/order`)),
  );
  for (let number = 0; number < each; number += 1) {
    speakers.forEach((speaker, index) => speaker.send(`${index}:${number}`));
  }
  const read = async (client, expected) => {
    const heard = Array(publishers).fill(0);
    for (let count = 0; count < expected; count += 1) {
      const [index, number] = (await client.next()).split(':').map(Number);
      assert.equal(number, heard[index], `publisher ${index}`);
      heard[index] += 1;
    }
    return heard;
  };
  const all = await Promise.all(listeners.map((client) => read(client, publishers * each)));
  assert.ok(all.flat().every((count) => count === each));
  const others = await Promise.all(speakers.map((client) => read(client, (publishers - 1) * each)));
  others.forEach((heard, own) =>
    heard.forEach((count, index) => assert.equal(count, index === own ? 0 : each)),
  );
  await settled(...listeners, ...speakers);
  assert.ok([...listeners, ...speakers].every((client) => client.unread === 0));
  await Promise.all([...listeners, ...speakers].map((client) => client.close()));
});

test('every member of a room sees the messages of two senders in the same order', async () => {
  const listeners = await Promise.all([1, 2, 3].map(() => open(`${server.ws}/ws/one-order`)));
  const speakers = await Promise.all([1, 2].map(() => open(`${server.ws}/ws/one-order`)));
  for (let number = 0; number < 300; number += 1) {
    speakers.forEach((speaker, index) => speaker.send(`${index}:${number}`));
  }
  const heard = await Promise.all(
    listeners.map(async (client) => {
      const list = [];
      while (list.length < 600) {
        list.push(await client.next());
      }
      return list;
    }),
  );
  assert.deepEqual(heard[1], heard[0]);
  assert.deepEqual(heard[2], heard[0]);
  await Promise.all([...listeners, ...speakers].map((client) => client.close()));
});

test('who has left hears and disturbs nothing', async () => {
  const [ann, bo, cy] = await Promise.all([1, 2, 3].map(() => open(`${server.ws}/ws/leave`)));
  bo.socket.terminate();
  await bo.closed();
  ann.send('still here');
  assert.equal(await cy.next(), 'still here');
  await Promise.all([ann.close(), cy.close()]);
});
