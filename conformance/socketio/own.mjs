// Our own Socket.IO client in Node.js, which lends it what browsers have.

import WebSocket from 'ws';

globalThis.WebSocket ??= WebSocket;

export const { io, Manager, Socket, protocol } = await import(
  '../../crates/parlor/src/http/bundle/socket.io.esm.min.mjs'
);
