// Chromium's own EventSource: it resumes over cuts without loss or repetition, and is told of a gap.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { publish, startProxy } from '../proxy.mjs';
import { startServer } from '../server.mjs';
import { openBrowser, openPage } from './browser.mjs';

let server;
let browser;
let proxy;
before(async () => {
  server = await startServer('--sse-retry', '100ms');
  browser = await openBrowser({});
  proxy = await startProxy(server.port);
});
after(async () => {
  await browser?.close();
  await proxy?.stop();
  assert.equal(await server?.stop(), 0, server?.output());
});

/** Opens an EventSource in a page of the server; `window.heard` collects what it tells. */
async function listen(path) {
  const { page } = await openPage(browser.context, `${server.http}/healthz`);
  await page.evaluate((url) => {
    window.heard = { data: [], names: [], opened: 0, state: () => source.readyState };
    const source = new EventSource(url);
    source.onopen = () => (window.heard.opened += 1);
    source.onmessage = (event) => window.heard.data.push(event.data);
    for (const name of ['joined', 'gap', 'tick', 'binary']) {
      source.addEventListener(name, (event) => window.heard.names.push([name, event.data]));
    }
  }, `http://127.0.0.1:${proxy.port}${path}`);
  await page.waitForFunction(() => window.heard.names.some(([name]) => name === 'joined'));
  return page;
}

test('it hears data of several lines, events and binary', async () => {
  const page = await listen('/sse/shapes');
  await publish(server, 'shapes', 'one\ntwo\r\n three');
  const post = (body, headers, query = '') =>
    fetch(`${server.http}/rooms/shapes/messages${query}`, { method: 'POST', headers, body });
  await post('{"data":{"n":1},"event":"tick"}', { 'content-type': 'application/json' });
  await post(Buffer.from([1, 2, 255]), { 'content-type': 'application/octet-stream' });
  await page.waitForFunction(() => window.heard.names.some(([name]) => name === 'binary'));
  const heard = await page.evaluate(() => ({ data: heard.data, names: heard.names.slice(1) }));
  assert.deepEqual(heard.data, ['one\ntwo\n three']);
  assert.deepEqual(heard.names, [['tick', '{"n":1}'], ['binary', 'AQL/']]);
  await page.close();
});

test('it hears each message once over many cuts', async () => {
  const page = await listen('/sse/cuts');
  const sent = [];
  for (let number = 0; number < 200; number += 1) {
    sent.push(`message ${number}`);
    await publish(server, 'cuts', sent.at(-1));
    if (number % 40 === 20) proxy.cut();
  }
  await page.waitForFunction((count) => window.heard.data.length >= count, sent.length);
  const heard = await page.evaluate(() => ({ data: heard.data, names: heard.names, opened: heard.opened }));
  assert.deepEqual(heard.data, sent);
  assert.ok(heard.opened > 1, 'it was cut');
  assert.ok(heard.names.every(([name]) => name === 'joined'), 'no gap');
  await page.close();
});

test('it misses nothing though it was cut before it heard a message', async () => {
  const stays = new AbortController();
  await fetch(`${server.http}/sse/quiet`, { signal: stays.signal });
  const page = await listen('/sse/quiet');
  proxy.cut();
  await publish(server, 'quiet', 'missed');
  await page.waitForFunction(() => window.heard.data.length > 0);
  const heard = await page.evaluate(() => ({ data: heard.data, names: heard.names }));
  assert.deepEqual(heard.data, ['missed']);
  assert.ok(heard.names.every(([name]) => name === 'joined'), 'no gap');
  await page.close();
  stays.abort();
});

test('a restarted server is a gap', async () => {
  const page = await listen('/sse/restart');
  await publish(server, 'restart', 'before');
  await page.waitForFunction(() => window.heard.data.length === 1);
  proxy.target = 0;
  assert.equal(await server.stop(), 0);
  server = await startServer('--sse-retry', '100ms');
  await publish(server, 'restart', 'while it was away');
  proxy.target = server.port;
  await page.waitForFunction(() => window.heard.names.some(([name]) => name === 'gap'));
  await publish(server, 'restart', 'after');
  await page.waitForFunction(() => window.heard.data.includes('after'));
  assert.deepEqual(await page.evaluate(() => heard.data), ['before', 'while it was away', 'after']);
  await page.close();
});
