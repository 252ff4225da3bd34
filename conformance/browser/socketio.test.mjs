// Socket.IO in Chromium, with the client that the server serves: npm's and our own.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { publish, startProxy } from '../proxy.mjs';
import { startServer } from '../server.mjs';
import { openBrowser, openPage, screenshots, withoutEndedPolls } from './browser.mjs';

const npm = fileURLToPath(new URL('../node_modules/socket.io-client/dist', import.meta.url));

let browser;
let folder;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parlor-socketio-'));
  const tutorial = await readFile(new URL('pages/socketio.html', import.meta.url), 'utf8');
  await writeFile(join(folder, 'tutorial.html'), tutorial);
  await writeFile(join(folder, 'empty.html'), '<!doctype html><title>empty</title>');
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

for (const [name, client] of [
  ["npm's client", npm],
  ['our own client', 'own'],
]) {
  describe(name, () => {
    let server;
    before(async () => {
      server = await startServer('--static', folder, '--socketio-client', client);
    });
    after(async () => {
      assert.equal(await server?.stop(), 0, server?.output());
    });

    test('the page of the tutorial', async () => {
      const pages = [];
      for (const _ of [1, 2]) {
        const opened = await openPage(browser.context, `${server.http}/tutorial.html`);
        await opened.page.waitForFunction(() => document.title === 'connected');
        pages.push(opened);
      }
      const [ann, bo] = pages;
      const say = async ({ page }, text) => {
        await page.fill('#input', text);
        await page.press('#input', 'Enter');
      };
      const shows = ({ page }, text) => page.locator('li', { hasText: text }).waitFor();
      await say(ann, 'hello from Ann');
      await shows(bo, 'hello from Ann');
      await say(bo, 'hello from Bo');
      await publish(server, 'lobby', 'hello by POST');
      for (const opened of pages) {
        for (const text of ['hello from Ann', 'hello from Bo', 'hello by POST']) await shows(opened, text);
        assert.equal(await opened.page.locator('li').count(), 3);
        assert.deepEqual(withoutEndedPolls(opened.errors), []);
      }
      await ann.page.screenshot({ path: `${screenshots}socketio-tutorial.png` });
      await Promise.all(pages.map(({ page }) => page.close()));
    });

    test('a page of another origin that may come in', async () => {
      const other = await startServer('--static', folder);
      const { page, errors } = await openPage(browser.context, `${other.http}/empty.html`);
      await page.addScriptTag({ url: `${server.http}/socket.io/socket.io.js` });
      for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
        const heard = await page.evaluate(
          async ([url, transports]) => {
            const socket = io(url, { transports, forceNew: true, query: { room: 'foreign' } });
            await new Promise((resolve) => socket.once('connect', resolve));
            const heard = new Promise((resolve) => socket.once('message', resolve));
            socket.emit('message', `by ${transports}`);
            await heard;
            socket.disconnect();
            return heard;
          },
          [server.http, transports],
        );
        assert.equal(heard, `by ${transports}`);
      }
      assert.deepEqual(withoutEndedPolls(errors), []);
      await page.close();
      assert.equal(await other.stop(), 0, other.output());
    });

    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      test(`events, binary, acknowledgements and a cut over ${transports.join(' and ')}`, async () => {
        const proxy = await startProxy(server.port);
        const at = `http://127.0.0.1:${proxy.port}`;
        const { page, errors } = await openPage(browser.context, `${at}/empty.html`);
        await page.addScriptTag({ url: `${at}/socket.io/socket.io.min.js` });
        await page.evaluate(async (transports) => {
          const options = { transports, reconnectionDelay: 20, reconnectionDelayMax: 100, forceNew: true };
          const room = `room-${transports.join('-')}`;
          globalThis.sockets = [1, 2].map(() => io({ ...options, query: { room } }));
          await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
        }, transports);
        const said = await page.evaluate(async () => {
          const [ann, bo] = sockets;
          const heard = new Promise((resolve) => bo.once('file', (...args) => resolve(args)));
          const bytes = Uint8Array.from([0, 30, 255]);
          const { id } = await ann.emitWithAck('file', 'a.bin', { deep: [bytes.buffer] }, new Blob(['blob']));
          const [file, { deep }, blob] = await heard;
          const big = new Promise((resolve) => bo.once('big', resolve));
          ann.emit('big', new Uint8Array(600_000).fill(7));
          const bigOne = new Uint8Array(await big);
          return {
            id,
            file,
            deep: [...new Uint8Array(deep[0])],
            blob: new TextDecoder().decode(blob),
            big: [bigOne.length, bigOne.every((byte) => byte === 7)],
          };
        });
        assert.match(said.id, /^[0-9a-f]+-\d+$/);
        assert.deepEqual(
          { ...said, id: '' },
          { id: '', file: 'a.bin', deep: [0, 30, 255], blob: 'blob', big: [600_000, true] },
        );
        await page.evaluate(() => {
          const [ann] = sockets;
          globalThis.back = new Promise((resolve) =>
            ann.once('disconnect', () => {
              ann.emit('message', 'waited');
              ann.once('connect', resolve);
            }),
          );
          globalThis.waited = new Promise((resolve) => ann.on('message', (text) => resolve(text)));
        });
        const poll = transports[0] === 'polling';
        // Between two polls a cut goes by unnoticed.
        for (let tries = 0; tries < 100; tries += 1) {
          proxy.cut();
          const lost = await page.evaluate(
            () => Promise.race([back.then(() => true), new Promise((resolve) => setTimeout(resolve, 300))]),
          );
          if (lost || !poll) break;
        }
        await page.evaluate(() => back);
        assert.equal(await page.evaluate(() => waited), 'waited');
        if (transports.length > 1) {
          await page.waitForFunction(() => sockets.every(({ io }) => io.engine.transport.name === 'websocket'));
        }
        await page.evaluate(() => sockets.forEach((socket) => socket.disconnect()));
        assert.deepEqual(withoutEndedPolls(errors), []);
        await page.close();
        await proxy.stop();
      });
    }

    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      test(`what was missed comes once, and a restart is told, over ${transports.join(' and ')}`, async () => {
        const args = ['--static', folder, '--socketio-client', client, '--socketio-recovery', '60s'];
        let quick = await startServer(...args);
        const proxy = await startProxy(quick.port);
        const { page, errors } = await openPage(browser.context, `http://127.0.0.1:${proxy.port}/empty.html`);
        await page.addScriptTag({ url: `http://127.0.0.1:${proxy.port}/socket.io/socket.io.min.js` });
        await page.evaluate(async (transports) => {
          const options = { transports, reconnectionDelay: 20, reconnectionDelayMax: 100, query: { room: 'tea' } };
          globalThis.socket = io(options);
          globalThis.heard = [];
          globalThis.states = [];
          socket.on('message', (text) => heard.push(text));
          socket.on('connect', () => states.push(socket.recovered ? 'recovered' : 'new'));
          socket.on('disconnect', () => states.push('lost'));
        }, transports);
        const until = (states) => page.waitForFunction((wanted) => states.join() === wanted, states);
        const hears = (...texts) => page.waitForFunction((wanted) => heard.join() === wanted, texts.join());
        await until('new');
        await publish(quick, 'tea', 'before');
        await hears('before');
        proxy.target = 0;
        proxy.cut();
        await until('new,lost');
        await publish(quick, 'tea', 'missed');
        await publish(quick, 'tea', 'missed too');
        proxy.target = quick.port;
        await until('new,lost,recovered');
        await publish(quick, 'tea', 'live');
        await hears('before', 'missed', 'missed too', 'live');
        process.kill(quick.pid, 'SIGKILL');
        await quick.stop();
        await until('new,lost,recovered,lost');
        quick = await startServer(...args);
        await publish(quick, 'tea', 'unheard');
        proxy.target = quick.port;
        await until('new,lost,recovered,lost,new');
        await publish(quick, 'tea', 'again');
        await hears('before', 'missed', 'missed too', 'live', 'again');
        await page.evaluate(() => socket.disconnect());
        assert.deepEqual(withoutEndedPolls(errors), []);
        await page.close();
        await proxy.stop();
        assert.equal(await quick.stop(), 0, quick.output());
      });
    }
  });
}

test('the bundle for msgpack talks to the others', async () => {
  const server = await startServer('--static', folder, '--socketio-client', npm);
  const { page, errors } = await openPage(browser.context, `${server.http}/empty.html`);
  await page.addScriptTag({ url: `${server.http}/socket.io/socket.io.msgpack.min.js` });
  const bytes = await page.evaluate(async () => {
    const socket = io({ query: { room: 'msgpack' } });
    await new Promise((resolve) => socket.once('connect', resolve));
    const heard = new Promise((resolve) => socket.once('message', resolve));
    const { id } = await socket.emitWithAck('message', Uint8Array.from([1, 2, 3]).buffer);
    const bytes = [...new Uint8Array(await heard)];
    socket.disconnect();
    return id && bytes;
  });
  assert.deepEqual(bytes, [1, 2, 3]);
  assert.deepEqual(withoutEndedPolls(errors), []);
  await page.close();
  assert.equal(await server.stop(), 0, server.output());
});
