// One side of the conversation: a door, what comes through it, and a line to write.

import { milliseconds } from './measure.js';

const LOG_ENTRIES_MAX = 200;
const SHOWN_BYTES_MAX = 24;
const SHOWN_CHARACTERS_MAX = 2_000;
const SHOWN_PEERS_MAX = 12;
const SHOWN_TYPING_MS = 2_500;

export class Pane {
  #name;
  #door;
  #room;
  #parts;
  #wanted = true;
  #countdown = 0;
  #typing = 0;
  /** Whether it asks for what it missed, and when it was back. */
  #asks = false;
  #backAt = 0;
  /** Whether it was said that the connection is lost; not at each attempt. */
  #lost = false;

  /** `door` is made by `makeDoor(name, listener)`. */
  constructor(element, template, { name, label, makeDoor, greeting = '' }) {
    this.#name = name;
    element.append(template.content.cloneNode(true));
    const find = (selector) => element.querySelector(selector);
    const options = document.getElementById(`${element.id}-options`);
    find('.options').append(options.content.cloneNode(true));
    this.#parts = {
      state: find('.state'),
      stateText: find('.state-text'),
      countdown: find('.countdown'),
      wire: find('.wire'),
      log: find('.log'),
      lines: find('.log ol'),
      form: find('.composer'),
      text: find('.composer input'),
      toggle: find('.toggle'),
      peers: find('.peers-list'),
      lastId: find('.last-id'),
      typing: find('.typing'),
    };
    find('.avatar').textContent = name[0];
    find('.door').textContent = label;
    const heading = find('h3');
    heading.textContent = name;
    heading.id = `${element.id}-name`;
    this.#parts.log.setAttribute('aria-label', `What ${name} sent and heard`);
    this.#parts.text.setAttribute('aria-label', `Message from ${name}`);
    this.#parts.text.placeholder = `Write as ${name}`;
    this.#parts.text.value = greeting;
    this.#parts.toggle.setAttribute('aria-describedby', heading.id);
    this.#door = makeDoor(name, (event) => this.#on(event));
    this.#parts.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#parts.text.addEventListener('input', () => this.#door.typing?.());
    this.#parts.toggle.addEventListener('click', () => this.#toggle());
    this.#watch(find('input[name=events]'), 'events');
    this.#watch(find('input[name=echo]'), 'echo');
    const away = find('input[name=away]');
    away?.addEventListener('change', () => this.#door.setAway(away.checked));
  }

  /** Enters a room. */
  enter(base, room) {
    this.#room = room;
    this.#parts.lines.replaceChildren();
    this.#remark(`This is the room ${room.name}.`);
    this.#backAt = 0;
    this.#door.turnTo(base, room);
    this.#showWire();
    this.#showLastId();
    if (this.#wanted) this.#door.open();
  }

  /** A choice that is part of the address. */
  #watch(box, option) {
    if (!box) return;
    box.checked = this.#door[option];
    box.addEventListener('change', () => {
      this.#door.choose(option, box.checked);
      this.#showWire();
      if (this.#wanted) this.#door.open();
    });
  }

  #toggle() {
    this.#wanted = !this.#wanted;
    if (this.#wanted) this.#door.open();
    else this.#door.cut();
    this.#parts.toggle.textContent = this.#wanted ? 'Cut off' : 'Come back';
  }

  async #send() {
    const text = this.#parts.text.value;
    if (text === '') return;
    if (!this.#door.connection.live) {
      this.#remark('Not sent: there is no connection.');
      return;
    }
    const note = line('p', 'note', 'sent');
    const identify = this.#room.sent(this.#name, text, (id) => {
      note.replaceChildren(code(id), ' sent');
      this.#showLastId();
    });
    this.#append('sent', [line('p', 'text', shortened(text)), note]);
    this.#parts.text.value = '';
    this.#parts.text.focus();
    try {
      identify(await this.#door.send(text));
    } catch (error) {
      note.textContent = `not sent: ${error.message}`;
    }
  }

  #on(event) {
    if (event.kind === 'message') this.#hear(event);
    else if (event.kind === 'state') this.#show(event);
    else if (event.kind === 'back') this.#showBack(event.since);
    else if (event.kind === 'gap') this.#showGap(event.oldest);
    else if (event.kind === 'peers') this.#showPeers(event);
    else if (event.kind === 'typing') this.#showTyping(event.name);
    else if (event.kind === 'remark') this.#remark(event.text);
  }

  #hear({ id, from, text, bytes, missed }) {
    const known = text === undefined ? undefined : this.#room.heard(this.#name, { id, text, from });
    // A stream does not say which events are of before; the page knows when its own were sent.
    missed ||= known?.at < this.#backAt;
    // What it said itself before it was cut off comes back with the rest.
    if (missed && known?.name === this.#name) return;
    const sender = known?.name ?? from;
    let kind = 'heard';
    if (sender === this.#name) kind += ' own';
    else if (!known) kind += ' stranger';
    else kind += ` of-${sender.toLowerCase()}`;
    const notes = [sender ? `from ${sender}` : 'from elsewhere'];
    if (bytes) notes.push(`binary, ${bytes.byteLength} bytes`);
    if (missed) notes.push('missed');
    else if (known) notes.push(milliseconds(performance.now() - known.at));
    const note = line('p', 'note', '');
    if (id) note.append(code(id), ' ');
    note.append(notes.join(', '));
    const shown = bytes ? hex(bytes) : shortened(text);
    this.#append(missed ? `${kind} missed` : kind, [line('p', 'text', shown), note]);
    this.#showLastId();
  }

  #show({ state, delay, reason }) {
    const { state: pill, stateText, countdown } = this.#parts;
    pill.dataset.state = state;
    clearInterval(this.#countdown);
    if (state === 'connected' && this.#asks) this.#backAt = performance.now();
    if (state === 'connected') this.#asks = this.#lost = false;
    else if (this.#parts.peers) this.#parts.peers.textContent = 'nobody';
    if (state === 'closed') this.#remark('Cut off.');
    stateText.textContent = { closed: 'cut off', waiting: 'tries again' }[state] ?? state;
    countdown.textContent = '';
    if (state !== 'waiting') return;
    if (!this.#lost) this.#remark(`Connection lost (${reason}).`);
    this.#lost = true;
    const until = performance.now() + delay;
    const tick = () => {
      const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      // Not in the text of the state: a screen reader would say it each second.
      countdown.textContent = `in ${left} s`;
    };
    tick();
    this.#countdown = setInterval(tick, 250);
  }

  #showBack(since) {
    if (this.#asks) return;
    this.#asks = true;
    const text = line('p', '', 'Asks for what came ');
    if (since) text.append('after ', code(since), '.');
    else text.append('since it came in.');
    this.#append('remark', [text]);
  }

  #showGap(oldest) {
    const text = line('p', '', 'Gap: some messages are gone. ');
    if (oldest) text.append('The oldest that the room still had is ', code(oldest), '.');
    else text.append('The room has none of before.');
    this.#append('remark gap', [text]);
  }

  #showPeers({ peers, came, left }) {
    const call = (peer) => peer?.name ?? 'somebody without a name';
    const shown = peers.slice(0, SHOWN_PEERS_MAX).map((peer) => {
      const away = peer.data?.away ? ' (away)' : '';
      return (peer.name ?? 'somebody') + away;
    });
    if (peers.length > shown.length) shown.push(`${peers.length - shown.length} more`);
    this.#parts.peers.textContent = shown.join(', ') || 'nobody else';
    if (came) this.#remark(`${call(came)} came in.`);
    if (left) this.#remark(`${call(left)} left.`);
  }

  #showTyping(name) {
    const { typing } = this.#parts;
    if (!typing) return;
    typing.textContent = `${shortened(name).slice(0, 40)} writes …`;
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => (typing.textContent = ''), SHOWN_TYPING_MS);
  }

  #showLastId() {
    if (this.#parts.lastId) this.#parts.lastId.textContent = this.#door.last ?? 'none';
  }

  #showWire() {
    const urls = [this.#door.url()];
    if (this.#door.postUrl) urls.push(`POST ${this.#door.postUrl()}`);
    this.#parts.wire.replaceChildren(...urls.map((url) => line('code', '', url)));
  }

  #remark(text) {
    this.#append('remark', [line('p', '', text)]);
  }

  #append(kind, children) {
    const { log, lines } = this.#parts;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const item = document.createElement('li');
    item.className = kind;
    item.append(...children);
    lines.append(item);
    while (lines.childElementCount > LOG_ENTRIES_MAX) lines.firstElementChild.remove();
    if (atEnd || kind === 'sent') log.scrollTop = log.scrollHeight;
  }
}

function line(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

const code = (id) => line('code', 'id', id);

function shortened(text) {
  const whole = text.length <= SHOWN_CHARACTERS_MAX;
  return whole ? text : `${text.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}

function hex(buffer) {
  const bytes = new Uint8Array(buffer, 0, Math.min(buffer.byteLength, SHOWN_BYTES_MAX));
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return buffer.byteLength > SHOWN_BYTES_MAX ? `${text} …` : text;
}
