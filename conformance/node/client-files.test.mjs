// The files of the browser's client below /socket.io/: the same answers as the reference gives.

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { after, before, test } from 'node:test';
import { Server } from 'socket.io';
import { startServer } from '../server.mjs';
import { stored } from '../socketio/bundle.mjs';

const dist = fileURLToPath(new URL('../node_modules/socket.io/client-dist', import.meta.url));
const names = ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js'];

let reference;
let server;
before(async () => {
  const http = createServer();
  new Server(http);
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  reference = { http, port: http.address().port };
  server = await startServer('--socketio-client', dist);
});
after(async () => {
  reference?.http.closeAllConnections();
  reference?.http.close();
  assert.equal(await server?.stop(), 0, server?.output());
});

/** What a server answers: status, the fields that matter, the body as it was before compression. */
function ask({ port }, path, headers = {}) {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', path, headers, agent: false };
    const asked = request(options, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { etag, 'content-type': type, 'content-encoding': coding, 'cache-control': cache } =
          response.headers;
        const decode = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync };
        const bytes = Buffer.concat(chunks);
        const body = (coding ? decode[coding](bytes) : bytes).toString();
        resolve({ status: response.statusCode, etag, type, coding, cache, body });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

test('every file, as the reference serves it', async () => {
  for (const name of names.flatMap((name) => [name, `${name}.map`])) {
    for (const [query, headers] of [
      ['', {}],
      ['?EIO=4&transport=polling', {}],
      ['', { 'accept-encoding': 'gzip, deflate' }],
      ['', { 'accept-encoding': 'deflate' }],
      ['', { 'accept-encoding': 'gzip, deflate, br, zstd' }],
      ['', { 'accept-encoding': 'br, gzip' }],
      ['', { 'accept-encoding': 'gzip;q=0.5, br;q=0.9, deflate;q=0.9' }],
      ['', { 'accept-encoding': '*' }],
      ['', { 'accept-encoding': '*;q=0.5, deflate' }],
      ['', { 'accept-encoding': 'br;q=0, *;q=0.1' }],
      ['', { 'accept-encoding': 'gzip;q=0' }],
      ['', { 'if-none-match': '"1.0.0"' }],
    ]) {
      const path = `/socket.io/${name}${query}`;
      const expected = await ask(reference, path, headers);
      assert.equal(expected.status, 200);
      assert.deepEqual(await ask(server, path, headers), expected, path);
    }
  }
});

test('a version that the client has already', async () => {
  const { etag } = await ask(reference, '/socket.io/socket.io.js');
  for (const tag of [etag, `W/${etag}`]) {
    const headers = { 'if-none-match': tag };
    assert.equal((await ask(reference, '/socket.io/socket.io.js', headers)).status, 304);
    assert.equal((await ask(server, '/socket.io/socket.io.js', headers)).status, 304);
  }
});

test('none is served where that is asked for', async (t) => {
  const none = await startServer('--socketio-client', 'off');
  t.after(() => none.stop());
  // Engine.IO answers, as for any path below its own: the request names no transport.
  const { status, body } = await ask(none, '/socket.io/socket.io.js');
  assert.deepEqual([status, JSON.parse(body).code], [400, 0]);
});

test('where npm has put the package, it is found', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'parlor-npm-'));
  const place = join(folder, 'node_modules/socket.io-client');
  await mkdir(place, { recursive: true });
  const from = fileURLToPath(new URL('../node_modules/socket.io-client', import.meta.url));
  await cp(join(from, 'dist'), join(place, 'dist'), { recursive: true });
  await cp(join(from, 'package.json'), join(place, 'package.json'));
  for (const [options, cwd, starts] of [
    [[], folder, '"4.'],
    [['--socketio-client', 'own'], folder, '"parlor-'],
    [[], tmpdir(), '"parlor-'],
  ]) {
    const found = await startServer(...options, { cwd });
    t.after(() => found.stop());
    const { etag } = await ask(found, '/socket.io/socket.io.js');
    assert.ok(etag.startsWith(starts), `${etag} in ${cwd}`);
  }
  await rm(folder, { recursive: true });
});

test('our own client has the names that it can stand for', async (t) => {
  const own = await startServer('--socketio-client', 'own');
  t.after(() => own.stop());
  const files = await stored();
  const served = async (name) => {
    const { status, body, type } = await ask(own, `/socket.io/${name}`);
    return [status, status === 200 ? type : '', status === 200 ? body : ''];
  };
  const type = 'application/javascript; charset=utf-8';
  assert.deepEqual(await served('socket.io.min.js'), [200, type, files['socket.io.min.js']]);
  assert.deepEqual(await served('socket.io.esm.min.js'), [200, type, files['socket.io.esm.min.mjs']]);
  assert.equal((await served('socket.io.js'))[0], 200);
  assert.equal((await served('socket.io.msgpack.min.js'))[0], 404);
  assert.equal((await served('socket.io.js.map'))[0], 404);
});
