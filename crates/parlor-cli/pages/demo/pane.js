// One side of the conversation: a connection, what it hears, and a line to write.

import { Connection } from './connection.js';

const LOG_ENTRIES_MAX = 200;
const PENDING_MAX = 100;
const SHOWN_BYTES_MAX = 24;
const SHOWN_CHARACTERS_MAX = 2_000;

/**
 * Messages that panes of this page have sent and others have yet to hear. The frames name nobody;
 * this is how the page knows which of them are its own, and how long they took.
 */
export class Wire {
  #pending = [];

  sent(name, text) {
    this.#pending.push({ name, text, at: performance.now(), heardBy: new Set() });
    if (this.#pending.length > PENDING_MAX) this.#pending.shift();
  }

  heard(by, text) {
    const found = this.#pending.find((each) => each.text === text && !each.heardBy.has(by));
    found?.heardBy.add(by);
    return found && { name: found.name, took: performance.now() - found.at };
  }
}

export class Pane {
  #name;
  #wire;
  #base = '';
  #connection;
  #parts;
  #wanted = true;
  #countdown = 0;

  constructor(element, template, { name, greeting, wire }) {
    this.#name = name;
    this.#wire = wire;
    element.append(template.content.cloneNode(true));
    const find = (selector) => element.querySelector(selector);
    this.#parts = {
      state: find('.state'),
      stateText: find('.state-text'),
      url: find('.wire code'),
      log: find('.log'),
      form: find('.composer'),
      text: find('.composer input'),
      echo: find('input[name=echo]'),
      toggle: find('.toggle'),
    };
    find('.avatar').textContent = name[0];
    const heading = find('h3');
    heading.textContent = name;
    heading.id = `${element.id}-name`;
    this.#parts.log.setAttribute('aria-label', `What ${name} sent and heard`);
    this.#parts.text.setAttribute('aria-label', `Message from ${name}`);
    this.#parts.text.placeholder = `Write as ${name}`;
    this.#parts.text.value = greeting;
    this.#connection = new Connection((event) => this.#on(event));
    this.#parts.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#parts.echo.addEventListener('change', () => this.#connect());
    this.#parts.toggle.addEventListener('click', () => this.#toggle());
  }

  /** Enters the room whose door is at `base`. */
  enter(base, room) {
    this.#base = base;
    this.#parts.log.replaceChildren();
    this.#remark(`This is the room ${room}.`);
    this.#connect();
  }

  #connect() {
    const query = new URLSearchParams({ name: this.#name });
    if (this.#parts.echo.checked) query.set('echo', '1');
    const url = `${this.#base}?${query}`;
    this.#parts.url.textContent = url;
    if (this.#wanted) this.#connection.open(url);
  }

  #toggle() {
    this.#wanted = !this.#wanted;
    if (this.#wanted) this.#connect();
    else this.#connection.close();
    this.#parts.toggle.textContent = this.#wanted ? 'Disconnect' : 'Connect';
  }

  #send() {
    const text = this.#parts.text.value;
    if (text === '') return;
    if (!this.#connection.send(text)) {
      this.#remark('Not sent: there is no connection.');
      return;
    }
    this.#wire.sent(this.#name, text);
    this.#entry('sent', text, 'sent');
    this.#parts.text.value = '';
    this.#parts.text.focus();
  }

  #on(event) {
    if (event.kind === 'message') this.#hear(event.data);
    else this.#show(event);
  }

  #hear(data) {
    if (typeof data !== 'string') {
      this.#entry('heard stranger', hex(data), `binary, ${data.byteLength} bytes`);
      return;
    }
    const known = this.#wire.heard(this.#name, data);
    if (!known) this.#entry('heard stranger', data, 'from elsewhere');
    else {
      const kind = known.name === this.#name ? 'heard own' : 'heard';
      this.#entry(kind, data, `from ${known.name}, ${known.took.toFixed(1)} ms`);
    }
  }

  #show({ state, delay, reason }) {
    const { state: pill, stateText } = this.#parts;
    pill.dataset.state = state;
    clearInterval(this.#countdown);
    if (state !== 'waiting') {
      stateText.textContent = { closed: 'disconnected' }[state] ?? state;
      return;
    }
    this.#remark(`Connection lost (${reason}).`);
    const until = performance.now() + delay;
    const tick = () => {
      const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      stateText.textContent = `again in ${left} s`;
    };
    tick();
    this.#countdown = setInterval(tick, 250);
  }

  #remark(text) {
    this.#append('remark', [line('p', '', text)]);
  }

  #entry(kind, text, note) {
    const whole = text.length <= SHOWN_CHARACTERS_MAX;
    const shown = whole ? text : `${text.slice(0, SHOWN_CHARACTERS_MAX)}…`;
    this.#append(kind, [line('p', 'text', shown), line('p', 'note', note)]);
  }

  #append(kind, children) {
    const { log } = this.#parts;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const item = document.createElement('li');
    item.className = kind;
    item.append(...children);
    log.append(item);
    while (log.childElementCount > LOG_ENTRIES_MAX) log.firstElementChild.remove();
    if (atEnd || kind === 'sent') log.scrollTop = log.scrollHeight;
  }
}

function line(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function hex(buffer) {
  const bytes = new Uint8Array(buffer, 0, Math.min(buffer.byteLength, SHOWN_BYTES_MAX));
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return buffer.byteLength > SHOWN_BYTES_MAX ? `${text} …` : text;
}
