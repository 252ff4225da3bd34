// Limits and violations, seen from a client: the close code of each.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { open } from './client.mjs';

const BYTES = 64 * 1024;
const FRAGMENTS = 16;

let server;
before(async () => {
  server = await startServer(
    ...['--message-bytes-max', '64KiB', '--message-fragments-max', String(FRAGMENTS)],
  );
});
after(async () => {
  assert.equal(await server.stop(), 0, server.output());
});

const plain = { perMessageDeflate: false };

/** Opens /echo, lets `act` do something wrong, and gives the close code. */
async function closeCode(act) {
  const client = await open(`${server.ws}/echo`, plain);
  act(client);
  return (await client.closed()).code;
}

/** Bytes on the wire as they are, past the client library. */
function raw(client, ...bytes) {
  client.socket._socket.write(Buffer.from(bytes));
}

test('a message at the limit passes, one byte more is closed with 1009', async () => {
  const client = await open(`${server.ws}/echo`, plain);
  client.send(Buffer.alloc(BYTES));
  assert.equal((await client.next()).length, BYTES);
  client.send(Buffer.alloc(BYTES + 1));
  assert.equal((await client.closed()).code, 1009);
});

test('the limit counts all fragments of a message: 1009', async () => {
  const code = await closeCode((client) => {
    client.send(Buffer.alloc(BYTES / 2), { fin: false });
    client.send(Buffer.alloc(BYTES / 2), { fin: false });
    client.send(Buffer.alloc(1), { fin: true });
  });
  assert.equal(code, 1009);
});

test('a declared length past the limit is refused before its bytes come: 1009', async () => {
  const code = await closeCode((client) =>
    raw(client, 0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4),
  );
  assert.equal(code, 1009);
});

test('as many fragments as allowed pass, one more is closed with 1008, empty ones too', async () => {
  const client = await open(`${server.ws}/echo`, plain);
  for (let number = 1; number <= FRAGMENTS; number += 1) {
    client.send('x', { fin: number === FRAGMENTS });
  }
  assert.equal(await client.next(), 'x'.repeat(FRAGMENTS));
  for (let number = 0; number <= FRAGMENTS; number += 1) {
    client.send('', { fin: false });
  }
  assert.equal((await client.closed()).code, 1008);
});

test('invalid UTF-8 is closed with 1007 at the first bad byte', async () => {
  // The frame is never finished: 10 bytes are declared, 3 come. The mask is zero.
  const code = await closeCode((client) => raw(client, 0x81, 0x8a, 0, 0, 0, 0, 0x61, 0x62, 0xff));
  assert.equal(code, 1007);
});

for (const [name, bytes, expected] of [
  ['an unmasked frame', [0x81, 0x01, 0x61], 1002],
  ['a reserved bit', [0xc1, 0x81, 0, 0, 0, 0, 0x61], 1002],
  ['a reserved opcode', [0x83, 0x80, 0, 0, 0, 0], 1002],
  ['a reserved control opcode', [0x8b, 0x80, 0, 0, 0, 0], 1002],
  ['a ping in fragments', [0x09, 0x80, 0, 0, 0, 0], 1002],
  ['a long ping', [0x89, 0xfe, 0, 126, 0, 0, 0, 0], 1002],
  ['a continuation of nothing', [0x80, 0x80, 0, 0, 0, 0], 1002],
  ['a new message inside another', [0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0], 1002],
  ['a length not in the fewest bytes', [0x81, 0xfe, 0, 1, 0, 0, 0, 0, 0x61], 1002],
  ['a length with the top bit', [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002],
  ['a close of one byte', [0x88, 0x81, 0, 0, 0, 0, 3], 1002],
  ['close code 999', [0x88, 0x82, 0, 0, 0, 0, 3, 231], 1002],
  ['close code 1005', [0x88, 0x82, 0, 0, 0, 0, 3, 237], 1002],
  ['close code 2999', [0x88, 0x82, 0, 0, 0, 0, 11, 183], 1002],
  ['a close reason that is not UTF-8', [0x88, 0x83, 0, 0, 0, 0, 3, 232, 255], 1007],
]) {
  test(`${name} is closed with ${expected}`, async () => {
    assert.equal(await closeCode((client) => raw(client, ...bytes)), expected);
  });
}
