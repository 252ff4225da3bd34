// One room, many tongues: what Socket.IO clients and the members of other doors hear of each other.

import assert from 'node:assert/strict';
import { EventSource } from 'eventsource';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { Dialer, clients } from '../socketio/clients.mjs';
import { ask, connected, inbox, once, plain, within } from '../socketio/peer.mjs';
import { open } from './client.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(async () => {
  assert.equal(await server?.stop(), 0, server?.output());
});

/** A member of each other door, all of them in one room. */
async function others(room) {
  const raw = await open(`${server.ws}/ws/${room}?name=Raw`);
  const json = await open(`${server.ws}/signal/${room}?name=Json`, { protocols: ['parlor.v1'] });
  json.send('{"type":"join"}');
  while (JSON.parse(await json.next()).type !== 'joined');
  const heard = async () => {
    for (;;) {
      const message = JSON.parse(await json.next());
      if (message.type === 'message') return message;
    }
  };
  const stream = new EventSource(`${server.http}/sse/${room}`);
  const events = [];
  const waiting = [];
  const push = (event) => (waiting.shift() ?? ((it) => events.push(it)))(event);
  for (const name of ['message', 'binary', 'score', 'list']) {
    stream.addEventListener(name, ({ type, data }) => push([type, data]));
  }
  await within(new Promise((resolve) => stream.addEventListener('joined', resolve, { once: true })), 'joined');
  return {
    raw,
    json,
    heard,
    event: () =>
      events.length > 0
        ? Promise.resolve(events.shift())
        : within(new Promise((resolve) => waiting.push(resolve)), 'event'),
    async end() {
      stream.close();
      await Promise.all([raw.close(), json.close()]);
    },
  };
}

for (const [name, io] of Object.entries(clients)) {
  test(`${name} is heard at every door`, async () => {
    const room = `heard-${name.replace(/[^a-z0-9]/g, '-')}`;
    const dialer = new Dialer(io, server.http);
    const ann = dialer.dial(room, { name: 'Ann', transports: ['websocket'] });
    await connected(ann);
    const { raw, heard, event, end } = await others(room);

    const { id } = await ask(ann, 'message', 'Hello\nall');
    assert.equal(await raw.next(), 'Hello\nall');
    const message = await heard();
    assert.deepEqual(
      [message.id, message.name, message.data, message.event ?? 'message'],
      [id, 'Ann', 'Hello\nall', 'message'],
    );
    assert.deepEqual(await event(), ['message', 'Hello\nall']);

    ann.emit('message', Buffer.from([0, 1, 255]));
    assert.deepEqual([...(await raw.next())], [0, 1, 255]);
    assert.deepEqual((await heard()).data, { base64: 'AAH/' });
    assert.deepEqual(await event(), ['binary', 'AAH/']);

    ann.emit('message', { n: [1, 2] });
    assert.equal(await raw.next(), '{"n":[1,2]}');
    assert.deepEqual((await heard()).data, { n: [1, 2] });
    assert.deepEqual(await event(), ['message', '{"n":[1,2]}']);

    ann.emit('score', 7);
    const score = await heard();
    assert.deepEqual([score.event, score.data], ['score', 7]);
    assert.deepEqual(await event(), ['score', '7']);

    ann.emit('list', 'a', { deep: Buffer.from([1]) });
    const list = await heard();
    assert.deepEqual([list.event, list.data], ['list', ['a', { deep: { base64: 'AQ==' } }]]);
    const [type, data] = await event();
    assert.deepEqual([type, JSON.parse(data)], ['list', ['a', { deep: { base64: 'AQ==' } }]]);

    // A bare frame is a `message`: the two events were none for this member.
    ann.emit('message', 'last');
    assert.equal(await raw.next(), 'last');
    await end();
    dialer.close();
  });

  test(`${name} hears every door`, async () => {
    const room = `hears-${name.replace(/[^a-z0-9]/g, '-')}`;
    const dialer = new Dialer(io, server.http);
    const ann = dialer.dial(room, { transports: ['websocket'] });
    await connected(ann);
    const heard = inbox(ann, 'message', 'score');
    const next = async () => plain(await heard.next());
    const { raw, json, end } = await others(room);

    raw.send('text');
    assert.deepEqual((await next()).slice(0, 2), ['message', 'text']);
    raw.send(Buffer.from([0, 255]));
    assert.deepEqual((await next()).slice(0, 2), ['message', { bytes: [0, 255] }]);
    json.send('{"type":"message","data":"json"}');
    assert.deepEqual((await next()).slice(0, 2), ['message', 'json']);
    json.send('{"type":"message","data":{"base64":"AQI="}}');
    assert.deepEqual((await next()).slice(0, 2), ['message', { bytes: [1, 2] }]);
    json.send('{"type":"message","event":"score","data":{"points":[3]}}');
    assert.deepEqual((await next()).slice(0, 2), ['score', { points: [3] }]);

    const post = (type, body, query = '') =>
      fetch(`${server.http}/rooms/${room}/messages${query}`, {
        method: 'POST',
        headers: { 'content-type': type },
        body,
      });
    await post('text/plain', 'by POST');
    assert.deepEqual((await next()).slice(0, 2), ['message', 'by POST']);
    await post('application/json', '{"event":"score","data":[1,"two"]}');
    const [event, ...args] = await next();
    assert.equal(event, 'score');
    assert.deepEqual(args[0], [1, 'two']);
    await post('application/octet-stream', Buffer.from([9]));
    assert.deepEqual((await next()).slice(0, 2), ['message', { bytes: [9] }]);

    // Its own message comes back to it in the order of the room.
    raw.send('before');
    assert.equal((await next())[1], 'before');
    ann.emit('message', 'own');
    assert.equal((await next())[1], 'own');
    await end();
    dialer.close();
  });
}

test('all clients of Socket.IO are in one room', async () => {
  const dialers = Object.values(clients).map((io) => new Dialer(io, server.http));
  const sockets = dialers.map((dialer) => dialer.dial('all', { transports: ['websocket'] }));
  await connected(...sockets);
  const bytes = Buffer.from([1, 2]);
  for (const speaker of sockets) {
    const hearers = sockets.filter((socket) => socket !== speaker);
    const all = Promise.all(hearers.map((socket) => once(socket, 'exact')));
    speaker.emit('exact', 1, { bytes, list: [bytes] }, 'x');
    for (const args of await all) {
      const expected = [1, { bytes: { bytes: [1, 2] }, list: [{ bytes: [1, 2] }] }, 'x'];
      assert.deepEqual(plain(args).slice(0, 3), expected);
    }
  }
  for (const dialer of dialers) dialer.close();
});
