// The ways into a room, with one shape. Each calls its listener with one of
//   {kind: 'state', state, delay, reason}         as a Connection tells it
//   {kind: 'message', id, from, text, bytes, missed}
//   {kind: 'back', since}                         it asks for what it missed since an id, or null
//   {kind: 'gap', since, oldest}
//   {kind: 'peers', peers, came, left}            who else is in the room
//   {kind: 'typing', name}                        somebody else writes
//   {kind: 'remark', text}

import { Connection } from './connection.js';
import { isAfter } from './room.js';

/** More than any room keeps. */
const ALL = 1_000_000;
/** An id that no room gives: asks for everything that is held. */
const NEVER = '0-0';

export class Door {
  /** The id of the last message heard here; undefined before the first. */
  last;
  /** Whether it was in the room before, and so has something to come back to. */
  returns = false;

  constructor({ name, listener }) {
    this.name = name;
    this.tell = listener;
    this.connection = new Connection(
      (events) => this.begin(events),
      (state) => {
        if (state.state === 'connected') this.returns = true;
        listener({ kind: 'state', ...state });
      },
    );
  }

  /** Turns to a room, of which nothing is known; `base` has the addresses of the doors. */
  turnTo(base, room) {
    this.base = base;
    this.room = room;
    this.forget();
  }

  /** Begins anew: the next connection asks for nothing of before. */
  forget() {
    this.last = undefined;
    this.returns = false;
  }

  /** Connects, and asks for what was missed. */
  open() {
    this.connection.open();
  }

  cut() {
    this.connection.close();
  }

  /** Notes where a message stands, and passes it on. */
  hear(message) {
    if (message.id) {
      this.last = message.id;
      this.room.learn(message.id);
    }
    this.tell({ kind: 'message', ...message });
  }

  /** An event that is no message: only where it stands is noted. */
  pass(id) {
    this.last = id;
    this.room.learn(id);
  }

  /** What to ask for when coming back: {since} or {last}, or nothing. */
  missing() {
    if (!this.returns) return {};
    const since = this.last ?? this.room.baseline;
    this.tell({ kind: 'back', since });
    return since ? { since } : { last: ALL };
  }

  get path() {
    return encodeURIComponent(this.room.name);
  }
}

/** Opens a WebSocket that reports to a Connection. */
function openSocket(url, protocols, events, onMessage, onOpen) {
  const socket = new WebSocket(url, protocols);
  socket.binaryType = 'arraybuffer';
  socket.onopen = events.while(onOpen);
  socket.onmessage = events.while((event) => onMessage(event.data));
  socket.onclose = events.while((event) =>
    events.lost([event.code, event.reason].filter(Boolean).join(' ')),
  );
  return socket;
}

/** The payload of a parlor.v1 message: text, bytes, or the JSON as text. */
function payload(data) {
  if (typeof data === 'string') return { text: data };
  const keys = data && typeof data === 'object' ? Object.keys(data) : [];
  if (keys.length === 1 && typeof data.base64 === 'string') {
    return { bytes: Uint8Array.from(atob(data.base64), (c) => c.charCodeAt(0)).buffer };
  }
  return { text: JSON.stringify(data) };
}

function refusal({ message }) {
  return { kind: 'remark', text: `The server answers: ${message}.` };
}

/** Opaque frames at `/ws/{room}`; with `events`, envelopes are heard in their place. */
export class FrameDoor extends Door {
  events = true;
  echo = false;
  #socket;
  #replays = false;
  #hides = false;

  url() {
    const query = new URLSearchParams({ name: this.name });
    if (this.events) query.set('events', 'all');
    if (this.echo) query.set('echo', '1');
    return `${this.base.socket}ws/${this.path}?${query}`;
  }

  begin(events) {
    let asked = '';
    this.#replays = this.events;
    this.#hides = false;
    if (this.events) {
      const { since, last } = this.missing();
      // At first the newest message is asked for only to learn its id.
      this.#hides = !since && !last;
      asked = since ? `&since=${encodeURIComponent(since)}` : `&last=${last ?? 1}`;
    } else if (this.returns) {
      this.tell({ kind: 'remark', text: 'Without ids there is nothing to ask for.' });
    }
    const opened = this.events ? () => {} : events.opened;
    const hear = (data) => (this.events ? this.#envelope(data, events) : this.#frame(data));
    this.#socket = openSocket(this.url() + asked, [], events, hear, opened);
    return () => this.#socket.close(1000);
  }

  /** Changes `events` or `echo`, which are part of the address. */
  choose(option, value) {
    this[option] = value;
    // Frames without ids tell nothing about where it stands.
    if (option === 'events') this.forget();
  }

  /** Sends text; the id is known when somebody else hears it. */
  async send(text) {
    this.#socket.send(text);
  }

  #frame(data) {
    this.hear(typeof data === 'string' ? { text: data } : { bytes: data });
  }

  #envelope(data, events) {
    const message = JSON.parse(data);
    if (message.type === 'joined') events.opened();
    else if (message.type === 'resumed') {
      if (message.gap && !this.#hides) {
        this.tell({ kind: 'gap', oldest: message.oldest });
      }
      this.#replays = false;
      this.#hides = false;
    } else if (message.type === 'message' && (message.event ?? 'message') !== 'message') {
      this.pass(message.id);
    } else if (message.type === 'message') {
      if (this.#hides) {
        this.room.baseline ??= message.id;
        this.room.learn(message.id);
      } else {
        const { id, name } = message;
        this.hear({ id, from: name, missed: this.#replays, ...payload(message.data) });
      }
    } else if (message.type === 'error') this.tell(refusal(message));
  }
}

/** `parlor.v1` at `/signal/{room}`. */
export class SignalDoor extends Door {
  away = false;
  #socket;
  #replays = false;
  #expectsGap = false;
  #peers = new Map();
  #waiting = new Map();
  #ref = 0;

  url() {
    return `${this.base.socket}signal/${this.path}?${new URLSearchParams({ name: this.name })}`;
  }

  begin(events) {
    const { since, last } = this.missing();
    this.#replays = Boolean(since || last);
    // Everything that is held: of what was before, nothing was ever heard here.
    this.#expectsGap = Boolean(last);
    this.#socket = openSocket(
      this.url(),
      ['parlor.v1'],
      events,
      (data) => this.#receive(JSON.parse(data), events),
      () => {
        if (this.#replays) this.#say({ type: 'resume', since: since ?? NEVER });
        else this.#say({ type: 'join' });
        if (this.away) this.setAway(true);
      },
    );
    return () => {
      this.#socket.close(1000);
      for (const { reject } of this.#waiting.values()) reject(new Error('the connection ended'));
      this.#waiting.clear();
    };
  }

  /** Sends text; resolves to its id. */
  send(text) {
    this.#ref += 1;
    const ref = this.#ref;
    this.#say({ type: 'message', data: text, ref });
    return new Promise((resolve, reject) => this.#waiting.set(ref, { resolve, reject }));
  }

  /** Tells the others. */
  setAway(away) {
    this.away = away;
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#say({ type: 'presence', data: { away } });
    }
  }

  #say(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #receive(message, events) {
    const { type, data } = message;
    if (type === 'joined') {
      this.#peers = new Map(message.peers.map((peer) => [peer.id, peer]));
      events.opened();
      this.#tellPeers();
    } else if (type === 'resumed') {
      this.#replays = false;
      if (message.gap && !this.#expectsGap) {
        this.tell({ kind: 'gap', oldest: message.oldest });
      }
    } else if (type === 'message' && (message.event ?? 'message') !== 'message') {
      this.pass(message.id);
      const writes = message.event === 'typing' && !this.#replays;
      if (writes && typeof data === 'string') this.tell({ kind: 'typing', name: data });
    } else if (type === 'message') {
      const { id, name } = message;
      this.hear({ id, from: name, missed: this.#replays, ...payload(data) });
    } else if (type === 'peer-joined') {
      this.#peers.set(data, message.peer);
      this.#tellPeers({ came: message.peer });
    } else if (type === 'peer-left') {
      const left = this.#peers.get(data);
      this.#peers.delete(data);
      this.#tellPeers({ left });
    } else if (type === 'presence') {
      const peer = this.#peers.get(message.from);
      if (peer) peer.data = data;
      this.#tellPeers();
    } else if (type === 'ack' || type === 'error') {
      const waiting = this.#waiting.get(message.ref);
      this.#waiting.delete(message.ref);
      if (type === 'ack') {
        waiting?.resolve(message.id);
      } else if (waiting) waiting.reject(new Error(message.message));
      else this.tell(refusal(message));
    }
  }

  #tellPeers(change = {}) {
    this.tell({ kind: 'peers', peers: [...this.#peers.values()], ...change });
  }
}

/** An event stream at `/sse/{room}`, and POST requests in its member's name. */
export class StreamDoor extends Door {
  #uplink = '';

  url() {
    return `${this.base.http}sse/${this.path}?${new URLSearchParams({ name: this.name })}`;
  }

  postUrl() {
    return `${this.base.http}rooms/${this.path}/messages`;
  }

  begin(events) {
    const { since, last } = this.missing();
    let asked = '';
    if (since) asked = `&since=${encodeURIComponent(since)}`;
    else if (last) asked = `&last=${last}`;
    // What is older than this is replayed.
    let known = this.returns ? this.room.newest : null;
    const source = new EventSource(this.url() + asked);
    const on = (name, handle) => source.addEventListener(name, events.while(handle));
    on('joined', (event) => {
      this.#uplink = JSON.parse(event.data).uplink;
      events.opened();
    });
    on('gap', (event) => this.tell({ kind: 'gap', oldest: JSON.parse(event.data).oldest }));
    const hear = (event, content) => {
      const id = event.lastEventId || undefined;
      const missed = Boolean(id && known && !isAfter(id, known));
      this.hear({ id, missed, ...content });
    };
    on('message', (event) => hear(event, { text: event.data }));
    on('binary', (event) => hear(event, payload({ base64: event.data })));
    source.onerror = events.while(() => {
      if (source.readyState === EventSource.CLOSED) events.lost('the browser gave up');
      else if (!this.last) events.lost('the stream ended');
      else {
        // The browser comes back by itself, with the id of the last event.
        known = this.room.newest;
        this.tell({ kind: 'remark', text: 'Connection lost. The browser tries again by itself.' });
        this.tell({ kind: 'state', state: 'connecting' });
        this.tell({ kind: 'back', since: this.last });
      }
    });
    return () => source.close();
  }

  /** Posts text as the member of this stream; resolves to its id. */
  async send(text) {
    const answer = await fetch(this.postUrl(), {
      method: 'POST',
      headers: { 'content-type': 'text/plain', 'parlor-uplink': this.#uplink },
      body: text,
    });
    const { id, error } = await answer.json();
    if (!answer.ok) throw new Error(error);
    return id;
  }
}
