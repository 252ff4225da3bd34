// Clients with the parser for msgpack, in a room with others.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { Dialer, clients, msgpack, transports } from '../socketio/clients.mjs';
import { ask, connected, inbox, plain } from '../socketio/peer.mjs';
import { open } from './client.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(async () => {
  assert.equal(await server?.stop(), 0, server?.output());
});

for (const [kind, transport] of Object.entries(transports)) {
  test(`packets of msgpack and of JSON meet, ${kind}`, async () => {
    const dialer = new Dialer(clients['socket.io-client 4.8'], server.http);
    const room = `msgpack-${kind.replace(/\W/g, '-')}`;
    const [ann, bo, cy] = await connected(
      dialer.dial(room, { ...transport, parser: msgpack }),
      dialer.dial(room, { ...transport, parser: msgpack }),
      dialer.dial(room, transport),
    );
    const raw = await open(`${server.ws}/ws/${room}`);
    const boxes = [ann, bo, cy].map((socket) => inbox(socket, 'mixed', 'message'));
    const bytes = Buffer.from([0, 255]);
    const args = [1, -1.5, 2 ** 40, 'text', null, [true, { bytes, deep: [bytes] }]];
    for (const speaker of [ann, cy]) {
      assert.match((await ask(speaker, 'mixed', ...args)).id, /^[0-9a-f]+-\d+$/);
      for (const [at, hearer] of [ann, bo, cy].entries()) {
        if (hearer === speaker) continue;
        const heard = plain(await boxes[at].next());
        assert.deepEqual(heard.slice(0, 1 + args.length), ['mixed', ...plain(args)]);
      }
    }
    raw.send(bytes);
    for (const box of boxes) {
      assert.deepEqual(plain(await box.next()).slice(0, 2), ['message', { bytes: [0, 255] }]);
    }
    ann.emit('message', bytes);
    assert.deepEqual([...(await raw.next())], [0, 255]);
    const chat = dialer.dial(room, { ...transport, parser: msgpack, nsp: '/chat' });
    await connected(chat);
    assert.equal((await ask(chat, 'join', 'tea')).length, 1);
    await raw.close();
    dialer.close();
  });
}
