// Clients that go from polling to WebSocket while messages are under way, both ways.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { Dialer, clients } from '../socketio/clients.mjs';
import { connected, until, within } from '../socketio/peer.mjs';

const ROUNDS = 50;

let server;
before(async () => {
  server = await startServer();
});
after(async () => {
  assert.equal(await server?.stop(), 0, server?.output());
});

for (const [client, io] of Object.entries(clients)) {
  test(`${client}: nothing is lost, repeated or reordered over ${ROUNDS} upgrades`, async () => {
    const dialer = new Dialer(io, server.http);
    const room = client.replace(/[^a-z0-9]/g, '-');
    const bo = dialer.dial(room, { transports: ['websocket'] });
    await connected(bo);
    for (let round = 0; round < ROUNDS; round += 1) {
      const ann = dialer.dial(room);
      const heard = { ann: [], bo: [] };
      ann.on('down', (n) => heard.ann.push(n));
      bo.removeAllListeners('up').on('up', (n) => heard.bo.push(n));
      let upgraded = false;
      await connected(ann);
      const upgrade = new Promise((resolve) => {
        ann.io.engine.once('upgrade', () => {
          upgraded = true;
          resolve();
        });
        if (ann.io.engine.transport.name === 'websocket') resolve((upgraded = true));
      });
      let sent = 0;
      // Before, while and after it changes.
      for (let more = 20; more > 0; more -= upgraded ? 1 : 0) {
        ann.emit('up', sent);
        bo.emit('down', sent);
        sent += 1;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await within(upgrade, 'upgrade');
      await until(() => heard.ann.length >= sent && heard.bo.length >= sent, `all ${sent} of round ${round}`);
      const all = Array.from({ length: sent }, (_, n) => n);
      assert.deepEqual(heard.ann, all);
      assert.deepEqual(heard.bo, all);
      ann.disconnect();
    }
    dialer.close();
  });
}
