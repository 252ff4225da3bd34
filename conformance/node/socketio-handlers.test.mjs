// A server with handlers, the example `socketio_chat`, and clients of Socket.IO that we did not
// write: who may come in, acknowledgements that the server asks for, a middleware for events,
// volatile events under a transport that stands still.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startExample } from '../examples.mjs';
import { Dialer, clients, transports } from '../socketio/clients.mjs';
import { inbox, once, within } from '../socketio/peer.mjs';

let server;
before(async () => {
  server = await startExample('socketio_chat');
});
after(async () => {
  assert.equal(await server.stop(), 0);
});

for (const [client, io] of Object.entries(clients)) {
  // Clients of version 2 have no `auth`.
  if (client.includes(' 2.')) continue;
  for (const [transport, options] of Object.entries(transports)) {
    describe(`${client}, ${transport}`, () => {
      const dialer = () => new Dialer(io, server.http);
      const dial = (by, token) => by.dial(undefined, { nsp: '/chat', auth: { token }, ...options });

      test('who has no token is refused with the data of the middleware', async () => {
        const by = dialer();
        try {
          const refused = dial(by, 'nobody');
          const [error] = await once(refused, 'connect_error');
          assert.equal(error.message, 'not authorized');
          assert.deepEqual(error.data, { code: 401 });
          assert.equal(refused.connected, false);
          // The same connection may try again with another token.
          refused.auth = { token: 'ann' };
          const connected = once(refused, 'connect');
          refused.connect();
          await connected;
        } finally {
          by.close();
        }
      });

      test('acknowledgements both ways, and those that do not come', async () => {
        const by = dialer();
        try {
          const [ann, bo] = [dial(by, 'ann'), dial(by, 'bo')];
          await Promise.all([once(ann, 'connect'), once(bo, 'connect')]);
          // Events of one socket are handled in order: both are in the room when this is answered.
          const ask = (socket, ...args) =>
            within(new Promise((resolve) => socket.emit(...args, resolve)), 'acknowledgement');
          const heard = inbox(bo, 'said');
          assert.equal(await ask(bo, 'say', 'first'), 'sent');
          assert.equal(await ask(ann, 'say', 'hello'), 'sent');
          assert.deepEqual(await heard.next(), ['said', 'ann', 'hello']);

          ann.emit('ask-me', 50);
          const [why] = await once(ann, 'unanswered');
          assert.match(why, /time/);
          const add = (a, b, answer) => answer(a + b);
          ann.on('question', add);
          ann.emit('ask-me', 20_000);
          assert.deepEqual(await once(ann, 'answered'), [42]);

          // The others are asked: Bo does not answer, then does.
          assert.deepEqual(await ask(ann, 'ask-all', 200), [0, 1]);
          bo.on('question', add);
          assert.deepEqual(await ask(ann, 'ask-all', 20_000), [1, 0]);
        } finally {
          by.close();
        }
      });

      test('an event that the middleware refuses is not handled', async () => {
        const by = dialer();
        try {
          const ann = dial(by, 'ann');
          await once(ann, 'connect');
          ann.emit('forbidden', 1);
          assert.deepEqual(await once(ann, 'failed'), ['that is forbidden']);
        } finally {
          by.close();
        }
      });
    });
  }
}

test('volatile events pass by a client that does not read', async () => {
  const by = new Dialer(clients['socket.io-client 4.8'], server.http);
  try {
    const dial = (token) =>
      by.dial(undefined, { nsp: '/chat', auth: { token }, transports: ['websocket'] });
    const [ann, bo] = [dial('ann'), dial('bo')];
    await Promise.all([once(ann, 'connect'), once(bo, 'connect')]);
    await new Promise((resolve) => bo.emit('say', 'here', resolve));
    const frames = [];
    ann.on('frame', (number) => frames.push(number));
    const done = new Promise((resolve) => ann.emit('flood', 4000, resolve));
    // Handled behind the flood, so that Bo tells when that is over.
    ann.emit('say', 'over');
    const over = once(bo, 'said');
    const wire = ann.io.engine.transport.ws._socket;
    wire.pause();
    // 64 MiB that nobody reads, where 1 MiB may wait.
    await over;
    wire.resume();
    assert.equal(await within(done, 'the end of the flood'), 4000);
    assert.ok(frames.length > 0 && frames.length < 4000, `${frames.length} of 4000 came`);
    assert.ok(frames.every((number, at) => at === 0 || number > frames[at - 1]), 'in order');
    assert.equal(ann.connected, true);
  } finally {
    by.close();
  }
});
