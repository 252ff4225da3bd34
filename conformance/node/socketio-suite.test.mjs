// What the documents of Socket.IO say of a server, against the example that says everything again:
// by hand over WebSocket and polling, and with clients.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { startExample } from '../examples.mjs';
import { Dialer, clients, msgpack, transports } from '../socketio/clients.mjs';
import { ask, connected, inbox, once, plain, within } from '../socketio/peer.mjs';

/** With time enough for everything, and one that soon gives up who joins no namespace. */
let [calm, hasty] = [];
before(async () => {
  const start = (...times) => startExample('socketio_suite', ...times);
  [calm, hasty] = await Promise.all([start('25000', '20000', '45000'), start('25000', '20000', '300')]);
});
after(async () => {
  const servers = [calm, hasty].filter(Boolean);
  assert.deepEqual(await Promise.all(servers.map((server) => server.stop())), servers.map(() => 0));
});

/** A session of Engine.IO over WebSocket, of which nothing has been said yet. */
async function session(server = calm) {
  const socket = new WebSocket(`${server.ws}/socket.io/?EIO=4&transport=websocket`);
  const messages = [];
  const waiting = [];
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    const message = isBinary ? [...data] : data.toString();
    const next = waiting.shift();
    if (next) next(message);
    else messages.push(message);
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const next = () =>
    messages.length > 0
      ? Promise.resolve(messages.shift())
      : within(new Promise((resolve) => waiting.push(resolve)), 'message');
  assert.match(await next(), /^0\{"sid":"/);
  return {
    next,
    send: (...all) => all.forEach((message) => socket.send(message)),
    closed: () => within(closed, 'close'),
    end: () => socket.terminate(),
  };
}

/** The same in a namespace, past the answer and the event `auth`. */
async function joined(name = '') {
  const it = await session();
  it.send(`40${name}`);
  assert.match(await it.next(), new RegExp(`^40${name}\\{"sid":"[^"]{20}"`));
  assert.match(await it.next(), new RegExp(`^42${name}\\["auth",\\{\\}\\]$`));
  return it;
}

describe('namespaces', () => {
  test('the main one, with and without a payload', async () => {
    const bare = await joined();
    bare.end();
    const it = await session();
    it.send('40{"token":"123"}');
    assert.match(await it.next(), /^40\{"sid":"/);
    assert.equal(await it.next(), '42["auth",{"token":"123"}]');
    it.end();
  });

  test('another one, with and without a payload', async () => {
    const bare = await joined('/custom,');
    bare.end();
    const it = await session();
    it.send('40/custom,{"token":"abc"}');
    assert.match(await it.next(), /^40\/custom,\{"sid":"/);
    assert.equal(await it.next(), '42/custom,["auth",{"token":"abc"}]');
    it.end();
  });

  test('two over one connection, with ids of their own', async () => {
    const it = await session();
    it.send('40', '40/custom,');
    const answers = [];
    while (answers.length < 2) {
      const message = await it.next();
      if (message.startsWith('40')) answers.push(JSON.parse(message.slice(message.indexOf('{'))).sid);
    }
    assert.notEqual(answers[0], answers[1]);
    it.end();
  });

  test('one that there is not', async () => {
    const it = await session();
    it.send('40/random');
    assert.equal(await it.next(), '44/random,{"message":"Invalid namespace"}');
    // The connection goes on.
    it.send('40');
    assert.match(await it.next(), /^40\{"sid":"/);
    it.end();
  });

  test('a first packet that is none, or an event before the namespace', async () => {
    for (const first of ['4abc', '42["message"]', '43', '40{"token"']) {
      const it = await session();
      it.send(first);
      await it.closed();
    }
  });

  test('a connection that joins none is closed', async () => {
    const it = await session(hasty);
    await it.closed();
  });

  test('leaving one leaves the others', async () => {
    const it = await joined();
    it.send('40/custom,');
    assert.match(await it.next(), /^40\/custom,/);
    assert.match(await it.next(), /^42\/custom,/);
    it.send('41/custom,', '42["message","still here"]');
    assert.equal(await it.next(), '42["message-back","still here"]');
    it.end();
  });
});

describe('events', () => {
  test('plain', async () => {
    const it = await joined();
    it.send('42["message",1,"2",{"3":[true]}]');
    assert.equal(await it.next(), '42["message-back",1,"2",{"3":[true]}]');
    it.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    assert.equal(await it.next(), '43456[1,"2",{"3":[false]}]');
    it.end();
  });

  test('binary', async () => {
    const it = await joined();
    const placeholder = (num) => `{"_placeholder":true,"num":${num}}`;
    it.send(
      `452-["message",${placeholder(0)},${placeholder(1)}]`,
      Buffer.from([1, 2, 3]),
      Buffer.from([4, 5, 6]),
    );
    assert.equal(await it.next(), `452-["message-back",${placeholder(0)},${placeholder(1)}]`);
    assert.deepEqual([await it.next(), await it.next()], [[1, 2, 3], [4, 5, 6]]);
    it.send(
      `452-789["message-with-ack",${placeholder(0)},${placeholder(1)}]`,
      Buffer.from([1, 2, 3]),
      Buffer.from([4, 5, 6]),
    );
    assert.equal(await it.next(), `462-789[${placeholder(0)},${placeholder(1)}]`);
    assert.deepEqual([await it.next(), await it.next()], [[1, 2, 3], [4, 5, 6]]);
    it.end();
  });

  test('what is malformed ends the connection', async () => {
    for (const [name, ...messages] of [
      ['no array', '42{}'],
      ['no payload', '42'],
      ['a reserved name', '42["connect"]'],
      ['no name', '42[{"a":1}]'],
      ['a broken id', '42abc["message-with-ack"]'],
      ['unknown type', '47["x"]'],
      ['text for binary', '451-["message",{"_placeholder":true,"num":0}]', '42["message"]'],
      ['binary for nothing', Buffer.from([1])],
      ['no count', '45["message",{"_placeholder":true,"num":0}]', Buffer.from([1])],
      ['too many attachments', `4511-["message"${',{"_placeholder":true,"num":0}'.repeat(11)}]`],
      ['a bad placeholder', '451-["message",{"_placeholder":true,"num":"splice"}]', Buffer.from([1])],
      ['a second connect', '40'],
      ['another namespace', '42/custom,["message"]'],
    ]) {
      const it = await joined();
      it.send(...messages);
      await it.closed().catch((error) => assert.fail(`${name}: ${error.message}`));
    }
  });
});

for (const [client, io] of Object.entries(clients)) {
  // The library speaks with version 2 only where it is told to.
  if (client.includes('2.5')) continue;
  for (const [kind, transport] of Object.entries(transports)) {
    test(`${client} and the example, ${kind}`, async () => {
      const dialer = new Dialer(io, calm.http);
      try {
        const auth = { token: 'mine' };
        const socket = dialer.dial('none', { ...transport, auth });
        const said = inbox(socket, 'auth', 'message-back');
        await connected(socket);
        assert.deepEqual((await said.next())[1], auth);
        const args = [1, { bytes: Buffer.from([0, 255]) }, ['x', null]];
        socket.emit('message', ...args);
        assert.deepEqual(plain(await said.next()), ['message-back', ...plain(args)]);
        assert.deepEqual(plain(await ask(socket, 'message-with-ack', args[1])), plain(args[1]));
        const custom = dialer.dial('none', { ...transport, nsp: '/custom' });
        await once(custom, 'auth');
        const nowhere = dialer.dial('none', { ...transport, nsp: '/nowhere' });
        const [error] = await once(nowhere, 'connect_error');
        assert.equal(error.message, 'Invalid namespace');
      } finally {
        dialer.close();
      }
    });
  }
}

test('the example in msgpack', async () => {
  const dialer = new Dialer(clients['socket.io-client 4.8'], calm.http);
  try {
    const socket = dialer.dial('none', { parser: msgpack });
    await connected(socket);
    const args = [1, { bytes: Buffer.from([0, 255]) }];
    assert.deepEqual(plain(await ask(socket, 'message-with-ack', args[1])), plain(args[1]));
  } finally {
    dialer.close();
  }
});
