// What the documents of Engine.IO say of a server, in both revisions, against the example that says
// every message again. Where a heartbeat is not the point there is time enough for it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { startExample } from '../examples.mjs';

const PATIENCE_MS = 30_000;
const separator = '\x1e';

/** With pings that are far away, pings that come soon, and pings that are soon given up. */
let [calm, pinging, strict] = [];
before(async () => {
  const start = (...times) => startExample('engineio_suite', ...times);
  [calm, pinging, strict] = await Promise.all([start('25000', '20000'), start('300', '20000'), start()]);
});
after(async () => {
  const servers = [calm, pinging, strict].filter(Boolean);
  assert.deepEqual(await Promise.all(servers.map((server) => server.stop())), servers.map(() => 0));
});

/** A WebSocket whose messages are kept from its first byte. */
class Socket {
  constructor(query, server = calm) {
    this.socket = new WebSocket(`${server.ws}/engine.io/?${query}`);
    this.messages = [];
    this.waiting = [];
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
    this.socket.on('error', () => {});
    this.socket.on('message', (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      const next = this.waiting.shift();
      if (next) next(message);
      else this.messages.push(message);
    });
  }

  next() {
    if (this.messages.length > 0) return Promise.resolve(this.messages.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no message')), PATIENCE_MS);
      this.waiting.push((message) => {
        clearTimeout(timer);
        resolve(message);
      });
    });
  }

  /** The next message that is none of the heartbeat. */
  async said() {
    for (;;) {
      const message = await this.next();
      if (message !== '2') return message;
      this.socket.send('3');
    }
  }
}

const url = (query, server = calm) => `${server.http}/engine.io/?${query}`;
const post = (query, body, server) => fetch(url(query, server), { method: 'POST', body });

/** One packet of a payload of text, in the form of a revision. */
const packet = { 4: (text) => text, 3: (text) => `${text.length}:${text}` };

for (const version of [4, 3]) {
  const polling = `EIO=${version}&transport=polling${version === 3 ? '&b64=1' : ''}`;
  const websocket = `EIO=${version}&transport=websocket`;
  const payload = (...packets) =>
    packets.map(packet[version]).join(version === 4 ? separator : '');

  /** Opens a session over polling; the query of its requests. */
  const open = async (server) => {
    const response = await fetch(url(polling, server));
    assert.equal(response.status, 200);
    const text = await response.text();
    const { sid } = JSON.parse(text.slice(text.indexOf('{')));
    return `${polling}&sid=${sid}`;
  };

  const connect = async (server) => {
    const socket = new Socket(websocket, server);
    assert.match(await socket.next(), /^0/);
    return socket;
  };

  describe(`Engine.IO ${version}`, () => {
    test('a session opens over polling', async () => {
      const response = await fetch(url(polling));
      assert.equal(response.status, 200);
      assert.match(response.headers.get('content-type'), /^text\/plain/);
      const text = await response.text();
      assert.match(text, version === 4 ? /^0\{/ : /^\d+:0\{/);
      const handshake = JSON.parse(text.slice(text.indexOf('{')));
      assert.deepEqual(Object.keys(handshake).sort(), [
        'maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades',
      ]);
      assert.equal(typeof handshake.sid, 'string');
      assert.deepEqual(handshake.upgrades, ['websocket']);
      assert.equal(handshake.pingInterval, 25_000);
      assert.equal(handshake.pingTimeout, 20_000);
      assert.equal(handshake.maxPayload, 1_000_000);
    });

    test('a session opens over WebSocket', async () => {
      const socket = new Socket(websocket);
      const first = await socket.next();
      const handshake = JSON.parse(first.slice(1));
      assert.equal(first[0], '0');
      assert.deepEqual(handshake.upgrades, []);
      assert.equal(handshake.pingInterval, 25_000);
      socket.socket.close();
      await socket.closed;
    });

    test('requests that are none are refused', async () => {
      for (const query of [
        'transport=polling',
        'EIO=abc&transport=polling',
        `EIO=${version}`,
        `EIO=${version}&transport=abc`,
      ]) {
        assert.equal((await fetch(url(query))).status, 400, query);
      }
      assert.equal((await post(polling, '')).status, 400);
      assert.equal((await fetch(url(polling), { method: 'PUT' })).status, 400);
      for (const query of [
        'transport=websocket',
        'EIO=abc&transport=websocket',
        `EIO=${version}`,
        `EIO=${version}&transport=abc`,
      ]) {
        const socket = new WebSocket(`${calm.ws}/engine.io/?${query}`);
        const [error] = await once(socket, 'error');
        assert.match(error.message, /400/, query);
      }
    });

    test('messages go and come over polling', async () => {
      const query = await open();
      const one = await post(query, payload('4hello'));
      assert.equal(one.status, 200);
      assert.equal(await one.text(), 'ok');
      assert.equal(await (await fetch(url(query))).text(), payload('4hello'));
      await post(query, payload('4one', '4two', '4thr\u20ace'));
      assert.equal(await (await fetch(url(query))).text(), payload('4one', '4two', '4thr\u20ace'));
      const binary = version === 4 ? 'bAQIDBA==' : 'b4AQIDBA==';
      await post(query, payload('4text', binary));
      assert.equal(await (await fetch(url(query))).text(), payload('4text', binary));
    });

    test('messages go and come over WebSocket', async () => {
      const socket = await connect();
      socket.socket.send('4hello');
      assert.equal(await socket.said(), '4hello');
      const bytes = version === 4 ? [1, 2, 3, 4] : [4, 1, 2, 3, 4];
      socket.socket.send(Buffer.from(bytes));
      assert.deepEqual([...(await socket.said())], bytes);
      socket.socket.close();
      await socket.closed;
    });

    test('what cannot be read ends a session', async () => {
      const query = await open();
      // Whether the answer comes is not said.
      await post(query, 'abc').catch(() => {});
      assert.equal((await fetch(url(query))).status, 400);
      const socket = await connect();
      socket.socket.send('abc');
      await socket.closed;
    });

    test('a second GET ends a session', async () => {
      const query = await open();
      const both = await Promise.all([fetch(url(query)), fetch(url(query))]);
      assert.ok(both.some(({ status }) => status >= 400));
      assert.equal((await fetch(url(query))).status, 400);
    });

    test('a GET that is given up ends a session', async () => {
      const query = await open();
      const abort = new AbortController();
      const pending = fetch(url(query), { signal: abort.signal }).catch(() => 'given up');
      // While the GET before it is pending, a second one ends the session too: so it is a POST that
      // shows whether the server has noticed. The session says nothing by itself.
      abort.abort();
      assert.equal(await pending, 'given up');
      while ((await post(query, payload('6'))).status === 200);
      assert.equal((await fetch(url(query))).status, 400);
    });

    test('a session is closed by either side', async () => {
      const query = await open();
      const pending = fetch(url(query));
      await post(query, payload('1'));
      const { status } = await pending;
      assert.ok(status === 200 || status === 400, `${status}`);
      assert.equal((await fetch(url(query))).status, 400);
      const socket = await connect();
      socket.socket.send('1');
      await socket.closed;
    });

    test('a silent client is given up', async () => {
      const query = await open(strict);
      let response;
      do {
        response = await fetch(url(query, strict));
        await response.text();
      } while (response.status === 200);
      assert.equal(response.status, 400);
      const socket = await connect(strict);
      await socket.closed;
    });

    test('heartbeats keep a session', async () => {
      const socket = await connect(pinging);
      const query = await open(pinging);
      for (let beat = 0; beat < 3; beat += 1) {
        if (version === 4) {
          assert.equal(await socket.next(), '2');
          socket.socket.send('3');
          assert.equal(await (await fetch(url(query, pinging))).text(), '2');
          assert.equal((await post(query, '3', pinging)).status, 200);
        } else {
          socket.socket.send('2');
          assert.equal(await socket.next(), '3');
          assert.equal((await post(query, '1:2', pinging)).status, 200);
          assert.equal(await (await fetch(url(query, pinging))).text(), '1:3');
        }
      }
      socket.socket.close();
      await socket.closed;
    });

    test('a session goes on from polling to WebSocket', async () => {
      const query = await open();
      const sid = query.split('sid=')[1];
      const socket = new Socket(`${websocket}&sid=${sid}`);
      await once(socket.socket, 'open');
      const pending = fetch(url(query)).then((response) => response.text());
      socket.socket.send('2probe');
      assert.equal(await socket.said(), '3probe');
      assert.equal(await pending, payload('6'));
      socket.socket.send('5');
      socket.socket.send('4hello');
      assert.equal(await socket.said(), '4hello');
      // Polling is over, and so is any other socket.
      assert.equal((await fetch(url(query))).status, 400);
      assert.equal((await post(query, payload('4x'))).status, 400);
      const second = new Socket(`${websocket}&sid=${sid}`);
      await second.closed;
      socket.socket.send('4still');
      assert.equal(await socket.said(), '4still');
      socket.socket.close();
      await socket.closed;
    });
  });
}
