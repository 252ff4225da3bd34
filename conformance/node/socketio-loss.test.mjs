// Clients of Socket.IO that lose their connection: cuts, a freeze, a restart, recovery, gaps.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { publish, startProxy } from '../proxy.mjs';
import { startServer } from '../server.mjs';
import { Dialer, clients, transports } from '../socketio/clients.mjs';
import { ask, connected, inbox, once, plain, until } from '../socketio/peer.mjs';

// A client that is cut while it changes its transport may notice no sooner than a ping is missing.
const RECOVERY = [
  ...['--socketio-recovery', '60s'],
  ...['--socketio-ping-interval', '3s', '--socketio-ping-timeout', '8s'],
];
/** More than a session keeps. */
const MANY = 1_100;
const LOST = /^(transport (close|error)|ping timeout)$/;

for (const [client, io] of Object.entries(clients)) {
  // Recovery came with version 4.6.
  const recovers = /4\.8|own/.test(client);
  for (const [kind, transport] of Object.entries(transports)) {
    describe(`${client}, ${kind}`, () => {
      let server;
      let proxy;
      let dialer;
      before(async () => {
        server = await startServer(...RECOVERY);
        proxy = await startProxy(server.port);
        dialer = new Dialer(io, `http://127.0.0.1:${proxy.port}`);
      });
      afterEach(() => dialer.close());
      after(async () => {
        await proxy.stop();
        assert.equal(await server.stop(), 0, server.output());
      });

      /** Cuts everybody off, does something, and lets them back. */
      async function away(socket, meanwhile) {
        const lost = once(socket, 'disconnect');
        proxy.target = 0;
        proxy.cut();
        const [reason] = await lost;
        assert.match(reason, LOST);
        await meanwhile();
        const back = once(socket, 'connect');
        proxy.target = server.port;
        await back;
      }

      test('comes back after a cut, and says what waited', async () => {
        const room = 'cut';
        const [ann, bo] = await connected(
          dialer.dial(room, transport),
          dialer.dial(room, { ...transport, url: server.http }),
        );
        const heard = inbox(bo, 'message');
        await away(ann, () => ann.emit('message', 'waited'));
        assert.equal((await heard.next())[1], 'waited');
      });

      const recovery = async () => {
        const room = 'missed';
        const [ann, bo] = await connected(
          dialer.dial(room, transport),
          dialer.dial(room, { ...transport, url: server.http }),
        );
        const heard = inbox(ann, 'message', 'score');
        await ask(bo, 'message', 'before');
        assert.equal((await heard.next())[1], 'before');
        await ask(ann, 'join', 'missed-too');
        const { id } = ann;
        for (let round = 0; round < 3; round += 1) {
          await away(ann, async () => {
            await ask(bo, 'message', `one ${round}`);
            await ask(bo, 'score', round, { bytes: Buffer.from([round]) });
            await ask(bo, 'to', 'missed-too', 'message', 'in the other room');
            await publish(server, room, 'by POST');
          });
          assert.deepEqual([ann.recovered, ann.id], [true, id]);
          assert.deepEqual((await heard.next()).slice(0, 2), ['message', `one ${round}`]);
          assert.deepEqual(plain(await heard.next()).slice(0, 3), ['score', round, { bytes: { bytes: [round] } }]);
          assert.deepEqual((await heard.next()).slice(0, 2), ['message', 'in the other room']);
          assert.deepEqual((await heard.next()).slice(0, 2), ['message', 'by POST']);
          await ask(bo, 'message', `live ${round}`);
          assert.deepEqual((await heard.next()).slice(0, 2), ['message', `live ${round}`]);
        }
        assert.equal(heard.unread, 0);
      };
      const gap = async () => {
        const room = 'gap';
        const [ann, bo] = await connected(
          dialer.dial(room, transport),
          dialer.dial(room, { ...transport, url: server.http }),
        );
        const heard = inbox(ann, 'message');
        await ask(bo, 'message', 'before');
        assert.equal((await heard.next())[1], 'before');
        const { id } = ann;
        await away(ann, async () => {
          for (let n = 0; n < MANY; n += 1) bo.emit('n', n);
          await ask(bo, 'message', 'the last that is missed');
        });
        assert.equal(ann.recovered, false);
        assert.notEqual(ann.id, id);
        await ask(bo, 'message', 'live');
        assert.equal((await heard.next())[1], 'live');
      };
      if (recovers) {
        test('recovers what it missed, once each, binary too', recovery);
        test('is told where something is missing', gap);
      }

      const freeze = async () => {
        const pings = ['--socketio-ping-interval', '1s', '--socketio-ping-timeout', '3s'];
        const quick = await startServer(...pings, ...(recovers ? ['--socketio-recovery', '60s'] : []));
        const between = await startProxy(quick.port);
        const [ann, bo] = await connected(
          dialer.dial('frozen', { ...transport, url: `http://127.0.0.1:${between.port}` }),
          dialer.dial('frozen', { ...transport, url: quick.http }),
        );
        const [own, heard] = [inbox(ann, 'message'), inbox(bo, 'message')];
        await ask(bo, 'message', 'before');
        for (const box of [own, heard]) assert.equal((await box.next())[1], 'before');
        const lost = once(ann, 'disconnect');
        const back = lost.then(() => once(ann, 'connect'));
        between.freeze();
        await ask(bo, 'message', 'missed');
        assert.match((await lost)[0], LOST);
        between.thaw();
        await back;
        assert.equal((await heard.next())[1], 'missed');
        assert.equal(Boolean(ann.recovered), recovers);
        if (recovers) assert.equal((await own.next())[1], 'missed');
        ann.emit('message', 'back');
        for (const box of [own, heard]) assert.equal((await box.next())[1], 'back');
        assert.equal(own.unread + heard.unread, 0);
        dialer.close();
        await between.stop();
        assert.equal(await quick.stop(), 0, quick.output());
      };
      // It takes its time, and the clients that we did not write are the same over polling.
      if (kind === 'WebSocket only' || /own|4\.8/.test(client)) {
        test('leaves a connection that has frozen, and comes back', freeze);
      }

      test('a restart is a new session, and says so', async () => {
        const ann = dialer.dial('restart', transport);
        await connected(ann);
        const { id } = ann;
        await ask(ann, 'message', 'before');
        await away(ann, async () => {
          assert.equal(await server.stop(), 0, server.output());
          server = await startServer(...RECOVERY);
        });
        assert.notEqual(ann.id, id);
        assert.ok(!ann.recovered);
      });
    });
  }
}
