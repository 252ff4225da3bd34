// A connection that comes back: after a loss it tries again, each time a little later.

const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 15_000;

/**
 * Keeps one link open. `begin(events)` starts to connect and gives a function that ends it; in
 * between it calls `events.opened()` and `events.lost(reason)`. What comes of a link that was left
 * is passed over: `events.while(handle)` wraps a handler so.
 *
 * Calls `tell` with {state: 'connecting' | 'connected' | 'waiting' | 'closed', delay, reason}.
 */
export class Connection {
  #begin;
  #tell;
  #end = null;
  #link = null;
  #timer = 0;
  #failures = 0;
  #live = false;

  constructor(begin, tell) {
    this.#begin = begin;
    this.#tell = tell;
    window.addEventListener('online', () => this.#retryNow());
  }

  get live() {
    return this.#live;
  }

  /** Leaves what was there and connects. */
  open() {
    this.#drop();
    this.#failures = 0;
    this.#connect();
  }

  /** Leaves, and stays away. */
  close() {
    this.#drop();
    this.#tell({ state: 'closed' });
  }

  #connect() {
    this.#timer = 0;
    this.#tell({ state: 'connecting' });
    const link = {};
    this.#link = link;
    const mine =
      (handle) =>
      (...values) => {
        if (this.#link === link) handle(...values);
      };
    this.#end = this.#begin({
      opened: mine(() => {
        this.#failures = 0;
        this.#live = true;
        this.#tell({ state: 'connected' });
      }),
      lost: mine((reason) => this.#lost(reason)),
      while: mine,
    });
  }

  #lost(reason) {
    this.#drop();
    const most = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
    // At random: clients that were lost together do not come back together.
    const delay = most / 2 + (most / 2) * Math.random();
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#tell({ state: 'waiting', delay, reason });
  }

  #retryNow() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#link = null;
    this.#live = false;
    this.#end?.();
    this.#end = null;
  }
}
