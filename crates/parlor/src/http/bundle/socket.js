// Socket.IO protocol 5, the client's side: namespaces over one Engine.IO session.

const [CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK] = '0123456';

const RESERVED = [
  'connect',
  'connect_error',
  'disconnect',
  'disconnecting',
  'newListener',
  'removeListener',
];

function isBinary(value) {
  return (
    value instanceof ArrayBuffer ||
    ArrayBuffer.isView(value) ||
    (typeof Blob === 'function' && value instanceof Blob)
  );
}

// A packet as one text and its attachments.
function encode({ type, nsp, id = '', data }) {
  const attachments = [];
  const json = JSON.stringify(data, function (key, value) {
    // Not `value`: a Buffer of Node.js has become something else by then.
    if (!isBinary(this[key])) return value;
    return { _placeholder: true, num: attachments.push(this[key]) - 1 };
  });
  if (attachments.length > 0) type = `${type === EVENT ? BINARY_EVENT : BINARY_ACK}${attachments.length}-`;
  return [`${type}${nsp === '/' ? '' : `${nsp},`}${id}${json ?? ''}`, ...attachments];
}

// Puts packets together; throws for what is none.
class Decoder {
  add(message) {
    if (typeof message === 'string') {
      if (this._packet) throw new Error('text where an attachment was expected');
      const packet = this._parse(message);
      if (!packet.attachments) return packet;
      this._packet = { ...packet, buffers: [] };
    } else {
      if (!this._packet) throw new Error('binary where none was expected');
      this._packet.buffers.push(message);
    }
    return this._packet.buffers.length < this._packet.attachments ? undefined : this._complete();
  }

  _parse(text) {
    const [, type, count, nsp = '/', id, json] =
      /^([0-6])(?:(\d+)-)?(?:(\/[^,]*)(?:,|$))?(\d+)?([^]*)$/.exec(text) ?? [];
    const binary = type === BINARY_EVENT || type === BINARY_ACK;
    const data = json ? JSON.parse(json) : undefined;
    const isEvent = type === EVENT || type === BINARY_EVENT;
    const isAck = type === ACK || type === BINARY_ACK;
    const fits = isEvent
      ? Array.isArray(data) && ['string', 'number'].includes(typeof data[0]) && !RESERVED.includes(data[0])
      : isAck
        ? Array.isArray(data) && id !== undefined
        : type !== DISCONNECT || data === undefined;
    if (!type || !fits || binary !== (count !== undefined)) throw new Error('invalid packet');
    const attachments = Number(count ?? 0);
    return {
      type: isEvent ? EVENT : isAck ? ACK : type,
      nsp,
      id: id && Number(id),
      data,
      attachments,
      json,
    };
  }

  _complete() {
    const { buffers, json, ...packet } = this._packet;
    this._packet = undefined;
    packet.data = JSON.parse(json, (_, value) => {
      if (value?._placeholder !== true) return value;
      const buffer = Number.isInteger(value.num) ? buffers[value.num] : undefined;
      if (!buffer) throw new Error('illegal attachment');
      return buffer;
    });
    return packet;
  }
}

// One connection to one server, made again when it is lost. Events: open, close, error, ping,
// packet, reconnect_attempt, reconnect_error, reconnect_failed, reconnect.
class Manager extends Emitter {
  nsps = {};
  _readyState = 'closed';
  _attempts = 0;
  _skipReconnect = false;

  constructor(uri, opts = {}) {
    super();
    this.uri = new URL(uri.replace(/^ws/, 'http'), globalThis.location?.href).origin;
    this.opts = {
      path: '/socket.io/',
      transports: ['polling', 'websocket'],
      upgrade: true,
      reconnection: true,
      reconnectionAttempts: Infinity,
      reconnectionDelay: 1000,
      reconnectionDelayMax: 5000,
      randomizationFactor: 0.5,
      timeout: 20000,
      autoConnect: true,
      ...opts,
    };
    this.opts.path = this.opts.path.replace(/\/?$/, '/');
    for (const name of OPTIONS) {
      this[name] = function (value) {
        if (value === undefined) return this.opts[name];
        this.opts[name] = value;
        return this;
      };
    }
    if (this.opts.autoConnect) this.open();
  }

  open(done) {
    if (this._readyState !== 'closed') return this;
    this._readyState = 'opening';
    this._skipReconnect = false;
    const engine = (this.engine = new Engine(this.uri, this.opts));
    const decoder = new Decoder();
    let timer;
    const fail = (error) => {
      clearTimeout(timer);
      engine.off();
      engine.close();
      this._readyState = 'closed';
      this._tell('error', error);
      if (done) done(error);
      else if (!this._reconnecting && this.opts.reconnection && this._attempts === 0) this._reconnect();
    };
    engine.on('error', fail);
    engine.on('open', () => {
      clearTimeout(timer);
      engine.off('error', fail);
      this._readyState = 'open';
      this._tell('open');
      done?.();
    });
    engine.on('ping', () => this._tell('ping'));
    engine.on('data', (message) => {
      try {
        const packet = decoder.add(message);
        if (packet) this._tell('packet', packet);
      } catch (error) {
        this._lose('parse error', error);
      }
    });
    engine.on('close', (reason, why) => this._readyState === 'open' && this._lose(reason, why));
    if (this.opts.timeout !== false) timer = setTimeout(() => fail(new Error('timeout')), this.opts.timeout);
    this._stopOpening = () => clearTimeout(timer);
    return this;
  }

  _lose(reason, why) {
    this._stopOpening?.();
    this.engine?.off();
    this.engine?.close();
    clearTimeout(this._timer);
    this._attempts = 0;
    this._readyState = 'closed';
    this._tell('close', reason, why);
    if (this.opts.reconnection && !this._skipReconnect) this._reconnect();
  }

  _reconnect() {
    if (this._reconnecting || this._skipReconnect) return;
    const { reconnectionAttempts, reconnectionDelay, reconnectionDelayMax, randomizationFactor } = this.opts;
    if (this._attempts >= reconnectionAttempts) {
      this._attempts = 0;
      this._tell('reconnect_failed');
      return;
    }
    const jitter = 1 + randomizationFactor * (2 * Math.random() - 1);
    const delay = Math.min(reconnectionDelay * 2 ** this._attempts * jitter, reconnectionDelayMax);
    this._attempts += 1;
    this._reconnecting = true;
    this._timer = setTimeout(() => {
      if (this._skipReconnect) return;
      this._tell('reconnect_attempt', this._attempts);
      if (this._skipReconnect) return;
      this.open((error) => {
        this._reconnecting = false;
        if (error) {
          this._reconnect();
          this._tell('reconnect_error', error);
        } else {
          const attempt = this._attempts;
          this._attempts = 0;
          this._tell('reconnect', attempt);
        }
      });
    }, delay);
  }

  socket(nsp, opts) {
    const socket = (this.nsps[nsp] ??= new Socket(this, nsp, opts));
    if (this.opts.autoConnect && !socket.active) socket.connect();
    return socket;
  }

  // The connection ends with the last namespace that used it.
  _release() {
    if (!Object.values(this.nsps).some((socket) => socket.active)) this._close();
  }

  _close() {
    this._skipReconnect = true;
    this._reconnecting = false;
    this._lose('forced close');
  }

  _send(packet) {
    for (const message of encode(packet)) this.engine.write(message);
  }
}

const OPTIONS = [
  'reconnection',
  'reconnectionAttempts',
  'reconnectionDelay',
  'reconnectionDelayMax',
  'randomizationFactor',
  'timeout',
];
Object.assign(Manager.prototype, {
  connect: Manager.prototype.open,
  close: Manager.prototype._close,
  disconnect: Manager.prototype._close,
});

// A namespace. Events: connect, connect_error, disconnect, and those of the application.
class Socket extends Emitter {
  connected = false;
  recovered = false;
  sendBuffer = [];
  receiveBuffer = [];
  flags = {};
  _acks = new Map();
  _nextId = 0;
  _any = [];
  _anyOutgoing = [];

  constructor(io, nsp, opts = {}) {
    super();
    this.io = io;
    this.nsp = nsp;
    this.auth = opts.auth;
    this._opts = opts;
  }

  get disconnected() {
    return !this.connected;
  }

  get active() {
    return this._subscriptions !== undefined;
  }

  get volatile() {
    this.flags.volatile = true;
    return this;
  }

  timeout(ms) {
    this.flags.timeout = ms;
    return this;
  }

  compress(compress) {
    this.flags.compress = compress;
    return this;
  }

  connect() {
    if (this.connected) return this;
    this._subscribe();
    if (!this.io._reconnecting) this.io.open();
    if (this.io._readyState === 'open') this._enter();
    return this;
  }

  disconnect() {
    if (this.connected) this.io._send({ type: DISCONNECT, nsp: this.nsp });
    const connected = this.connected;
    this._unsubscribe();
    if (connected) this._lose('io client disconnect');
    return this;
  }

  _subscribe() {
    if (this.active) return;
    this._subscriptions = {
      open: () => this._enter(),
      packet: (packet) => packet.nsp === this.nsp && this._receive(packet),
      error: (error) => this.connected || this._tell('connect_error', error),
      close: (reason, why) => this._lose(reason, why),
    };
    for (const [name, listener] of Object.entries(this._subscriptions)) this.io.on(name, listener);
  }

  _unsubscribe() {
    for (const [name, listener] of Object.entries(this._subscriptions ?? {})) this.io.off(name, listener);
    this._subscriptions = undefined;
    this.io._release();
  }

  // With the id of the session and the last offset heard, where there is something to recover.
  _enter() {
    const enter = (auth) => {
      const data = this._pid ? { pid: this._pid, offset: this._offset, ...auth } : auth;
      this.io._send({ type: CONNECT, nsp: this.nsp, data });
    };
    if (typeof this.auth === 'function') this.auth(enter);
    else enter(this.auth);
  }

  _receive({ type, id, data }) {
    if (type === CONNECT && data?.sid) this._joined(data);
    else if (type === CONNECT) {
      this._tell('connect_error', new Error('the server speaks an older protocol than this client'));
    } else if (type === EVENT) {
      const args = id === undefined ? data : [...data, this._answer(id)];
      if (this.connected) this._hear(args);
      else this.receiveBuffer.push(args);
    } else if (type === ACK) {
      const ack = this._acks.get(id);
      this._acks.delete(id);
      ack?.(undefined, data);
    } else if (type === DISCONNECT) {
      this._unsubscribe();
      this._lose('io server disconnect');
    } else {
      this._unsubscribe();
      this._tell('connect_error', Object.assign(new Error(data?.message), { data: data?.data }));
    }
  }

  _joined({ sid, pid }) {
    this.id = sid;
    this.recovered = pid !== undefined && pid === this._pid;
    this._pid = pid;
    this.connected = true;
    const [received, unsent] = [this.receiveBuffer, this.sendBuffer];
    this.receiveBuffer = [];
    this.sendBuffer = [];
    for (const args of received) this._hear(args);
    for (const packet of unsent) this._dispatch(packet);
    if (this.connected) this._tell('connect');
  }

  _hear(args) {
    tell(this, this._any, args);
    this._tell(...args);
    const last = args.at(-1);
    if (this._pid && typeof last === 'string') this._offset = last;
  }

  _answer(id) {
    let answered = false;
    return (...data) => {
      if (answered) return;
      answered = true;
      if (this.connected) this.io._send({ type: ACK, nsp: this.nsp, id, data });
    };
  }

  _lose(reason, why) {
    const was = this.connected;
    this.connected = false;
    this.id = undefined;
    // What was not delivered yet comes again with the offset that was heard last.
    this.receiveBuffer = [];
    if (was) this._tell('disconnect', reason, why);
    for (const [id, ack] of this._acks) {
      if (this.sendBuffer.some((packet) => packet.id === id)) continue;
      this._acks.delete(id);
      ack(new Error('socket has been disconnected'));
    }
  }

  emit(name, ...args) {
    if (RESERVED.includes(name)) throw new Error(`"${name}" is a reserved event name`);
    const packet = { type: EVENT, nsp: this.nsp, data: [name, ...args] };
    const flags = this.flags;
    this.flags = {};
    if (typeof args.at(-1) === 'function') {
      packet.id = this._nextId++;
      this._await(packet.id, packet.data.pop(), flags.timeout ?? this._opts.ackTimeout);
    }
    const engine = this.io.engine;
    if (flags.volatile && !(this.connected && engine.transport.writable && !engine.upgrading)) return this;
    if (this.connected && !engine._isLate()) this._dispatch(packet);
    else this.sendBuffer.push(packet);
    return this;
  }

  _dispatch(packet) {
    tell(this, this._anyOutgoing, packet.data);
    this.io._send(packet);
  }

  // `ack(error, data)` is told of the end of the connection as well.
  _await(id, callback, timeout) {
    const errorFirst = timeout !== undefined || callback.errorFirst;
    const ack = (error, data) => {
      clearTimeout(timer);
      if (!errorFirst) {
        if (!error) tell(this, [callback], data);
      } else tell(this, [callback], error ? [error] : [null, ...data]);
    };
    const timer =
      timeout !== undefined &&
      setTimeout(() => {
        this._acks.delete(id);
        this.sendBuffer = this.sendBuffer.filter((packet) => packet.id !== id);
        ack(new Error('operation has timed out'));
      }, timeout);
    this._acks.set(id, ack);
  }

  emitWithAck(name, ...args) {
    return new Promise((resolve, reject) => {
      const callback = (error, value) => (error ? reject(error) : resolve(value));
      callback.errorFirst = true;
      this.emit(name, ...args, callback);
    });
  }

  send(...args) {
    return this.emit('message', ...args);
  }
}

Object.assign(Socket.prototype, {
  open: Socket.prototype.connect,
  close: Socket.prototype.disconnect,
});

// Listeners of everything that comes in, and of everything that goes out.
for (const [end, field] of [
  ['Any', '_any'],
  ['AnyOutgoing', '_anyOutgoing'],
]) {
  Object.assign(Socket.prototype, {
    [`on${end}`](listener) {
      this[field] = [...this[field], listener];
      return this;
    },
    [`prepend${end}`](listener) {
      this[field] = [listener, ...this[field]];
      return this;
    },
    [`off${end}`](listener) {
      this[field] = listener ? without(this[field], listener) : [];
      return this;
    },
    [`listeners${end}`]() {
      return this[field];
    },
  });
}

const managers = {};

// A socket for a namespace, which is the path of the address. Sockets of one server share a
// connection, unless they are in the same namespace or are told otherwise.
function io(uri, opts) {
  if (typeof uri === 'object') return io(undefined, uri);
  opts ??= {};
  const page = globalThis.location;
  let address = uri ?? `${page.protocol}//${page.host}`;
  if (address.startsWith('//')) address = page.protocol + address;
  else if (address.startsWith('/')) address = `${page.protocol}//${page.host}${address}`;
  else if (!/^(https?|wss?):/.test(address)) address = `${page?.protocol ?? 'https:'}//${address}`;
  const [, server, nsp, query] = /^(\w+:\/\/[^/?#]*)([^?#]*)\??([^#]*)/.exec(address.replace(/^ws/, 'http'));
  const { origin } = new URL(server);
  const namespace = nsp || '/';
  const fresh = () =>
    new Manager(origin, { query: Object.fromEntries(new URLSearchParams(query)), ...opts });
  const alone = opts.forceNew || opts['force new connection'] || opts.multiplex === false;
  const shared = !alone && !(managers[origin] && namespace in managers[origin].nsps);
  const manager = shared ? (managers[origin] ??= fresh()) : fresh();
  return manager.socket(namespace, opts);
}

const protocol = 5;
Object.assign(io, { io, connect: io, Manager, Socket, managers, protocol });
