// Our own Socket.IO client in Chromium, against the server that its protocol comes from.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Server } from 'socket.io';
import { stored } from '../socketio/bundle.mjs';
import { openBrowser, openPage, withoutEndedPolls } from './browser.mjs';

let http;
let server;
let browser;
let url;
before(async () => {
  const files = await stored();
  const pages = {
    '/': ['text/html', '<!doctype html><title>page</title><script src="own.js"></script>'],
    '/own.js': ['text/javascript', files['socket.io.min.js']],
    '/own.mjs': ['text/javascript', files['socket.io.esm.min.mjs']],
  };
  http = createServer((request, response) => {
    const [type, body] = pages[request.url] ?? ['text/plain', ''];
    response.writeHead(pages[request.url] ? 200 : 204, { 'content-type': type }).end(body);
  });
  server = new Server(http, { serveClient: false, connectionStateRecovery: {} });
  server.on('connection', (socket) => {
    socket.on('echo', (...args) => args.pop()(...args));
    socket.on('drop', () => socket.conn.close(true));
    socket.on('to me', (...args) => socket.emit('to you', ...args));
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${http.address().port}/`;
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await new Promise((resolve) => server.close(resolve));
});

for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
  test(`a page talks over ${transports.join(' and ')}`, async () => {
    const { page, errors } = await openPage(browser.context, url);
    const result = await page.evaluate(async (transports) => {
      const socket = io({ transports, reconnectionDelay: 10 });
      const connected = () => new Promise((resolve) => socket.once('connect', resolve));
      await connected();
      const bytes = Uint8Array.from([0, 30, 255]);
      const blob = new Blob(['from a blob']);
      const [text, binary, file] = await new Promise((resolve) =>
        socket.emit('echo', 'text \u{1f600}', { bytes }, blob, (...all) => resolve(all)),
      );
      const big = await socket.emitWithAck('echo', new Uint8Array(500_000));
      const heard = new Promise((resolve) => socket.once('to you', (...args) => resolve(args[0])));
      socket.emit('to me', bytes.buffer);
      const back = connected();
      const told = [...new Uint8Array(await heard)];
      const { id } = socket;
      socket.emit('drop');
      await back;
      const recovered = socket.recovered && socket.id === id;
      if (transports.length > 1 && socket.io.engine.transport.name === 'polling') {
        await new Promise((resolve) => socket.io.engine.once('upgrade', resolve));
      }
      const transport = socket.io.engine.transport.name;
      const module = await import('/own.mjs');
      socket.disconnect();
      return {
        text,
        binary: [...new Uint8Array(binary.bytes)],
        file: new TextDecoder().decode(file),
        big: big.byteLength,
        told,
        recovered,
        transport,
        names: Object.keys(module).sort(),
        same: typeof module.default === 'function' && module.default === module.io,
      };
    }, transports);
    assert.deepEqual(result, {
      text: 'text \u{1f600}',
      binary: [0, 30, 255],
      file: 'from a blob',
      big: 500_000,
      told: [0, 30, 255],
      recovered: true,
      transport: transports.at(-1),
      names: ['Manager', 'Socket', 'connect', 'default', 'io', 'protocol'],
      same: true,
    });
    assert.deepEqual(withoutEndedPolls(errors), []);
    await page.close();
  });
}
