// A WebSocket that comes back: after a loss it tries again, each time a little later.

const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 15_000;

/**
 * Calls its listener with one of
 *   {kind: 'state', state: 'connecting' | 'connected' | 'waiting' | 'closed', delay, reason}
 *   {kind: 'message', data}   data: string or ArrayBuffer
 */
export class Connection {
  #listener;
  #url = '';
  #socket = null;
  #timer = 0;
  #failures = 0;

  constructor(listener) {
    this.#listener = listener;
    window.addEventListener('online', () => this.#retryNow());
  }

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Leaves what was there and connects to `url`. */
  open(url) {
    this.#drop();
    this.#url = url;
    this.#failures = 0;
    this.#connect();
  }

  /** Leaves, and stays away. */
  close() {
    this.#drop();
    this.#tell('closed');
  }

  /** Sends a string; false when there is no connection. */
  send(text) {
    if (!this.connected) return false;
    this.#socket.send(text);
    return true;
  }

  #connect() {
    this.#timer = 0;
    this.#tell('connecting');
    const socket = new WebSocket(this.#url);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    const mine = (handle) => (event) => {
      if (this.#socket === socket) handle(event);
    };
    socket.onopen = mine(() => {
      this.#failures = 0;
      this.#tell('connected');
    });
    socket.onmessage = mine((event) => this.#listener({ kind: 'message', data: event.data }));
    socket.onclose = mine((event) => this.#lost(event));
  }

  #lost(event) {
    this.#socket = null;
    const most = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
    // Half of it at random: clients that were lost together do not come back together.
    const delay = most / 2 + (most / 2) * Math.random();
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), delay);
    const reason = [event.code, event.reason].filter(Boolean).join(' ');
    this.#tell('waiting', { delay, reason });
  }

  #retryNow() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #tell(state, more = {}) {
    this.#listener({ kind: 'state', state, ...more });
  }
}
