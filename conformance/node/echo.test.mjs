// The door `/echo`: frames, lengths, fragments, control frames, closing.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { open } from './client.mjs';

let server;
before(async () => {
  server = await startServer('--message-bytes-max', '16MiB');
});
after(async () => {
  assert.equal(await server.stop(), 0, server.output());
});

for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 16 << 20]) {
  test(`text and binary of ${length} bytes come back`, async () => {
    const client = await open(`${server.ws}/echo`, { perMessageDeflate: false });
    const text = 'x'.repeat(length);
    client.send(text);
    assert.ok((await client.next()) === text);
    const bytes = Buffer.alloc(length, Buffer.from([1, 2, 3, 250, 251]));
    client.send(bytes);
    const back = await client.next();
    assert.ok(Buffer.isBuffer(back) && back.equals(bytes));
    await client.close(1000);
  });
}

test('fragments come back as one message, with a ping between them', async () => {
  const client = await open(`${server.ws}/echo`, { perMessageDeflate: false });
  const euro = Buffer.from('€');
  // The character is cut in the middle.
  client.send(Buffer.concat([Buffer.from('a'), euro.subarray(0, 1)]), { binary: false, fin: false });
  client.socket.ping('between');
  client.send(euro.subarray(1, 2), { fin: false });
  client.send(Buffer.alloc(0), { fin: false });
  client.send(euro.subarray(2), { fin: true });
  assert.equal(await client.pong(), 'between');
  assert.equal(await client.next(), 'a€');
  client.send(Buffer.from([1]), { fin: false });
  client.send(Buffer.from([2]), { fin: true });
  assert.deepEqual(await client.next(), Buffer.from([1, 2]));
  await client.close(1000);
});

test('a ping is answered by a pong with its payload; an unasked pong is ignored', async () => {
  const client = await open(`${server.ws}/echo`);
  for (const payload of ['', 'p', 'x'.repeat(125)]) {
    client.socket.ping(payload);
    assert.equal(await client.pong(), payload);
  }
  client.socket.pong('nobody asked');
  client.send('still open');
  assert.equal(await client.next(), 'still open');
  await client.close(1000);
});

test('pings that come together are each answered, in order', async () => {
  const client = await open(`${server.ws}/echo`);
  const payloads = Array.from({ length: 10 }, (_, number) => `payload-${number}`);
  client.socket._socket.cork();
  payloads.forEach((payload) => client.socket.ping(payload));
  client.socket._socket.uncork();
  for (const payload of payloads) {
    assert.equal(await client.pong(), payload);
  }
  await client.close(1000);
});

for (const [code, reason] of [
  [1000, ''],
  [1000, 'done'],
  [1001, 'leaving'],
  [1007, ''],
  [1011, 'r'.repeat(123)],
  [1014, ''],
  [3000, ''],
  [4999, 'private ünd löng'],
]) {
  test(`close ${code} with a reason of ${reason.length} characters is echoed`, async () => {
    const client = await open(`${server.ws}/echo`);
    assert.equal((await client.close(code, reason)).code, code);
  });
}

test('a close without a code is answered without one', async () => {
  const client = await open(`${server.ws}/echo`);
  assert.equal((await client.close()).code, 1005);
});

test('what was sent before the close is answered before it', async () => {
  const client = await open(`${server.ws}/echo`);
  for (let number = 0; number < 100; number += 1) {
    client.send(String(number));
  }
  const closed = client.close(1000);
  for (let number = 0; number < 100; number += 1) {
    assert.equal(await client.next(), String(number));
  }
  assert.equal((await closed).code, 1000);
});

test('a hundred connections echo at once', async () => {
  const clients = await Promise.all(Array.from({ length: 100 }, () => open(`${server.ws}/echo`)));
  for (let round = 0; round < 20; round += 1) {
    clients.forEach((client, index) => client.send(`${index}/${round}`));
  }
  for (const [index, client] of clients.entries()) {
    for (let round = 0; round < 20; round += 1) {
      assert.equal(await client.next(), `${index}/${round}`);
    }
  }
  await Promise.all(clients.map((client) => client.close()));
});
