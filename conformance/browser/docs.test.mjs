// The examples of docs/ for browsers.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { at, examples } from '../docs.mjs';
import { publish, startProxy } from '../proxy.mjs';
import { startServer } from '../server.mjs';
import { openBrowser, openPage } from './browser.mjs';

let server;
let proxy;
let browser;
let folder;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parlor-docs-'));
  server = await startServer('--static', folder);
  proxy = await startProxy(server.port);
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await proxy?.stop();
  assert.equal(await server?.stop(), 0, server?.output());
  await rm(folder, { recursive: true, force: true });
});

/** Runs an example in a page of this machine, against a port. */
async function start(code, port) {
  const opened = await openPage(browser.context, `http://localhost:${server.port}/healthz`);
  await opened.page.evaluate(at(port, code));
  return opened;
}

/** Waits until a line that was logged contains the text. */
async function logged({ page, lines }, text) {
  const holds = (line) => line.includes(text);
  if (!lines.some(holds)) {
    await page.waitForEvent('console', { predicate: (message) => holds(message.text()) });
  }
}

/** Publishes until all pages hear the room. */
async function untilIn(...pages) {
  const deaf = ({ lines }) => !lines.some((line) => line.includes('is anybody here'));
  for (let tries = 0; pages.some(deaf); tries += 1) {
    assert.ok(tries < 200, 'a page does not hear its room');
    await publish(server, 'tea', 'is anybody here');
    await pages[0].page.waitForTimeout(50);
  }
}

const inSection = async (page, section) =>
  (await examples(page)).filter((it) => it.section === section && it.language !== 'sh');

for (const page of ['doors/websocket.md', 'doors/signal.md', 'doors/sse.md']) {
  test(`${page}: Browser`, async () => {
    for (const { code } of await inSection(page, 'Browser')) {
      const first = await start(code, server.port);
      const second = await start(code, server.port);
      if (code.includes('Hello')) await logged(first, 'Hello');
      await untilIn(first, second);
      for (const opened of [first, second]) {
        assert.deepEqual(opened.errors, []);
        await opened.page.close();
      }
    }
  });
}

for (const page of ['doors/websocket.md', 'doors/signal.md', 'doors/sse.md']) {
  test(`${page}: Coming back`, async () => {
    const [{ code }] = await inSection(page, 'Coming back');
    const opened = await start(code, proxy.port);
    await untilIn(opened);
    const { target } = proxy;
    proxy.target = 0;
    proxy.cut();
    for (const text of ['missed 1', 'missed 2']) await publish(server, 'tea', text);
    proxy.target = target;
    await logged(opened, 'missed 2');
    await publish(server, 'tea', 'after');
    await logged(opened, 'after');
    const heard = opened.lines.map((line) => line.replace(/^\S+ null /, ''));
    const texts = heard.filter((text) => text !== 'is anybody here');
    assert.deepEqual(texts, ['missed 1', 'missed 2', 'after']);
    await opened.page.close();
  });
}

test('doors/socketio.md: Browser', async () => {
  const [{ language, code }] = await inSection('doors/socketio.md', 'Browser');
  assert.equal(language, 'html');
  await writeFile(join(folder, 'socketio.html'), code);
  const url = `http://localhost:${server.port}/socketio.html`;
  const first = await openPage(browser.context, url);
  await logged(first, 'Hello from a browser');
  const second = await openPage(browser.context, url);
  await publish(server, 'tea', 'hello back');
  for (const opened of [first, second]) {
    await logged(opened, 'Hello from a browser');
    assert.deepEqual(opened.errors, []);
  }
  await logged(first, 'hello back');
  await Promise.all([first.page.close(), second.page.close()]);
});

test('doors/signal.md: A call between two pages', async () => {
  const [{ language, code }] = await inSection('doors/signal.md', 'A call between two pages');
  assert.equal(language, 'html');
  await writeFile(join(folder, 'direct.html'), at(server.port, code));
  const url = `http://localhost:${server.port}/direct.html`;
  const first = await openPage(browser.context, url);
  const second = await openPage(browser.context, url);
  for (const opened of [first, second]) {
    await logged(opened, 'Hello, directly');
    assert.deepEqual(opened.errors, []);
  }
  await Promise.all([first.page.close(), second.page.close()]);
});
