// The connection below a socket, as a handler sees it: the example `socketio_chat`, and clients of
// Socket.IO that we did not write.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startExample } from '../examples.mjs';
import { Dialer, clients, transports } from '../socketio/clients.mjs';
import { once, until, within } from '../socketio/peer.mjs';

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
      test('its id and its transport are those of the client', async () => {
        const by = new Dialer(io, server.http);
        try {
          const ann = by.dial(undefined, { nsp: '/chat', auth: { token: 'ann' }, ...options });
          const upgraded = [];
          ann.on('upgraded', (...args) => upgraded.push(args));
          await once(ann, 'connect');
          const how = () => within(new Promise((resolve) => ann.emit('how', (...args) => resolve(args))), 'answer');
          const name = transport === 'polling only' ? 'polling' : 'websocket';
          await until(async () => (await how())[1] === name, `over ${name}`);
          assert.deepEqual(await how(), [ann.io.engine.id, name]);
          // A session that has gone on before its socket was there tells nothing.
          assert.ok(upgraded.length <= (transport === 'upgrade' ? 1 : 0));
          for (const args of upgraded) assert.deepEqual(args, ['websocket']);
        } finally {
          by.close();
        }
      });
    });
  }
}
