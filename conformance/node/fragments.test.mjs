// Messages that the server sends in fragments: the example `fragments` with npm ws.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startExample } from '../examples.mjs';
import { open } from './client.mjs';

const TEXT = 0x1;
const BINARY = 0x2;
const CONTINUATION = 0x0;
const PING = 0x9;

let server;
before(async () => {
  server = await startExample('fragments');
});
after(async () => {
  assert.equal(await server.stop(), 0);
});

/** Collects the heads of the frames that come in on a connection, below npm ws. */
function frames(client) {
  const heads = [];
  let bytes = Buffer.alloc(0);
  client.socket._socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 2) {
      const short = bytes[1] & 0x7f;
      const start = short === 127 ? 10 : short === 126 ? 4 : 2;
      if (bytes.length < start) return;
      const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
      if (bytes.length < start + length) return;
      heads.push({ fin: bytes[0] >= 0x80, compressed: (bytes[0] & 0x40) !== 0, opcode: bytes[0] & 0xf });
      bytes = bytes.subarray(start + length);
    }
  });
  return heads;
}

/**
 * Checks that a message of so many pieces came in as many fragments and an end, and another message
 * behind it. Short ones may go uncompressed wherever the extension is agreed.
 */
function checkFrames(heads, opcode, pieces, { mayCompress, mustCompress }) {
  const data = heads.filter((head) => head.opcode !== PING);
  const last = data.pop();
  assert.deepEqual([last.opcode, last.fin], [TEXT, true], 'the message that was sent meanwhile');
  assert.equal(data.length, pieces + 1);
  data.forEach((head, index) => {
    assert.equal(head.opcode, index === 0 ? opcode : CONTINUATION);
    assert.equal(head.fin, index === pieces);
    assert.ok(!head.compressed || (mayCompress && index === 0), `RSV1 of fragment ${index}`);
  });
  assert.ok(data[0].compressed || !mustCompress, 'it is not compressed');
  const ping = heads.findIndex((head) => head.opcode === PING);
  assert.ok(ping > 0 && ping <= pieces, `the ping is frame ${ping}`);
}

const each = (pieces, make) => Array.from({ length: pieces }, (_, index) => make(index + 1));
const text = (pieces, bytes) => each(pieces, (piece) => `gr\u{fc}n ${`${piece}`.padStart(bytes)};`).join('');
const binary = (pieces, bytes) => Buffer.concat(each(pieces, (piece) => Buffer.alloc(bytes, piece & 0xff)));

for (const [name, perMessageDeflate] of Object.entries({
  'without permessage-deflate': false,
  'with permessage-deflate': { threshold: 0 },
  'with permessage-deflate and a window of 9 bits': { threshold: 0, serverMaxWindowBits: 9 },
})) {
  describe(name, () => {
    let client;
    let heads;
    const compressed = perMessageDeflate !== false;
    before(async () => {
      client = await open(server.ws, { perMessageDeflate });
      assert.equal(client.socket.extensions.includes('permessage-deflate'), compressed);
      heads = frames(client);
    });
    after(() => client.close(1000));

    /** Asks for a message, and checks it, what comes behind it and their frames. */
    const check = async (kind, pieces, bytes) => {
      heads.length = 0;
      client.send(JSON.stringify({ [kind]: [pieces, bytes] }));
      const message = await client.next();
      const wanted = kind === 'text' ? text(pieces, bytes) : binary(pieces, bytes);
      assert.ok(kind === 'text' ? message === wanted : wanted.equals(message), 'the message is another');
      assert.equal(await client.next(), 'sent meanwhile');
      const compress = { mayCompress: compressed, mustCompress: compressed && bytes >= 1_000 };
      checkFrames(heads, kind === 'text' ? TEXT : BINARY, pieces, compress);
    };

    for (const [pieces, bytes] of [[1, 0], [2, 0], [3, 8_192], [100, 1_000], [1_000, 1]]) {
      test(`a text of ${pieces} pieces of ${bytes} bytes`, () => check('text', pieces, bytes));
    }
    for (const [pieces, bytes] of [[1, 1], [3, 0], [20, 8_192], [100, 5_000], [1_000, 1]]) {
      test(`${pieces} binary pieces of ${bytes} bytes`, () => check('binary', pieces, bytes));
    }

    test('many that are asked for at once come one behind the other', async () => {
      for (let pieces = 1; pieces <= 20; pieces += 1) {
        client.send(JSON.stringify({ [pieces % 2 ? 'text' : 'binary']: [pieces, 200] }));
      }
      for (let pieces = 1; pieces <= 20; pieces += 1) {
        assert.deepEqual(await client.next(), pieces % 2 ? text(pieces, 200) : binary(pieces, 200));
        assert.equal(await client.next(), 'sent meanwhile');
      }
    });

    test('what is too much is not sent', async () => {
      for (const wanted of [{ text: [0, 1] }, { text: [1_001, 1] }, { text: [1, 8_193] }, { binary: [1, 8_193] }]) {
        client.send(JSON.stringify(wanted));
        assert.equal(await client.next(), '1 to 1000 pieces, of 8192 bytes at most');
      }
    });
  });
}
