// What the panes of this page know together about the room that they are in.

const PENDING_MAX = 100;

export class Room {
  /** The newest message id that any pane has heard; null while the room had none. */
  newest = null;
  /** The newest one when the page came in: for who has heard nothing, all after it is missed. */
  baseline = null;
  #pending = [];

  constructor(name) {
    this.name = name;
  }

  /** Remembers an id that somebody heard or was told. */
  learn(id) {
    if (id && (this.newest === null || isAfter(id, this.newest))) this.newest = id;
  }

  /**
   * Remembers a message that a pane sends. Frames and events name nobody; this is how the page
   * knows which of them are its own, and how long they took. `onId` is called when the id is known.
   */
  sent(name, text, onId) {
    const pending = { name, text, onId, id: null, at: performance.now(), heardBy: new Set() };
    this.#pending.push(pending);
    if (this.#pending.length > PENDING_MAX) this.#pending.shift();
    return (id) => this.#identify(pending, id);
  }

  /** The message of this page that `by` has just heard: {name, at}, or undefined. */
  heard(by, { id, text, from }) {
    const found = this.#pending.find(
      (each) =>
        each.text === text &&
        !each.heardBy.has(by) &&
        (from === undefined || from === each.name) &&
        (!id || !each.id || id === each.id),
    );
    if (!found) return undefined;
    found.heardBy.add(by);
    if (id) this.#identify(found, id);
    return { name: found.name, at: found.at };
  }

  #identify(pending, id) {
    if (pending.id || !id) return;
    pending.id = id;
    this.learn(id);
    pending.onId(id);
  }
}

/** Whether an id is of a later message than another, or of another life of the room. */
export function isAfter(id, other) {
  const [epoch, offset] = parts(id);
  const [otherEpoch, otherOffset] = parts(other);
  return epoch !== otherEpoch || offset > otherOffset;
}

function parts(id) {
  const at = id.lastIndexOf('-');
  return [id.slice(0, at), Number(id.slice(at + 1))];
}
