// Every client of Socket.IO that the tests drive, by name.

import { createRequire } from 'node:module';
import * as own from './own.mjs';

const require = createRequire(import.meta.url);

export const clients = {
  'socket.io-client 4.8': require('socket.io-client').io,
  'socket.io-client 3.1': require('socket.io-client-3').io,
  'socket.io-client 2.5': require('socket.io-client-2'),
  'our own client': own.io,
};

export const msgpack = require('socket.io-msgpack-parser');

export const transports = {
  'polling only': { transports: ['polling'] },
  'WebSocket only': { transports: ['websocket'] },
  upgrade: {},
};

const QUICK = { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 200 };

/** Makes sockets of a client, and disconnects them all in the end. */
export class Dialer {
  #open = new Set();

  constructor(io, url) {
    this.io = io;
    this.url = url;
  }

  /** A socket with a connection of its own; `room` and `name` go into the query. */
  dial(room, { name, nsp = '', url = this.url, query = {}, ...options } = {}) {
    const all = { room, ...(name && { name }), ...query };
    const socket = this.io(`${url}${nsp}`, { ...QUICK, query: all, ...options });
    this.#open.add(socket);
    return socket;
  }

  close() {
    for (const socket of this.#open) socket.disconnect();
    this.#open.clear();
  }
}
