// Engine.IO protocol 4, the client's side: one session over long-polling or WebSocket.

// Listeners by event name. A listener that throws disturbs nobody else; its error is reported as
// uncaught.
class Emitter {
  _listeners = new Map();

  on(name, listener) {
    this._listeners.set(name, [...this.listeners(name), listener]);
    return this;
  }

  once(name, listener) {
    const wrapper = (...args) => {
      this.off(name, wrapper);
      listener.apply(this, args);
    };
    wrapper.listener = listener;
    return this.on(name, wrapper);
  }

  off(name, listener) {
    if (name === undefined) this._listeners.clear();
    else if (!listener) this._listeners.delete(name);
    else this._listeners.set(name, without(this.listeners(name), listener));
    return this;
  }

  listeners(name) {
    return this._listeners.get(name) ?? [];
  }

  hasListeners(name) {
    return this.listeners(name).length > 0;
  }

  // What `emit` does everywhere but in a Socket, where that sends.
  _tell(name, ...args) {
    tell(this, this.listeners(name), args);
    return this;
  }
}

Object.assign(Emitter.prototype, {
  emit: Emitter.prototype._tell,
  addEventListener: Emitter.prototype.on,
  removeListener: Emitter.prototype.off,
  removeEventListener: Emitter.prototype.off,
  removeAllListeners: Emitter.prototype.off,
});

function tell(self, listeners, args) {
  for (const listener of listeners) {
    try {
      listener.apply(self, args);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

function without(listeners, listener) {
  const at = listeners.findIndex((it) => it === listener || it.listener === listener);
  return listeners.filter((_, i) => i !== at);
}

function transportError(message, description) {
  return Object.assign(new Error(message), { type: 'TransportError', description });
}

const SEPARATOR = '\x1e';

async function toPollingText({ type, data = '' }) {
  if (typeof data === 'string') return type + data;
  if (typeof Blob === 'function' && data instanceof Blob) data = await data.arrayBuffer();
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return 'b' + btoa(text);
}

function fromText(text) {
  if (text[0] !== 'b') return { type: text[0], data: text.slice(1) };
  const bytes = Uint8Array.from(atob(text.slice(1)), (letter) => letter.charCodeAt(0));
  return { type: '4', data: bytes.buffer };
}

// A transport tells by `onopen()`, `onpacket(packet)`, `ondrain()` and, once, `onlost(reason, why)`.
class Polling {
  name = 'polling';
  writable = false;
  _abort = new AbortController();

  constructor(engine) {
    this._engine = engine;
  }

  open() {
    this.writable = true;
    this._poll();
  }

  async _request(method, body, more) {
    const { extraHeaders, withCredentials } = this._engine.opts;
    const response = await fetch(this._engine._url('polling'), {
      method,
      body,
      headers: extraHeaders,
      credentials: withCredentials ? 'include' : 'same-origin',
      cache: 'no-store',
      signal: this._abort.signal,
      ...more,
    });
    const text = await response.text();
    if (!response.ok) throw Object.assign(new Error(text), { status: response.status });
    return text;
  }

  async _poll() {
    this._polling = true;
    let packets;
    try {
      packets = (await this._request('GET')).split(SEPARATOR).map(fromText);
    } catch (error) {
      return this._lose('xhr poll error', error);
    }
    this._polling = false;
    for (const packet of packets) {
      if (this._closed) return;
      this.onpacket(packet);
    }
    if (this._closed) return;
    if (this._paused) this._rest();
    else this._poll();
  }

  async send(packets) {
    this.writable = false;
    try {
      const texts = await Promise.all(packets.map(toPollingText));
      await this._request('POST', texts.join(SEPARATOR));
    } catch (error) {
      return this._lose('xhr post error', error);
    }
    if (this._closed) return;
    this.writable = true;
    this._rest();
    this.ondrain();
  }

  // Calls back once nothing is on its way any more, in either direction.
  pause(done) {
    this._paused = done;
    this._rest();
  }

  resume() {
    this._paused = undefined;
    if (!this._polling) this._poll();
  }

  _rest() {
    if (this._paused && !this._polling && this.writable) this._paused();
  }

  _lose(message, error) {
    if (this._closed) return;
    this._closed = true;
    this._abort.abort();
    this.onlost('transport error', transportError(message, error.status ?? error));
  }

  // Tells the server where it may still listen.
  close(farewell) {
    if (this._closed) return;
    this._closed = true;
    if (farewell) this._request('POST', '1', { keepalive: true }).catch(() => {});
    else this._abort.abort();
  }
}

class WebSocketTransport {
  name = 'websocket';

  constructor(engine) {
    this._engine = engine;
  }

  get writable() {
    return this._socket?.readyState === 1;
  }

  open() {
    const url = this._engine._url('websocket').replace(/^http/, 'ws');
    const lose = (reason, why) => {
      if (this._closed) return;
      this._closed = true;
      this.onlost(reason, why);
    };
    try {
      this._socket = new WebSocket(url, this._engine.opts.protocols ?? []);
    } catch (error) {
      queueMicrotask(() => lose('transport error', transportError('websocket error', error)));
      return;
    }
    this._socket.binaryType = 'arraybuffer';
    this._socket.onopen = () => this._closed || this.onopen();
    this._socket.onmessage = ({ data }) => {
      if (!this._closed) this.onpacket(typeof data === 'string' ? fromText(data) : { type: '4', data });
    };
    this._socket.onclose = (context) =>
      lose('transport close', { description: 'websocket connection closed', context });
    this._socket.onerror = (event) =>
      lose('transport error', transportError('websocket error', event));
  }

  send(packets) {
    for (const { type, data = '' } of packets) {
      if (!this.writable) return;
      this._socket.send(typeof data === 'string' ? type + data : data);
    }
    this.ondrain();
  }

  close() {
    this._closed = true;
    this._socket?.close();
  }
}

// One session. Events: open, data, ping, upgrading, upgrade, upgradeError, drain, packet,
// packetCreate, error (before it is open) and close (with the reason).
class Engine extends Emitter {
  static protocol = 4;
  protocol = 4;
  readyState = 'opening';
  writeBuffer = [];
  _sent = 0;

  constructor(uri, opts) {
    super();
    this.uri = uri;
    this.opts = opts;
    const known = opts.transports.filter((name) => name in TRANSPORTS);
    this._canUpgrade = opts.upgrade && known.includes('websocket');
    this._offline = () => this._end('transport close', { description: 'network connection lost' });
    globalThis.addEventListener?.('offline', this._offline);
    if (known.length > 0) {
      this._adopt(new TRANSPORTS[known[0]](this));
      this.transport.open();
    } else {
      queueMicrotask(() => this._end('transport error', new Error('No transports available')));
    }
  }

  _url(transport) {
    const query = new URLSearchParams({ ...this.opts.query, EIO: 4, transport });
    if (this.id) query.set('sid', this.id);
    return `${this.uri}${this.opts.path}?${query}`;
  }

  _adopt(transport) {
    this.transport = transport;
    transport.onopen = () => {};
    transport.onpacket = (packet) => this._receive(packet);
    transport.ondrain = () => this._drained();
    transport.onlost = (reason, why) => this._end(reason, why);
  }

  _receive(packet) {
    if (this.readyState === 'closed') return;
    this._tell('packet', packet);
    const { type, data } = packet;
    if (type === '0' && !this.id) this._open(data);
    else if (type === '4' && this.id) this._tell('data', data)._tell('message', data);
    else if (type === '2') {
      this._expect();
      this._tell('ping');
      this._write('3', data);
    } else if (type === '1') this._end('transport close');
    else if (type !== '6' && type !== '3') this._end('parse error', new Error('unknown packet'));
  }

  _open(data) {
    try {
      const { sid, upgrades, pingInterval, pingTimeout, maxPayload } = JSON.parse(data);
      if (typeof sid !== 'string') throw new Error('no session id');
      Object.assign(this, { id: sid, _patience: pingInterval + pingTimeout, _maxPayload: maxPayload });
      this._canUpgrade &&= this.transport.name === 'polling' && upgrades?.includes('websocket');
    } catch (error) {
      return this._end('parse error', error);
    }
    this.readyState = 'open';
    this._expect();
    this._tell('open');
    this._flush();
    if (this._canUpgrade && this.readyState === 'open') this._probe();
  }

  // The next ping of the server has to come in time.
  _expect() {
    clearTimeout(this._timer);
    this._deadline = Date.now() + this._patience;
    this._timer = setTimeout(() => this._end('ping timeout'), this._patience);
  }

  // Timers stand still while a machine sleeps, so the clock is asked before something is sent.
  _isLate() {
    const late = this.readyState === 'open' && Date.now() > this._deadline;
    if (late) queueMicrotask(() => this._end('ping timeout'));
    return late;
  }

  // Packets stay in the buffer while the polling transport falls silent, then go by WebSocket.
  _probe() {
    const probe = (this._probing = new WebSocketTransport(this));
    probe.onopen = () => probe.send([{ type: '2', data: 'probe' }]);
    probe.ondrain = () => {};
    probe.onlost = () => {
      this._probing = undefined;
      if (this.readyState === 'closed') return;
      if (this.upgrading) this.transport.resume();
      this.upgrading = false;
      this._tell('upgradeError', transportError('probe error'));
      this._flush();
    };
    probe.onpacket = ({ type, data }) => {
      if (type !== '3' || data !== 'probe' || this.upgrading) {
        probe.close();
        return probe.onlost();
      }
      this.upgrading = true;
      this._tell('upgrading', probe);
      this.transport.pause(() => {
        if (this.readyState === 'closed' || !this.upgrading) return;
        this.transport._closed = true;
        this._probing = undefined;
        probe.send([{ type: '5' }]);
        this._adopt(probe);
        this.upgrading = false;
        this._tell('upgrade', probe);
        this._flush();
      });
    };
    probe.open();
  }

  write(data) {
    this._write('4', data);
    return this;
  }

  _write(type, data) {
    if (this.readyState === 'closing' || this.readyState === 'closed') return;
    const packet = { type, data };
    this._tell('packetCreate', packet);
    this.writeBuffer.push(packet);
    this._flush();
  }

  // One request carries what the server takes at once.
  _flush() {
    const { transport, writeBuffer } = this;
    if (!this.id || this.upgrading || this._sent > 0 || !transport.writable) return;
    let count = writeBuffer.length;
    if (transport.name === 'polling' && this._maxPayload) {
      let bytes = 0;
      const over = writeBuffer.findIndex(({ data }) => {
        bytes += 2 + (typeof data === 'string' ? data.length * 3 : (data?.byteLength ?? data?.size) * 1.4);
        return bytes > this._maxPayload;
      });
      if (over >= 0) count = Math.max(over, 1);
    }
    this._sent = count;
    if (count > 0) transport.send(writeBuffer.slice(0, count));
  }

  _drained() {
    this.writeBuffer.splice(0, this._sent);
    this._sent = 0;
    if (this.writeBuffer.length > 0) this._flush();
    else this._tell('drain');
  }

  // Sends first what is waiting.
  close() {
    if (this.readyState !== 'opening' && this.readyState !== 'open') return this;
    const waits = this.readyState === 'open';
    this.readyState = 'closing';
    const settle = () => {
      if (waits && this.upgrading) this.once('upgrade', settle).once('upgradeError', settle);
      else if (waits && this.writeBuffer.length > 0) this.once('drain', settle);
      else this._end('forced close');
    };
    settle();
    return this;
  }

  _end(reason, why) {
    const before = this.readyState;
    if (before === 'closed') return;
    this.readyState = 'closed';
    clearTimeout(this._timer);
    globalThis.removeEventListener?.('offline', this._offline);
    this.transport?.close(reason === 'forced close' && this.id);
    this._probing?.close();
    if (before === 'opening') this._tell('error', why ?? new Error(reason));
    this._tell('close', reason, why);
    this.id = undefined;
    this.writeBuffer = [];
  }
}

const TRANSPORTS = { polling: Polling, websocket: WebSocketTransport };
