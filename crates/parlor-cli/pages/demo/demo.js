// The page: four panes in one room, and texts to copy that lead into the same room.

import { FrameDoor, SignalDoor, StreamDoor } from './doors.js';
import { measure, milliseconds } from './measure.js';
import { Pane } from './pane.js';
import { Room } from './room.js';
import { SocketIoDoor, servedClient } from './socketio.js';
import { enableCopying, enableTabs, fill } from './snippets.js';

const ROOM_BYTES_MAX = 128;

// The page may stand below a path of a proxy: the doors are beside it, wherever that is.
const page = new URL('.', location.href);
const base = {
  socket: `${page.protocol === 'https:' ? 'wss' : 'ws'}://${page.host}${page.pathname}`,
  http: `${page.protocol}//${page.host}${page.pathname}`,
};

/** Where Socket.IO is served, and which client of it; null where it, or the client, is not. */
const { socketio } = await (await fetch(new URL('doors.json', import.meta.url))).json();
base.socketio = socketio === null ? null : base.http + socketio.slice(1);
const client = socketio === null ? null : await servedClient(base.socketio);

const template = document.getElementById('pane');
const panes = [
  { id: 'ann', name: 'Ann', label: 'WebSocket', Door: FrameDoor, greeting: 'Hello, Bo! Hello, Cy!' },
  { id: 'bo', name: 'Bo', label: 'parlor.v1', Door: SignalDoor },
  { id: 'cy', name: 'Cy', label: 'EventSource and POST', Door: StreamDoor },
  { id: 'dee', name: 'Dee', label: 'Socket.IO', Door: SocketIoDoor },
].filter(({ Door }) => Door !== SocketIoDoor || client !== null).map(({ id, Door, ...options }) => {
  const makeDoor = (name, listener) => new Door({ name, listener });
  return new Pane(document.getElementById(id), template, { ...options, makeDoor });
});

const remark = client === null && document.createElement('p');
if (remark) {
  remark.className = 'off';
  remark.id = 'dee-name';
  remark.textContent = socketio === null
    ? 'Dee would speak Socket.IO, which is off on this server.'
    : 'Dee would speak Socket.IO, but this server serves no client of it.';
  document.getElementById('dee').append(remark);
}
for (const part of document.querySelectorAll('[data-socketio]')) {
  part.hidden = (part.dataset.socketio === 'on') !== (socketio !== null);
}

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

function enter(name) {
  const socketioPath = base.socketio && new URL(base.socketio).pathname;
  const isUsual = !socketioPath || socketioPath === '/socket.io/';
  const path = encodeURIComponent(name);
  fill({
    server: base.socket.replace(/\/$/, ''),
    http: base.http.replace(/\/$/, ''),
    'room-url': `${base.socket}ws/${path}`,
    'stream-url': `${base.http}sse/${path}`,
    'post-url': `${base.http}rooms/${path}/messages`,
    origin: page.origin,
    who: client === null ? 'Ann, Bo and Cy below are three' : undefined,
    'socketio-url': base.socketio ?? '',
    'socketio-path': socketio ?? '/socket.io/',
    'socketio-option': isUsual ? '' : `path: '${socketioPath}', `,
    'socketio-options': isUsual ? '' : `, { path: '${socketioPath}' }`,
    'room-text': JSON.stringify(name),
    'room-name': /^[\w-]+$/.test(name) ? name : quoted(name),
  });
  const room = new Room(name);
  for (const pane of panes) pane.enter(base, room);
  field.value = name;
  const hash = name === 'lobby' ? ' ' : `#room=${path}`;
  history.replaceState(null, '', hash.trim() || location.pathname + location.search);
}

/** One word of a shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
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

document.getElementById('client').textContent = client
  ? `This server serves ${client}.`
  : 'This server serves no client for it.';

enableCopying();
enableTabs(document.querySelector('[role=tablist]'));

const measureButton = document.getElementById('measure');
const measured = document.getElementById('measured');
measureButton.addEventListener('click', async () => {
  measureButton.disabled = true;
  measured.textContent = 'measuring';
  try {
    const { mean, worst } = await measure(`${base.socket}echo`);
    measured.textContent = `mean ${milliseconds(mean)}, worst ${milliseconds(worst)}`;
  } catch (error) {
    measured.textContent = error.message;
  }
  measureButton.disabled = false;
});

enter(fault(named()) ? 'lobby' : named());
