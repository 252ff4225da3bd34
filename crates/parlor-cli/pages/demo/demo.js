// The page: two panes in one room, and texts to copy that lead into the same room.

import { measure } from './measure.js';
import { Pane, Wire } from './pane.js';
import { enableCopying, enableTabs, fill } from './snippets.js';

const ROOM_BYTES_MAX = 128;

// The page may stand below a path of a proxy: the doors are beside it, wherever that is.
const page = new URL('.', location.href);
const server = `${page.protocol === 'https:' ? 'wss' : 'ws'}://${page.host}${page.pathname}`;

const template = document.getElementById('pane');
const wire = new Wire();
const panes = [
  { id: 'ann', name: 'Ann', greeting: 'Hello, Bo!', wire },
  { id: 'bo', name: 'Bo', greeting: '', wire },
].map(({ id, ...options }) => new Pane(document.getElementById(id), template, options));

const form = document.getElementById('room-form');
const field = document.getElementById('room');

/** What is wrong with a room's name, or an empty string. */
function fault(room) {
  if (room === '') return 'A room needs a name.';
  if (room === '.' || room === '..') return 'A path cannot end in this name.';
  if (/\p{Cc}/u.test(room)) return 'No control characters, please.';
  if (new TextEncoder().encode(room).length > ROOM_BYTES_MAX) return 'At most 128 bytes, please.';
  return '';
}

function enter(room) {
  const url = `${server}ws/${encodeURIComponent(room)}`;
  fill({ server: server.replace(/\/$/, ''), 'room-url': url });
  for (const pane of panes) pane.enter(url, room);
  field.value = room;
  const hash = room === 'lobby' ? ' ' : `#room=${encodeURIComponent(room)}`;
  history.replaceState(null, '', hash.trim() || location.pathname + location.search);
}

/** The room that the page's address names. */
function named() {
  try {
    return new URLSearchParams(location.hash.slice(1)).get('room') ?? 'lobby';
  } catch {
    return 'lobby';
  }
}

field.addEventListener('input', () => field.setCustomValidity(fault(field.value)));
form.addEventListener('submit', (event) => {
  event.preventDefault();
  enter(field.value);
});
window.addEventListener('hashchange', () => {
  if (location.hash.startsWith('#room=') && !fault(named())) enter(named());
});

enableCopying();
enableTabs(document.querySelector('[role=tablist]'));

const measureButton = document.getElementById('measure');
const measured = document.getElementById('measured');
measureButton.addEventListener('click', async () => {
  measureButton.disabled = true;
  measured.textContent = 'measuring';
  try {
    const { median, worst } = await measure(`${server}echo`);
    measured.textContent = `median ${median.toFixed(1)} ms, worst ${worst.toFixed(1)} ms`;
  } catch (error) {
    measured.textContent = error.message;
  }
  measureButton.disabled = false;
});

enter(fault(named()) ? 'lobby' : named());
