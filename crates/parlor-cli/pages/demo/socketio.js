// Socket.IO as a door, with the client that the server itself serves: npm socket.io-client where
// the operator has it, otherwise Parlor's own.

import { Door } from './doors.js';

const TYPING_EVERY_MS = 1_000;
const PEERS_EVERY_MS = 3_000;

/** The client as a module; `url` is where Socket.IO is served. */
const clientAt = (url) => `${url}socket.io.esm.min.js`;

/** Which client the server serves, in words; null where it serves none. */
export async function servedClient(url) {
  try {
    const answer = await fetch(clientAt(url), { method: 'HEAD' });
    const version = /"(.*)"/.exec(answer.headers.get('etag') ?? '')?.[1];
    if (!answer.ok) return null;
    return !version || version.startsWith('parlor-') ? "Parlor's own client" : `socket.io-client ${version}`;
  } catch {
    return null;
  }
}

/** A socket in the room's main namespace. */
export class SocketIoDoor extends Door {
  #socket = null;
  #mine = [];
  #typedAt = -TYPING_EVERY_MS;
  #timer = 0;

  url() {
    return `${this.base.socketio}?${new URLSearchParams({ room: this.room.name, name: this.name })}`;
  }

  begin(events) {
    let ended = false;
    this.#enter(events, () => ended).catch((error) => {
      if (!ended) events.lost(`no client: ${error.message}`);
    });
    return () => {
      ended = true;
      clearInterval(this.#timer);
      // As if the network were gone: the session can be recovered.
      this.#socket?.io.reconnection(false);
      this.#socket?.io.engine?.close();
    };
  }

  forget() {
    super.forget();
    this.#socket?.disconnect();
    this.#socket = null;
    this.#mine = [];
  }

  async #enter(events, isEnded) {
    const { io } = await import(clientAt(this.base.socketio));
    if (isEnded()) return;
    if (this.#socket) {
      this.tell({ kind: 'back', since: this.last ?? null });
      this.#socket.removeAllListeners();
      this.#socket.io.reconnection(true);
    } else {
      const { origin, pathname } = new URL(this.base.socketio);
      this.#socket = io(origin, {
        path: pathname,
        query: { room: this.room.name, name: this.name },
        autoConnect: false,
        forceNew: true,
      });
    }
    this.#listen(this.#socket, events);
    this.#socket.connect();
  }

  #listen(socket, events) {
    // What comes before the answer to the connect is what was missed.
    let back = !this.returns;
    socket.on('connect', events.while(() => {
      if (this.returns && !socket.recovered) {
        this.tell({ kind: 'remark', text: 'The session could not be recovered: this is a new one.' });
      }
      back = true;
      events.opened();
      this.#askPeers();
      clearInterval(this.#timer);
      this.#timer = setInterval(() => this.#askPeers(), PEERS_EVERY_MS);
    }));
    socket.on('disconnect', events.while((reason) => {
      back = false;
      clearInterval(this.#timer);
      if (!socket.active) return events.lost(reason);
      this.tell({ kind: 'remark', text: `Connection lost (${reason}). The client tries again by itself.` });
      this.tell({ kind: 'state', state: 'connecting' });
      this.tell({ kind: 'back', since: this.last ?? null });
    }));
    socket.on('connect_error', events.while((error) => {
      if (!socket.active) events.lost(error.message);
    }));
    socket.on('message', events.while((data, ...more) => this.#hear(data, more, !back)));
    socket.on('typing', events.while((name) => this.tell({ kind: 'typing', name: String(name) })));
  }

  #hear(data, more, missed) {
    const offset = more.at(-1);
    if (typeof offset === 'string') this.last = offset;
    // A message comes back to its sender, in the order in which it was sent.
    if (typeof data === 'string' && this.#mine[0] === data) {
      this.#mine.shift();
      return;
    }
    const content = data instanceof ArrayBuffer ? { bytes: data } : { text: text(data) };
    this.tell({ kind: 'message', missed, ...content });
  }

  /** Sends text; resolves to its id. */
  async send(said) {
    this.#mine.push(said);
    const { id, error } = await this.#socket.timeout(10_000).emitWithAck('message', said);
    if (error) throw new Error(error.message ?? error);
    return id;
  }

  /** Tells the others that somebody writes here, once a second. */
  typing() {
    const now = performance.now();
    if (!this.#socket?.connected || now - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = now;
    this.#socket.volatile.emit('typing', this.name);
  }

  /** A join of a room that one is in already tells who else is. */
  #askPeers() {
    const socket = this.#socket;
    if (document.hidden || !socket?.connected) return;
    socket.emit('join', this.room.name, (members) => {
      if (socket !== this.#socket || !Array.isArray(members)) return;
      this.tell({ kind: 'peers', peers: members.filter(({ id }) => id !== socket.id) });
    });
  }
}

function text(data) {
  return typeof data === 'string' ? data : JSON.stringify(data) ?? 'undefined';
}
