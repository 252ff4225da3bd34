// Clients of Socket.IO, unmodified and our own, at the door of `parlor serve`.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { startServer } from '../server.mjs';
import { Dialer, clients, transports } from '../socketio/clients.mjs';
import { ask, connected, inbox, once, plain, until } from '../socketio/peer.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(async () => {
  assert.equal(await server?.stop(), 0, server?.output());
});

const ID = /^[0-9a-f]+-\d+$/;
const ids = (members) => members.map(({ id }) => id).sort();

for (const [client, io] of Object.entries(clients)) {
  for (const [kind, transport] of Object.entries(transports)) {
    describe(`${client}, ${kind}`, () => {
      // A room of its own for each run.
      const room = `${client} ${kind}`.replace(/[^a-z0-9]/g, '-');
      let dialer;
      before(() => (dialer = new Dialer(io, server.http)));
      afterEach(() => dialer.close());
      const pair = () => connected(...[1, 2].map(() => dialer.dial(room, transport)));

      test('events with arguments and binary', async () => {
        const [ann, bo] = await pair();
        const [own, other] = [inbox(ann, 'greet'), inbox(bo, 'greet')];
        const bytes = Buffer.from([0, 1, 30, 255]);
        for (const args of [
          [],
          [1, 'two \u2028 \x1e "\\ \u{1f600}', null, true, 1.5],
          [{ deep: [{ bytes, list: [bytes, 'x'] }] }, bytes],
          [{ _placeholder: true, num: 0 }],
          [Buffer.alloc(0)],
        ]) {
          ann.emit('greet', ...args);
          const [, ...heard] = plain(await other.next());
          assert.deepEqual(heard.slice(0, args.length), plain(args));
        }
        // Other events than `message` do not come back to their sender.
        ann.emit('message', 'done');
        await once(ann, 'message');
        assert.equal(own.unread, 0);
      });

      test('a message comes back to its sender, and its acknowledgement is its id', async () => {
        const [ann, bo] = await pair();
        const [own, other] = [inbox(ann, 'message'), inbox(bo, 'message')];
        const { id } = await ask(ann, 'message', 'Hello');
        assert.match(id, ID);
        for (const heard of [await own.next(), await other.next()]) {
          assert.deepEqual(heard.slice(0, 2), ['message', 'Hello']);
        }
        ann.send({ n: 1 });
        assert.deepEqual((await other.next())[1], { n: 1 });
        const next = await ask(bo, 'score', 3);
        assert.match(next.id, ID);
      });

      test('rooms: join, leave, to', async () => {
        const [ann, bo] = await pair();
        const cy = dialer.dial(`${room}-cy`, transport);
        await connected(cy);
        const tea = `${room}-tea`;
        assert.deepEqual(ids(await ask(ann, 'join', tea)), [ann.id]);
        const members = ids(await ask(bo, 'join', tea));
        assert.equal(members.length, 2);
        assert.ok(members.includes(bo.id));
        if (!client.includes('2.5')) assert.ok(members.includes(ann.id));
        const heard = inbox(cy, 'news', 'message');
        const bos = inbox(bo, 'news', 'message');
        await ask(ann, 'to', `${room}-cy`, 'news', 1, Buffer.from([7]));
        assert.deepEqual(plain(await heard.next()).slice(0, 3), ['news', 1, { bytes: [7] }]);
        await ask(ann, 'to', tea, 'news', 2);
        assert.deepEqual((await bos.next()).slice(0, 2), ['news', 2]);
        // Both are in two rooms together: a message is heard once.
        ann.emit('message', 'once');
        assert.deepEqual((await bos.next()).slice(0, 2), ['message', 'once']);
        // The ids that clients of version 2 know are those of their transport, which are secret.
        const bosId = client.includes('2.5') ? room : bo.id;
        ann.emit('to', bosId, 'news', 'for Bo');
        assert.deepEqual((await bos.next()).slice(0, 2), ['news', 'for Bo']);
        await ask(bo, 'leave', tea);
        await ask(ann, 'to', tea, 'news', 'not for Bo');
        await ask(ann, 'to', bosId, 'news', 'last');
        assert.deepEqual((await bos.next()).slice(0, 2), ['news', 'last']);
        assert.equal(heard.unread, 0);
      });

      test('namespaces are apart', async () => {
        const main = dialer.dial(room, transport);
        const [one, two] = [1, 2].map(() => dialer.dial(room, { ...transport, nsp: '/chat' }));
        await connected(main, one, two);
        const [mains, twos] = [inbox(main, 'message'), inbox(two, 'message')];
        await ask(one, 'message', 'in the chat');
        assert.deepEqual((await twos.next()).slice(0, 2), ['message', 'in the chat']);
        await ask(main, 'message', 'in the main one');
        assert.deepEqual((await mains.next()).slice(0, 2), ['message', 'in the main one']);
        assert.equal(twos.unread + mains.unread, 0);
      });

      test('long messages, and one that is too long', async () => {
        const [ann, bo] = await pair();
        // Base64 makes three bytes four.
        const size = ann.io.engine.transport.name === 'polling' && kind !== 'upgrade' ? 700_000 : 999_000;
        if (kind === 'upgrade') {
          await until(() => ann.io.engine.transport.name === 'websocket', 'upgraded');
        }
        const big = Buffer.alloc(size, 'parlor');
        const heard = inbox(bo, 'big', 'message');
        ann.emit('big', big);
        const [, bytes] = await heard.next();
        assert.ok(Buffer.from(bytes).equals(big));
        const lost = once(ann, 'disconnect');
        ann.emit('big', Buffer.alloc(1_400_000));
        assert.match((await lost)[0], /^transport (close|error)$/);
        await connected(ann);
        await ask(ann, 'message', 'back');
        assert.equal((await heard.next())[1], 'back');
        assert.equal(bo.connected, true);
      });

      test('much at once arrives once each and in order', async () => {
        const [ann, bo] = await pair();
        const heard = inbox(bo, 'n');
        const count = 400;
        for (let n = 0; n < count; n += 1) ann.emit('n', n, n % 7 ? 'text' : Buffer.from([n % 256]));
        for (let n = 0; n < count; n += 1) {
          const [, number, data] = await heard.next();
          assert.deepEqual([number, plain(data)], [n, n % 7 ? 'text' : { bytes: [n % 256] }]);
        }
      });

      test('leaves for good', async () => {
        const [ann, bo] = await pair();
        const { id } = bo;
        const count = async () => ids(await ask(ann, 'join', room)).length;
        await until(async () => (await count()) === 2, 'both are there');
        bo.disconnect();
        await until(async () => (await count()) === 1, 'Bo is gone');
        bo.connect();
        await connected(bo);
        assert.notEqual(bo.id, id);
      });
    });
  }
}
