// npm `eventsource`, and curl: the event stream door to clients that are no browser.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { publish, startProxy } from '../proxy.mjs';
import { startServer } from '../server.mjs';

let server;
let proxy;
before(async () => {
  server = await startServer('--sse-retry', '50ms', '--sse-gzip', 'shared');
  proxy = await startProxy(server.port);
});
after(async () => {
  await proxy?.stop();
  assert.equal(await server?.stop(), 0, server?.output());
});

/** Waits until a condition holds. */
async function until(condition) {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 1000) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('it resumes by the last id over cuts', async () => {
  const source = new EventSource(`http://127.0.0.1:${proxy.port}/sse/node`);
  const heard = [];
  let joined = 0;
  source.addEventListener('joined', () => (joined += 1));
  source.onmessage = (event) => heard.push(event.data);
  await until(() => joined > 0);
  const sent = [];
  for (let number = 0; number < 200; number += 1) {
    sent.push(`message ${number}`);
    await publish(server, 'node', sent.at(-1));
    if (number % 50 === 25) proxy.cut();
  }
  await until(() => heard.length >= sent.length);
  source.close();
  assert.deepEqual(heard, sent);
  assert.ok(joined > 1);
});

test('a member leaves by event stream and comes back by WebSocket', async () => {
  const source = new EventSource(`${server.http}/sse/move`);
  let last;
  source.onmessage = (event) => (last = event.lastEventId);
  await once(source, 'joined');
  await publish(server, 'move', 'one');
  await until(() => last);
  source.close();
  await publish(server, 'move', 'two');
  await publish(server, 'move', 'three');
  const socket = new WebSocket(`${server.ws}/ws/move?since=${last}`);
  const heard = [];
  socket.on('message', (data) => heard.push(data.toString()));
  await once(socket, 'open');
  await publish(server, 'move', 'four');
  await until(() => heard.length === 3);
  assert.deepEqual(heard, ['two', 'three', 'four']);
  socket.terminate();
});

test('curl reads a stream, and publishes', async () => {
  for (const more of [[], ['--compressed']]) {
    const curl = spawn('curl', ['-sN', ...more, `${server.http}/sse/curl`]);
    let text = '';
    curl.stdout.setEncoding('utf8').on('data', (chunk) => (text += chunk));
    await until(() => text.includes('event: joined'));
    const post = ['-s', `${server.http}/rooms/curl/messages`, '-H', 'content-type: text/plain'];
    const { stdout } = await promisify(execFile)('curl', [...post, '-d', 'from curl']);
    assert.equal(JSON.parse(stdout).receivers, 1);
    await until(() => text.includes('data: from curl\n\n'));
    curl.kill();
    await once(curl, 'close');
  }
});

test('a foreign page may neither read nor publish', async () => {
  const headers = { origin: 'https://evil.example', 'content-type': 'text/plain' };
  const stream = await fetch(`${server.http}/sse/tea`, { headers });
  assert.equal(stream.status, 403);
  const post = await fetch(`${server.http}/rooms/tea/messages`, { method: 'POST', headers, body: 'x' });
  assert.equal(post.status, 403);
  for (const method of ['POST', 'PUT', 'DELETE']) {
    assert.equal((await fetch(`${server.http}/sse/tea`, { method })).status, 405, method);
  }
});
