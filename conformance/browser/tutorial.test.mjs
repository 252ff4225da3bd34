// Pages as tutorials write them, with nothing changed but the port: from a file, served by
// `--static`, and both in one room.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { openBrowser, openPage, screenshots } from './browser.mjs';

let server;
let browser;
let folder;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parlor-pages-'));
  server = await startServer('--static', folder);
  for (const name of ['hello.html', 'chat.html']) {
    const page = await readFile(new URL(`pages/${name}`, import.meta.url), 'utf8');
    assert.ok(page.includes('ws://localhost:8080'));
    await writeFile(join(folder, name), page.replace('localhost:8080', `localhost:${server.port}`));
  }
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, server?.output());
  await rm(folder, { recursive: true, force: true });
});

const places = {
  'served by --static': (name) => `${server.http}/${name}`,
  'served by --static, as localhost': (name) => `http://localhost:${server.port}/${name}`,
  'opened as a file': (name) => pathToFileURL(join(folder, name)).href,
};

for (const [place, address] of Object.entries(places)) {
  test(`two hello pages hear each other, ${place}`, async () => {
    const first = await openPage(browser.context, address('hello.html'));
    await first.logged('Connected to the server');
    const second = await openPage(browser.context, address('hello.html'));
    await second.logged('Connected to the server');
    await first.logged('Message from the server: Hello, server!');
    // A sender does not hear itself.
    assert.deepEqual(second.lines, ['Connected to the server']);
    for (const { page, errors } of [first, second]) {
      assert.deepEqual(errors, []);
      await page.close();
    }
  });

  test(`two chat pages talk, ${place}`, async () => {
    const pages = [];
    for (const _ of [1, 2]) {
      const { page } = await openPage(browser.context, address('chat.html'));
      await page.waitForFunction(() => document.title === 'open');
      pages.push(page);
    }
    const [ann, bo] = pages;
    const say = async (page, text) => {
      await page.fill('#input', text);
      await page.press('#input', 'Enter');
    };
    const shows = (page, text) => page.locator('li', { hasText: text }).waitFor();
    await say(ann, 'hello from Ann');
    await shows(bo, 'hello from Ann');
    await say(bo, 'hello from Bo');
    await shows(ann, 'hello from Bo');
    assert.deepEqual(await ann.locator('li').allTextContents(), ['me: hello from Ann', 'hello from Bo']);
    assert.deepEqual(await bo.locator('li').allTextContents(), ['hello from Ann', 'me: hello from Bo']);
    await ann.screenshot({ path: `${screenshots}chat.png` });
    await Promise.all(pages.map((page) => page.close()));
  });
}

test('a page and a file are in one room', async () => {
  const [ann, bo] = await Promise.all(
    [places['served by --static'], places['opened as a file']].map(async (address) => {
      const { page } = await openPage(browser.context, address('chat.html'));
      await page.waitForFunction(() => document.title === 'open');
      return page;
    }),
  );
  await ann.fill('#input', 'from the web');
  await ann.press('#input', 'Enter');
  await bo.locator('li', { hasText: 'from the web' }).waitFor();
  await Promise.all([ann.close(), bo.close()]);
});
