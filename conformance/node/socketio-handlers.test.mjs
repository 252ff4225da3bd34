// A server with handlers, the example `socketio_chat`, and clients of Socket.IO that we did not
// write: who may come in, acknowledgements that the server asks for, a middleware for events,
// volatile events under a transport that stands still.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startExample } from '../examples.mjs';
import { startProxy } from '../proxy.mjs';
import { Dialer, clients, transports } from '../socketio/clients.mjs';
import { inbox, once, until, within } from '../socketio/peer.mjs';

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

      test('rooms, and who is left out of them', async () => {
        const by = dialer();
        try {
          const [ann, bo, cy] = ['ann', 'bo', 'bo'].map((token) => dial(by, token));
          await Promise.all([ann, bo, cy].map((socket) => once(socket, 'connect')));
          const boxes = [ann, bo, cy].map((socket) => inbox(socket, 'said'));
          // Who is answered is in the room, and heard by those who were in it before.
          for (const socket of [ann, bo, cy]) {
            await within(new Promise((resolve) => socket.emit('say', 'here', resolve)), 'acknowledgement');
          }
          const next = async (box) => {
            const heard = await box.next();
            return heard[2] === 'here' ? next(box) : heard.slice(1);
          };
          // The room of a socket's own is its id.
          ann.emit('say-without', bo.id, 'not for Bo');
          ann.emit('say-without', 'nobody', 'for both');
          assert.deepEqual(await next(boxes[2]), ['ann', 'not for Bo']);
          for (const box of boxes.slice(1)) assert.deepEqual(await next(box), ['ann', 'for both']);
          bo.emit('say', 'last');
          assert.deepEqual(await next(boxes[0]), ['bo', 'last']);
        } finally {
          by.close();
        }
      });

      // Clients have it from version 4.4.
      if (!client.includes(' 3.')) {
        test('an acknowledgement that does not come has its time', async () => {
          const by = dialer();
          try {
            const ann = dial(by, 'ann');
            await once(ann, 'connect');
            const asked = new Promise((resolve) => ann.timeout(50).emit('nobody hears this', resolve));
            assert.match((await within(asked, 'end of the time')).message, /timed out/);
            const late = ann.timeout(20_000).emitWithAck('say', 'still there');
            assert.equal(await within(late, 'acknowledgement'), 'sent');
          } finally {
            by.close();
          }
        });
      }

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

for (const [transport, options] of Object.entries(transports)) {
  test(`volatile events pass by a transport that stands still, ${transport}`, async () => {
    const proxy = await startProxy(new URL(server.http).port);
    const by = new Dialer(clients['socket.io-client 4.8'], server.http);
    try {
      const dial = (token, more) => by.dial(undefined, { nsp: '/chat', auth: { token }, ...more });
      const ann = dial('ann', { ...options, url: `http://127.0.0.1:${proxy.port}` });
      const bo = dial('bo', { transports: ['websocket'] });
      await Promise.all([once(ann, 'connect'), once(bo, 'connect')]);
      if (transport === 'upgrade') {
        await until(() => ann.io.engine.transport.name === 'websocket', 'upgraded');
      }
      await new Promise((resolve) => bo.emit('say', 'here', resolve));
      const frames = [];
      ann.on('frame', (number) => frames.push(number));
      // 32 MiB that nobody reads, where 1 MiB may wait.
      const done = new Promise((resolve) => ann.emit('flood', 2000, resolve));
      // Handled behind the flood, so that Bo tells when that is over.
      ann.emit('say', 'over');
      const over = once(bo, 'said');
      proxy.hold();
      await over;
      proxy.release();
      assert.equal(await within(done, 'the end of the flood'), 2000);
      assert.ok(frames.length < 2000, `${frames.length} of 2000 came`);
      // The one that a poll was waiting for at least; there may have been none between two polls.
      assert.ok(frames.length > 0 || transport === 'polling only', 'none came');
      assert.ok(frames.every((number, at) => at === 0 || number > frames[at - 1]), 'in order');
      assert.equal(ann.connected, true);
    } finally {
      by.close();
      await proxy.stop();
    }
  });
}
