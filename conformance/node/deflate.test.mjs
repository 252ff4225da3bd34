// permessage-deflate (RFC 7692) as npm `ws` negotiates and speaks it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startServer } from '../server.mjs';
import { open } from './client.mjs';

/** The parameters that the server answered with, by name; null without the extension. */
function agreed(client) {
  const extension = client.socket._socket && client.socket.extensions;
  if (!extension.includes('permessage-deflate')) {
    return null;
  }
  return client.socket._extensions['permessage-deflate'].params;
}

const texts = Array.from({ length: 40 }, (_, index) =>
  `message ${index} `.repeat(1 + ((index * 37) % 900)),
);
const noise = Buffer.from(Array.from({ length: 40_000 }, (_, index) => (index * index * 31) >> 5));

async function exchange(client) {
  for (const text of texts) {
    client.send(text);
    assert.ok((await client.next()) === text);
  }
  client.send(noise);
  assert.ok((await client.next()).equals(noise));
  client.send('');
  assert.equal(await client.next(), '');
  // Compressed in fragments.
  client.send('first half, ', { fin: false });
  client.send('second half', { fin: true });
  assert.equal(await client.next(), 'first half, second half');
  // Not compressed on a connection that may compress.
  client.send('plain', { compress: false });
  assert.equal(await client.next(), 'plain');
}

const offers = {
  'nothing asked': {},
  'server without context': { serverNoContextTakeover: true },
  'client without context': { clientNoContextTakeover: true },
  'neither with context': { serverNoContextTakeover: true, clientNoContextTakeover: true },
  'server window of 9 bits': { serverMaxWindowBits: 9 },
  'server window of 12 bits': { serverMaxWindowBits: 12 },
  'server window of 15 bits': { serverMaxWindowBits: 15 },
  'client window left to the server': { clientMaxWindowBits: true },
  'client window of 9 bits': { clientMaxWindowBits: 9 },
};

for (const mode of ['shared', 'takeover']) {
  describe(`--deflate ${mode}`, () => {
    let server;
    before(async () => {
      server = await startServer('--deflate', mode);
    });
    after(async () => {
      assert.equal(await server.stop(), 0, server.output());
    });

    for (const [name, offer] of Object.entries(offers)) {
      test(`echo, ${name}`, async () => {
        const client = await open(`${server.ws}/echo`, { perMessageDeflate: { threshold: 0, ...offer } });
        const params = agreed(client);
        assert.ok(params, 'the extension was not agreed');
        if (offer.serverNoContextTakeover || mode === 'shared') {
          assert.equal(params.server_no_context_takeover, true);
        }
        if (mode === 'shared') {
          assert.equal(params.client_no_context_takeover, true);
        }
        if (offer.serverMaxWindowBits) {
          assert.ok(params.server_max_window_bits <= offer.serverMaxWindowBits);
        }
        await exchange(client);
        await client.close(1000);
      });
    }

    test('members with and without the extension share a room', async () => {
      const clients = await Promise.all([
        open(`${server.ws}/ws/mixed`, { perMessageDeflate: { threshold: 0 } }),
        open(`${server.ws}/ws/mixed`, { perMessageDeflate: { threshold: 0, serverMaxWindowBits: 9 } }),
        open(`${server.ws}/ws/mixed`, { perMessageDeflate: { serverNoContextTakeover: true } }),
        open(`${server.ws}/ws/mixed`, { perMessageDeflate: false }),
      ]);
      for (const speaker of clients) {
        for (const payload of ['short', 'long '.repeat(3000), noise]) {
          speaker.send(payload);
          for (const client of clients.filter((other) => other !== speaker)) {
            assert.deepEqual(await client.next(), payload);
          }
        }
      }
      await Promise.all(clients.map((client) => client.close()));
    });

    test('a message that inflates past the limit is refused with 1009', async () => {
      const client = await open(`${server.ws}/echo`, { perMessageDeflate: { threshold: 0 } });
      // 8 MiB of zeros, about 8 KiB on the wire; the limit is 1 MiB.
      client.send(Buffer.alloc(8 << 20));
      assert.equal((await client.closed()).code, 1009);
    });
  });
}

describe('--deflate off', () => {
  test('the extension is not agreed', async () => {
    const server = await startServer('--deflate', 'off');
    const client = await open(`${server.ws}/echo`, { perMessageDeflate: true });
    assert.equal(agreed(client), null);
    await exchange(client);
    await client.close();
    assert.equal(await server.stop(), 0);
  });
});
