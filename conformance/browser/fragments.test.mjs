// Chromium's own WebSocket puts messages together that the server sends in fragments.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startExample } from '../examples.mjs';
import { openBrowser } from './browser.mjs';

let server;
let browser;
before(async () => {
  server = await startExample('fragments');
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

test('text and bytes in fragments are whole, what was sent meanwhile is behind them', async () => {
  const page = await browser.context.newPage();
  await page.evaluate((url) => {
    window.heard = [];
    window.socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') {
        heard.push(data);
        return;
      }
      // How many bytes of each value follow each other.
      const runs = [];
      for (const byte of new Uint8Array(data)) {
        if (runs.at(-1)?.[0] !== byte) runs.push([byte, 0]);
        runs.at(-1)[1] += 1;
      }
      heard.push(runs);
    };
    socket.onopen = () => {
      socket.send('{"text": [3, 500]}');
      socket.send('{"binary": [100, 5000]}');
      socket.send('{"text": [1000, 1]}');
    };
    socket.onclose = ({ code }) => heard.push(`closed with ${code}`);
  }, server.ws);
  await page.waitForFunction(() => heard.length >= 6);
  const text = (pieces, bytes) =>
    Array.from({ length: pieces }, (_, index) => `gr\u{fc}n ${`${index + 1}`.padStart(bytes)};`).join('');
  assert.deepEqual(await page.evaluate(() => heard), [
    text(3, 500),
    'sent meanwhile',
    Array.from({ length: 100 }, (_, index) => [index + 1, 5_000]),
    'sent meanwhile',
    text(1_000, 1),
    'sent meanwhile',
  ]);
  assert.equal(await page.evaluate(() => socket.extensions.split(';')[0]), 'permessage-deflate');
  await page.evaluate(() => socket.close(1000));
  await page.waitForFunction(() => heard.at(-1) === 'closed with 1000');
  await page.close();
});
