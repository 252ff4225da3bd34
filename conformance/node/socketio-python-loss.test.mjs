// python-socketio when its server stands still, and when it is killed and another one takes its
// place: it comes back, and hears what is said from then on once.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startProxy } from '../proxy.mjs';
import { startServer } from '../server.mjs';
import { Dialer, clients } from '../socketio/clients.mjs';
import { connected, inbox } from '../socketio/peer.mjs';
import { python } from '../socketio/python.mjs';

const ARGS = [
  ...['--socketio-ping-interval', '1s', '--socketio-ping-timeout', '3s'],
  ...['--socketio-recovery', '60s'],
];
const COUNT = 20;

/** Has a client of Node.js say numbers in the room, which Python hears once each. */
async function speak(server, client, about) {
  const dialer = new Dialer(clients['socket.io-client 4.8'], server.http);
  try {
    const ann = dialer.dial('lost', { transports: ['websocket'] });
    await connected(ann);
    for (let n = 0; n < COUNT; n += 1) ann.emit('said', about, n);
    const numbers = [];
    for (let n = 0; n < COUNT; n += 1) {
      // With recovery the place of a message is one more argument.
      const [name, what, number] = await client.next('heard');
      assert.deepEqual([name, what], ['said', about]);
      numbers.push(number);
    }
    // Each event is handed to a thread of its own there, so in any order.
    assert.deepEqual(numbers.sort((a, b) => a - b), [...numbers.keys()]);
    // And the other way. What it has said before is not said again.
    const heard = inbox(ann, 'answer');
    client.tell('emit', 'answer', about);
    assert.deepEqual((await heard.next()).slice(0, 2), ['answer', about]);
    client.tell('emit', 'answer', 'the end');
    assert.deepEqual((await heard.next()).slice(0, 2), ['answer', 'the end']);
  } finally {
    dialer.close();
  }
}

async function scenario(transports) {
  const servers = [await startServer(...ARGS)];
  const proxy = await startProxy(servers[0].port);
  const client = python(`http://127.0.0.1:${proxy.port}`, transports, 'lost');
  const ids = new Set();
  let stopped = false;
  const signal = (name) => {
    process.kill(servers[0].pid, name);
    stopped = name === 'SIGSTOP';
  };
  try {
    ids.add((await client.next('connected'))[0]);
    await speak(servers[0], client, 'at first');

    // The way to the server stands still.
    proxy.freeze();
    await client.next('disconnected');
    proxy.thaw();
    ids.add((await client.next('connected'))[0]);
    await speak(servers[0], client, 'after a frozen line');

    // The server itself does.
    signal('SIGSTOP');
    await client.next('disconnected');
    signal('SIGCONT');
    ids.add((await client.next('connected'))[0]);
    await speak(servers[0], client, 'after a frozen server');

    // It is killed, and another one comes.
    const lost = client.next('disconnected');
    signal('SIGKILL');
    await lost;
    servers.push(await startServer(...ARGS));
    proxy.target = servers[1].port;
    ids.add((await client.next('connected'))[0]);
    await speak(servers[1], client, 'after a restart');

    assert.equal(ids.size, 4);
    assert.equal(await client.end(), 0);
    assert.equal(client.unread('heard'), 0);
    assert.equal(client.unread('connected'), 0);
  } finally {
    await client.kill();
    await proxy.stop();
    if (stopped) signal('SIGCONT');
    for (const server of servers) await server.stop();
  }
}

describe('python-socketio', { concurrency: true }, () => {
  for (const transports of ['polling', 'websocket', 'polling,websocket']) {
    test(`a freeze and a server that is killed, ${transports}`, () => scenario(transports));
  }
});
