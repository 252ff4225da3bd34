// The opening handshake: subprotocols, refusals, origins.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { open, within } from './client.mjs';

let server;
before(async () => {
  server = await startServer('--origin', 'https://app.example');
});
after(async () => {
  assert.equal(await server.stop(), 0, server.output());
});

for (const path of ['/echo', '/ws', '/']) {
  test(`${path} selects the first subprotocol offered`, async () => {
    const client = await open(server.ws + path, { protocols: ['chat.v2', 'chat.v1'] });
    assert.equal(client.socket.protocol, 'chat.v2');
    await client.close();
  });
}

test('without an offer no subprotocol is selected', async () => {
  const client = await open(`${server.ws}/echo`);
  assert.equal(client.socket.protocol, '');
  await client.close();
});

async function origin(value) {
  try {
    const client = await open(`${server.ws}/echo`, { origin: value });
    await client.close();
    return 101;
  } catch (error) {
    return error.status ?? error;
  }
}

test('allowed origins pass: the named one, loopback ones, files', async () => {
  for (const value of [
    'https://app.example',
    server.http,
    'http://localhost:3000',
    'http://127.0.0.1',
    'http://[::1]:5173',
    'null',
    'file://',
  ]) {
    assert.equal(await origin(value), 101, value);
  }
});

test('foreign origins are refused with 403', async () => {
  for (const value of [
    'https://evil.example',
    'http://app.example',
    'https://app.example:8443',
    'https://app.example.evil.example',
    'https://evilapp.example',
    'https://app.example@evil.example',
    'http://localhost.evil.example',
    'http://127.0.0.1.evil.example',
  ]) {
    assert.equal(await origin(value), 403, value);
  }
});

const upgrade = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'AQIDBAUGBwgJCgsMDQ4PEA==',
};

/** Status and headers of a request for /echo. */
function ask(headers, method = 'GET') {
  const answer = new Promise((resolve, reject) => {
    const sent = request({ port: server.port, host: '127.0.0.1', path: '/echo', method, headers });
    sent.once('response', (response) => {
      response.resume();
      resolve({ status: response.statusCode, headers: response.headers });
    });
    sent.once('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, headers: response.headers });
    });
    sent.once('error', reject);
    sent.end();
  });
  return within(answer, 'response');
}

/** The handshake with one header changed, or left out where the value is undefined. */
function changed(name, value) {
  const headers = { ...upgrade, [name]: value };
  if (value === undefined) {
    delete headers[name];
  }
  return headers;
}

test('a correct handshake is accepted, with the key of RFC 6455, section 4.2.2', async () => {
  const headers = changed('Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==');
  const answer = await ask(headers);
  assert.equal(answer.status, 101);
  assert.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
});

for (const [name, value, status] of [
  ['Sec-WebSocket-Key', undefined, 400],
  ['Sec-WebSocket-Key', '', 400],
  ['Sec-WebSocket-Key', 'AQID', 400],
  ['Sec-WebSocket-Version', undefined, 400],
  ['Sec-WebSocket-Version', '8', 426],
  ['Sec-WebSocket-Version', '14', 426],
  ['Upgrade', undefined, 400],
  ['Connection', 'keep-alive', 400],
]) {
  test(`${name}: ${value ?? '(none)'} gets ${status}`, async () => {
    assert.equal((await ask(changed(name, value))).status, status);
  });
}

test('a version that is not 13 is told which one is spoken', async () => {
  const answer = await ask(changed('Sec-WebSocket-Version', '7'));
  assert.equal(answer.headers['sec-websocket-version'], '13');
});

test('a plain GET gets 426 and is told to upgrade; POST gets 405', async () => {
  const plain = await ask({});
  assert.equal(plain.status, 426);
  assert.equal(plain.headers.upgrade, 'websocket');
  assert.equal((await ask({}, 'POST')).status, 405);
});
