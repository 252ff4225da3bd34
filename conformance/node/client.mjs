// npm `ws` as a client, with an inbox that can be awaited.

import WebSocket from 'ws';

const PATIENCE_MS = 10_000;

/** Fails when `promise` takes longer than the patience of this suite. */
export function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A queue that hands out what was pushed, in order, now or later. */
class Inbox {
  #waiting = [];
  #ready = [];

  push(item) {
    const taker = this.#waiting.shift();
    if (taker) {
      taker(item);
    } else {
      this.#ready.push(item);
    }
  }

  next(what) {
    if (this.#ready.length > 0) {
      return Promise.resolve(this.#ready.shift());
    }
    return within(new Promise((resolve) => this.#waiting.push(resolve)), what);
  }

  get length() {
    return this.#ready.length;
  }
}

/**
 * An open connection: `socket` is the `ws` object, `next()` the next message as text (string) or
 * binary (Buffer), `pong()` the next pong's payload, `closed` the close code and reason.
 */
class Client {
  #messages = new Inbox();
  #pongs = new Inbox();

  constructor(socket) {
    this.socket = socket;
    socket.on('message', (data, isBinary) => this.#messages.push(isBinary ? data : data.toString()));
    socket.on('pong', (data) => this.#pongs.push(data.toString()));
    const closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.closed = () => within(closed, 'close');
    this.rawClosed = closed;
  }

  next() {
    return this.#messages.next('message');
  }

  pong() {
    return this.#pongs.next('pong');
  }

  /** How many messages have come that nobody asked for yet. */
  get unread() {
    return this.#messages.length;
  }

  send(data, options = {}) {
    this.socket.send(data, options);
  }

  /** Ends the connection in good order and gives the server's close code and reason. */
  close(code, reason) {
    this.socket.close(code, reason);
    return this.closed();
  }
}

/** Opens a connection; rejects with `status` set where the server refuses the upgrade. */
export function open(url, { protocols = [], ...options } = {}) {
  const socket = new WebSocket(url, protocols, options);
  const client = new Client(socket);
  const opened = new Promise((resolve, reject) => {
    socket.once('open', () => resolve(client));
    socket.once('unexpected-response', (request, response) => {
      const refusal = Object.assign(new Error(`HTTP ${response.statusCode}`), {
        status: response.statusCode,
        headers: response.headers,
      });
      response.resume();
      request.destroy();
      reject(refusal);
    });
    socket.once('error', reject);
    // A later error also ends in `close`, which is what the tests look at.
    socket.on('error', () => {});
  });
  return within(opened, `upgrade of ${url}`);
}

/** Resolves when every client has heard everything that was sent to it before this call. */
export async function settled(...clients) {
  for (const client of clients) {
    client.socket.ping('settled');
    await client.pong();
  }
}
