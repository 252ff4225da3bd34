// The page at `/`: two of them talk to each other, with nothing loaded from elsewhere.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { openBrowser, openPage, screenshots } from './browser.mjs';

let server;
let browser;
before(async () => {
  server = await startServer();
  browser = await openBrowser({ viewport: { width: 1280, height: 900 } });
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, server?.output());
});

const panes = ['#ann', '#bo', '#cy', '#dee'];

/** Opens the demo and waits until all of its panes are connected. */
async function demo(path = '/') {
  const opened = await openPage(browser.context, server.http + path);
  for (const pane of panes) {
    await opened.page.locator(`${pane} .state[data-state=connected]`).waitFor();
  }
  return opened;
}

async function say(page, pane, text) {
  await page.fill(`${pane} input[name=text]`, text);
  await page.press(`${pane} input[name=text]`, 'Enter');
}

const heard = (page, pane, text) =>
  page.locator(`${pane} .log li.heard`, { hasText: text }).waitFor();

test('the panes of one page talk at once', async () => {
  const { page, errors } = await demo();
  await page.click('#ann .composer button');
  await heard(page, '#bo', 'Hello, Bo!');
  await say(page, '#bo', 'Hello, Ann!');
  await heard(page, '#ann', 'Hello, Ann!');
  await say(page, '#cy', 'Hello by POST!');
  await heard(page, '#ann', 'Hello by POST!');
  await heard(page, '#bo', 'Hello by POST!');
  await say(page, '#dee', 'Hello by Socket.IO!');
  for (const pane of ['#ann', '#bo', '#cy']) await heard(page, pane, 'Hello by Socket.IO!');
  for (const text of ['Hello, Bo!', 'Hello, Ann!', 'Hello by POST!']) await heard(page, '#dee', text);
  // It heard its own message as well, and keeps that to itself.
  assert.equal(await page.locator('#dee .log li.heard').count(), 3);
  await page.locator('#dee .peers-list', { hasText: 'Bo' }).waitFor();
  await page.screenshot({ path: `${screenshots}demo.png`, fullPage: true });
  assert.deepEqual(errors, []);
  await page.close();
});

test('two pages talk to each other', async () => {
  const first = await demo();
  const second = await demo();
  await say(first.page, '#ann', 'from the first page');
  await heard(second.page, '#ann', 'from the first page');
  await heard(second.page, '#bo', 'from the first page');
  await say(second.page, '#bo', '<b>from the second page</b>');
  await heard(first.page, '#ann', '<b>from the second page</b>');
  assert.deepEqual([...first.errors, ...second.errors], []);
  await Promise.all([first.page.close(), second.page.close()]);
});

test('those who write are seen to', async () => {
  const { page, errors } = await demo('/#room=typing');
  // It is shown for a moment only: whoever writes goes on until it was seen.
  const seen = async (writer, reader) => {
    const shown = reader.locator('.typing', { hasText: 'Dee writes' });
    for (let length = 1; (await shown.count()) === 0; length += 1) {
      assert.ok(length < 200, 'nobody is seen to write');
      await writer.fill('#dee input[name=text]', '.'.repeat(length));
      await writer.waitForTimeout(100);
    }
  };
  await seen(page, page.locator('#bo'));
  const other = await demo('/#room=typing');
  await seen(other.page, page.locator('#dee'));
  assert.equal(await page.locator('.log li.heard').count(), 0);
  assert.deepEqual(errors, []);
  await Promise.all([page.close(), other.page.close()]);
});

test('the page says which client of Socket.IO is served', async () => {
  for (const [client, words] of [
    ['own', "This server serves Parlor's own client."],
    ['auto', /^This server serves socket\.io-client 4\.\d+\.\d+\.$/],
  ]) {
    const other = await startServer('--socketio-client', client);
    const { page, errors } = await openPage(browser.context, other.http);
    await page.locator('#dee .state[data-state=connected]').waitFor();
    await page.locator('#client', { hasText: words }).waitFor();
    await say(page, '#dee', 'Hello!');
    await heard(page, '#ann', 'Hello!');
    assert.deepEqual(errors, []);
    await page.close();
    assert.equal(await other.stop(), 0, other.output());
  }
});

test('whoever was cut off comes back to what it missed, once each', async () => {
  const { page, errors } = await demo('/#room=cut');
  await page.click('#bo .toggle');
  await page.click('#cy .toggle');
  const texts = ['one', 'two', 'three'];
  for (const text of texts) await say(page, '#ann', text);
  for (const pane of ['#bo', '#cy']) {
    assert.equal(await page.locator(`${pane} .log li.heard`).count(), 0);
    await page.click(`${pane} .toggle`);
    await heard(page, pane, 'three');
    const shown = await page.locator(`${pane} .log li.missed .text`).allTextContents();
    assert.deepEqual(shown, texts);
    const ids = await page.locator(`${pane} .log li.missed .id`).allTextContents();
    assert.deepEqual(ids.map((id) => id.split('-')[1]), ['1', '2', '3']);
  }
  await page.screenshot({ path: `${screenshots}demo-back.png`, fullPage: true });
  assert.deepEqual(errors, []);
  await page.close();
});

test('another room is another conversation', async () => {
  const lobby = await demo();
  const tea = await demo('/#room=tea');
  await say(tea.page, '#ann', 'only in tea');
  await heard(tea.page, '#bo', 'only in tea');
  await say(lobby.page, '#ann', 'only in the lobby');
  await heard(lobby.page, '#bo', 'only in the lobby');
  assert.equal(await lobby.page.getByText('only in tea').count(), 0);
  assert.equal(await tea.page.getByText('only in the lobby').count(), 0);
  await Promise.all([lobby.page.close(), tea.page.close()]);
});

test('the page asks nobody but its server', async () => {
  const { page, requests } = await demo();
  const foreign = requests.filter((url) => !url.startsWith(server.http) && !url.startsWith('data:'));
  assert.deepEqual(foreign, []);
  await page.close();
});

test('the page is readable on a phone', async () => {
  const { page } = await demo();
  await page.setViewportSize({ width: 360, height: 740 });
  const { wide, view } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    view: window.innerWidth,
  }));
  assert.ok(wide <= view, `${wide} px of content in ${view} px`);
  await page.screenshot({ path: `${screenshots}demo-phone.png`, fullPage: true });
  await page.close();
});

test('the pane of Socket.IO goes where that is served', async (t) => {
  const elsewhere = await startServer('--socketio-path', '/live/');
  t.after(() => elsewhere.stop());
  const { page, errors } = await openPage(browser.context, `${elsewhere.http}/`);
  for (const pane of panes) await page.locator(`${pane} .state[data-state=connected]`).waitFor();
  await say(page, '#dee', 'Hello from elsewhere!');
  await heard(page, '#ann', 'Hello from elsewhere!');
  await page.locator('.door-list h3 code', { hasText: '/live/' }).waitFor();
  const texts = await page.locator('.door-list').textContent();
  assert.ok(texts.includes(`${elsewhere.http}/live/socket.io.js`), texts);
  assert.ok(texts.includes(`, { path: '/live/' })`), texts);
  await page.screenshot({ path: `${screenshots}demo-socketio-path.png`, fullPage: true });
  assert.deepEqual(errors, []);
  await page.close();
});

test('where Socket.IO is off the page says so', async (t) => {
  for (const [flags, text] of [
    [['--socketio', 'off'], 'which is off on this server'],
    [['--socketio-client', 'off'], 'serves no client of it'],
  ]) {
    const without = await startServer(...flags);
    t.after(() => without.stop());
    const { page, errors } = await openPage(browser.context, `${without.http}/`);
    await page.locator('#dee', { hasText: text }).waitFor();
    for (const pane of ['#ann', '#bo', '#cy']) {
      await page.locator(`${pane} .state[data-state=connected]`).waitFor();
    }
    const isOff = flags[0] === '--socketio';
    assert.equal(await page.locator('#tab-socketio').isVisible(), !isOff);
    assert.equal(await page.locator('.door-list [data-socketio=off]').isVisible(), isOff);
    await say(page, '#ann', 'Hello, three!');
    await heard(page, '#bo', 'Hello, three!');
    await page.screenshot({ path: `${screenshots}demo${flags.join('')}.png`, fullPage: true });
    // A request for a file that is not there is told by the browser.
    assert.deepEqual(errors.filter((error) => !/Failed to load resource/.test(String(error))), []);
    await page.close();
  }
});
