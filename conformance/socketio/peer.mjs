// What the scenarios share: sockets with an inbox, whatever client made them.

const PATIENCE_MS = 30_000;

/** Fails when `promise` takes longer than anything here should, also on a busy machine. */
export function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next arguments of an event of an emitter. */
export function once(emitter, name) {
  return within(new Promise((resolve) => emitter.once(name, (...args) => resolve(args))), name);
}

/** Waits until a condition holds. */
export async function until(holds, what) {
  const ends = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (Date.now() > ends) throw new Error(`not in ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Keeps what a socket hears of some events, in order; `next()` takes the oldest: [name, ...args]. */
export function inbox(socket, ...names) {
  const ready = [];
  const waiting = [];
  for (const name of names) {
    socket.on(name, (...args) => {
      const taker = waiting.shift();
      if (taker) taker([name, ...args]);
      else ready.push([name, ...args]);
    });
  }
  return {
    get unread() {
      return ready.length;
    },
    next() {
      if (ready.length > 0) return Promise.resolve(ready.shift());
      return within(new Promise((resolve) => waiting.push(resolve)), names.join(' or '));
    },
  };
}

/** Binary of whatever kind as plain bytes, anywhere in a value, so that it can be compared. */
export function plain(value) {
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (ArrayBuffer.isView(value)) {
    return { bytes: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  }
  return value;
}

/** Emits with an acknowledgement; gives its first argument. Clients 2 and 3 have no emitWithAck. */
export function ask(socket, name, ...args) {
  return within(
    new Promise((resolve) => socket.emit(name, ...args, resolve)),
    `acknowledgement of ${name}`,
  );
}

/** Waits until a socket is connected. */
export async function connected(...sockets) {
  await Promise.all(sockets.map((socket) => socket.connected || once(socket, 'connect')));
  return sockets;
}
