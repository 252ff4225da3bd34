// Whether `recovered` tells the truth: cuts at any moment under traffic, servers that are killed,
// sessions that are over, other parsers.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startProxy } from '../proxy.mjs';
import { startServer } from '../server.mjs';
import { Dialer, clients, msgpack, transports } from '../socketio/clients.mjs';
import { ask, connected, inbox, once, plain, until } from '../socketio/peer.mjs';

const CUTS = 15;
// A client that is cut while it changes its transport, or between two polls, may notice no sooner
// than a ping is missing, and the server no sooner than its answer is.
const PINGS = ['--socketio-ping-interval', '3s', '--socketio-ping-timeout', '8s'];
const LONG = ['--socketio-recovery', '60s', ...PINGS];
const LATE = ['--socketio-recovery', '1s', ...PINGS];
const recovering = Object.entries(clients).filter(([name]) => /4\.8|own/.test(name));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Plays a scene with a server, a proxy before it, and a dialer whose sockets go through that. */
async function play(io, args, scene) {
  const server = await startServer(...args);
  const proxy = await startProxy(server.port);
  const dialer = new Dialer(io, `http://127.0.0.1:${proxy.port}`);
  const it = {
    server,
    proxy,
    dialer,
    direct: { transports: ['websocket'], url: server.http },
    /** Cuts a socket off, does something, and lets it back. */
    async away(socket, meanwhile) {
      const lost = once(socket, 'disconnect');
      proxy.target = 0;
      proxy.cut();
      await lost;
      await meanwhile();
      const back = once(socket, 'connect');
      proxy.target = it.server.port;
      await back;
    },
  };
  try {
    await scene(it);
  } finally {
    dialer.close();
    await proxy.stop();
    assert.equal(await it.server.stop(), 0, it.server.output());
  }
}

for (const [client, io] of recovering) {
  for (const [kind, transport] of Object.entries(transports)) {
    describe(`${client}, ${kind}`, () => {
      const scene = (name, args, body) => test(name, () => play(io, args, body));
      scene(`each of many messages is heard once over ${CUTS} cuts at any moment`, LONG, async (it) => {
        const [bo] = await connected(it.dialer.dial('cuts', it.direct));
        const ann = it.dialer.dial('cuts', { ...transport, timeout: 5_000 });
        const heard = [];
        // Where a new session begins something may be missing before it, and nowhere else.
        const gaps = new Set();
        let recovered = 0;
        ann.on('connect', () => (ann.recovered ? (recovered += 1) : gaps.add(heard.length)));
        ann.on('n', (number) => heard.push(number));
        await connected(ann);
        let sent = 0;
        const speaking = setInterval(() => bo.emit('n', (sent += 1)), 4);
        speaking.unref();
        for (let cut = 0; cut < CUTS; cut += 1) {
          const before = heard.length;
          await until(() => ann.connected, 'back');
          // Sometimes as soon as it is back, also while what it missed is on its way. Who has heard
          // nothing has no place to go on from.
          if (cut % 3 === 0) await until(() => heard.length > before, 'something');
          await pause((cut % 4) * 7);
          it.proxy.cut();
          // A client that polls may notice nothing between two polls.
          await pause(5);
        }
        clearInterval(speaking);
        await until(async () => {
          if (heard.at(-1) === sent) return true;
          if (ann.connected) bo.emit('n', (sent += 1));
          await pause(20);
          return false;
        }, 'the last message');
        for (const [at, number] of heard.entries()) {
          if (at === 0) continue;
          const step = number - heard[at - 1];
          assert.ok(gaps.has(at) ? step > 0 : step === 1, `${heard.slice(at - 3, at + 3)} at ${at}`);
        }
        assert.ok(recovered > 0, 'restored at least once');
      });

      scene('servers that are killed begin anew, and say so', LONG, async (it) => {
        const ann = it.dialer.dial('killed', transport);
        await connected(ann);
        const heard = inbox(ann, 'message');
        for (let round = 0; round < 2; round += 1) {
          const [bo] = await connected(it.dialer.dial('killed', { ...it.direct, url: it.server.http }));
          const { id } = ann;
          for (const text of ['one', 'two']) {
            await ask(bo, 'message', `${text} ${round}`);
            assert.equal((await heard.next())[1], `${text} ${round}`);
          }
          bo.disconnect();
          await it.away(ann, async () => {
            process.kill(it.server.pid, 'SIGKILL');
            await it.server.stop();
            it.server = await startServer(...LONG);
            // As many places as the other server had given.
            const [cy] = await connected(it.dialer.dial('killed', { ...it.direct, url: it.server.http }));
            for (let n = 0; n < 4; n += 1) await ask(cy, 'message', 'while she was away');
            cy.disconnect();
          });
          assert.equal(ann.recovered, false);
          assert.notEqual(ann.id, id);
        }
        const [bo] = await connected(it.dialer.dial('killed', { ...it.direct, url: it.server.http }));
        await ask(bo, 'message', 'live');
        assert.equal((await heard.next())[1], 'live');
        assert.equal(heard.unread, 0);
      });

      scene('a session is kept as long as it was said, and no longer', LATE, async (it) => {
        const [ann, bo] = await connected(
          it.dialer.dial('late', transport),
          it.dialer.dial('late', it.direct),
        );
        const heard = inbox(ann, 'message');
        await ask(bo, 'message', 'before');
        assert.equal((await heard.next())[1], 'before');
        const { id } = ann;
        await pause(100);
        const there = async () => (await ask(bo, 'join', 'late')).some((member) => member.id === id);
        await it.away(ann, async () => {
          await until(async () => !(await there()), 'its member is gone');
          await ask(bo, 'message', 'missed');
        });
        assert.equal(ann.recovered, false);
        assert.notEqual(ann.id, id);
        await ask(bo, 'message', 'live');
        assert.equal((await heard.next())[1], 'live');
        assert.equal(heard.unread, 0);
      });

      if (client.includes('own')) return;
      scene('packets of msgpack are missed and had like others', LONG, async (it) => {
        const [ann, bo] = await connected(
          it.dialer.dial('packed', { ...transport, parser: msgpack }),
          it.dialer.dial('packed', it.direct),
        );
        const heard = inbox(ann, 'message');
        await ask(bo, 'message', 'before');
        assert.equal((await heard.next())[1], 'before');
        const { id } = ann;
        await it.away(ann, async () => {
          await ask(bo, 'message', { deep: [Buffer.from([1, 2])] });
          await ask(bo, 'message', 'text', 1.5, null);
        });
        assert.deepEqual([ann.recovered, ann.id], [true, id]);
        assert.deepEqual(plain(await heard.next()).slice(0, 2), ['message', { deep: [{ bytes: [1, 2] }] }]);
        assert.deepEqual((await heard.next()).slice(0, 4), ['message', 'text', 1.5, null]);
        await ask(bo, 'message', 'live');
        assert.equal((await heard.next())[1], 'live');
        assert.equal(heard.unread, 0);
      });
    });
  }
}
