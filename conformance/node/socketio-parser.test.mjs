// A parser of one's own: the example `socketio_parser`, which writes text backwards, and npm
// socket.io-client with the same.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { startExample } from '../examples.mjs';
import { Dialer, clients, transports } from '../socketio/clients.mjs';
import { inbox, once, plain, within } from '../socketio/peer.mjs';

// The one that the client itself has.
const client = createRequire(import.meta.url).resolve('socket.io-client');
const usual = createRequire(client)('socket.io-parser');

const reversed = (text) => [...text].reverse().join('');
const turn = (message) => (typeof message === 'string' ? reversed(message) : message);

const backwards = {
  Encoder: class extends usual.Encoder {
    encode(packet) {
      return super.encode(packet).map(turn);
    }
  },
  Decoder: class extends usual.Decoder {
    add(message) {
      super.add(turn(message));
    }
  },
};

let server;
before(async () => {
  server = await startExample('socketio_parser');
});
after(async () => {
  assert.equal(await server.stop(), 0);
});

for (const [transport, options] of Object.entries(transports)) {
  describe(transport, () => {
    const io = clients['socket.io-client 4.8'];
    const dial = (by, parser) => by.dial(undefined, { parser, ...options });

    test('events, acknowledgements and binary data both ways', async () => {
      const by = new Dialer(io, server.http);
      try {
        const all = [dial(by, backwards), dial(by, backwards), dial(by, backwards)];
        await Promise.all(all.map((socket) => once(socket, 'connect')));
        const [ann, ...others] = all;
        const inboxes = others.map((socket) => inbox(socket, 'message'));
        const rows = [['tea'], [{ größe: [1, null, '日本'] }, 2], [Buffer.from([0, 255]), 'x']];
        for (const args of rows) {
          const answer = await within(
            new Promise((resolve) => ann.emit('message', ...args, (...back) => resolve(back))),
            'acknowledgement',
          );
          assert.deepEqual(plain(answer), plain(args));
          for (const heard of inboxes) {
            assert.deepEqual(plain(await heard.next()), ['message', ...plain(args)]);
          }
        }
      } finally {
        by.close();
      }
    });

    test('a namespace that there is not', async () => {
      const by = new Dialer(io, server.http);
      try {
        const refused = by.dial(undefined, { nsp: '/none', parser: backwards, ...options });
        const [error] = await once(refused, 'connect_error');
        assert.equal(error.message, 'Invalid namespace');
      } finally {
        by.close();
      }
    });

    test('a client with another parser is cut, and nobody else', async () => {
      const by = new Dialer(io, server.http);
      try {
        const good = dial(by, backwards);
        await once(good, 'connect');
        const other = by.dial(undefined, { auth: { a: 1 }, reconnection: false, ...options });
        const [why] = await once(other.io, 'close');
        assert.match(why, /transport close|transport error|forced close/);
        assert.equal(other.connected, false);
        const answer = await within(
          new Promise((resolve) => good.emit('message', 'still here', resolve)),
          'acknowledgement',
        );
        assert.equal(answer, 'still here');
      } finally {
        by.close();
      }
    });
  });
}
