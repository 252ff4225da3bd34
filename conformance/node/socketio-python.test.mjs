// python-socketio at the door of Socket.IO, in a room with a client of Node.js.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startProxy } from '../proxy.mjs';
import { startServer } from '../server.mjs';
import { Dialer, clients } from '../socketio/clients.mjs';
import { ask, connected, inbox, plain } from '../socketio/peer.mjs';
import { python } from '../socketio/python.mjs';

let server;
let dialer;
before(async () => {
  // Over polling the client notices a cut only when its writing side has waited as long as these say.
  server = await startServer('--socketio-ping-interval', '3s', '--socketio-ping-timeout', '8s');
  dialer = new Dialer(clients['socket.io-client 4.8'], server.http);
});
after(async () => {
  dialer?.close();
  assert.equal(await server?.stop(), 0, server?.output());
});

for (const transports of ['polling', 'websocket', 'polling,websocket']) {
  test(`events, binary, acknowledgements and a cut, ${transports}`, async () => {
    const room = `python-${transports.replace(',', '-')}`;
    const ann = dialer.dial(room);
    await connected(ann);
    const heard = inbox(ann, 'greet', 'message');
    const proxy = await startProxy(server.port);
    const client = python(`http://127.0.0.1:${proxy.port}`, transports, room);
    try {
      const [id] = await client.next('connected');
      client.tell('emit', 'greet', 1, 'two', { deep: [{ base64: 'AAH/' }] }, { base64: 'Hh4=' });
      assert.deepEqual(plain(await heard.next()).slice(0, 5), [
        'greet',
        1,
        'two',
        { deep: [{ bytes: [0, 1, 255] }] },
        { bytes: [30, 30] },
      ]);
      ann.emit('greet', 'back', Buffer.from([7]), [Buffer.from([8])]);
      assert.deepEqual((await client.next('heard')).slice(0, 4), [
        'greet',
        'back',
        { bytes: [7] },
        [{ bytes: [8] }],
      ]);
      client.tell('ask', 'message', 'Hello');
      const [{ id: message }] = await client.next('answer');
      assert.match(message, /^[0-9a-f]+-\d+$/);
      assert.deepEqual((await heard.next()).slice(0, 2), ['message', 'Hello']);
      assert.deepEqual((await client.next('heard')).slice(0, 2), ['message', 'Hello']);
      const members = (await ask(ann, 'join', room)).map((member) => member.id);
      assert.deepEqual(members.sort(), [ann.id, id].sort());
      // Sixteen packets are the most that this client takes in one answer.
      for (let n = 0; n < 100; n += 1) ann.emit('n', n);
      const numbers = [];
      for (let n = 0; n < 100; n += 1) numbers.push((await client.next('heard'))[1]);
      // It hands each event to a thread of its own: their order is the machine's.
      assert.deepEqual(numbers.sort((a, b) => a - b), [...numbers.keys()]);
      // Between two polls a cut goes by unnoticed.
      let lost = false;
      const disconnected = client.next('disconnected').then(() => (lost = true));
      while (!lost) {
        proxy.cut();
        await Promise.race([disconnected, new Promise((resolve) => setTimeout(resolve, 1_000))]);
      }
      await client.next('connected');
      ann.emit('greet', 'again');
      assert.deepEqual((await client.next('heard')).slice(0, 2), ['greet', 'again']);
      assert.equal(await client.end(), 0);
    } finally {
      await client.kill();
      await proxy.stop();
      dialer.close();
    }
  });
}
