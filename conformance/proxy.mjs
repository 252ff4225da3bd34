// A TCP proxy on a free port of 127.0.0.1 whose connections can be cut, and whose target moved.

import { createServer, connect } from 'node:net';

/**
 * Resets a connection. One that is being connected or shut down cannot be: Node.js 20 then keeps
 * its handle, and does not exit for it.
 */
function reset(socket) {
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/**
 * `port` to connect to; `target` is the port behind, or 0 to refuse; `cut()` resets everybody;
 * `freeze()` lets nothing more through and keeps connections open, new ones too, until `thaw()`
 * resets what has frozen. `hold()` keeps back what comes from the target over the connections that
 * there are, until `release()` lets it through.
 */
export async function startProxy(target) {
  const pairs = new Set();
  let frozen = false;
  const proxy = { port: 0, target, connections: 0 };
  const server = createServer((client) => {
    proxy.connections += 1;
    if (proxy.target === 0) {
      client.destroy();
      return;
    }
    const behind = connect(proxy.target, '127.0.0.1');
    const pair = [client, behind];
    pairs.add(pair);
    for (const [from, to] of [pair, [behind, client]]) {
      if (!frozen) from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        pairs.delete(pair);
      });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.port = server.address().port;
  proxy.cut = () => {
    for (const pair of pairs) pair.forEach(reset);
  };
  proxy.freeze = () => {
    frozen = true;
    for (const [client, behind] of pairs) {
      client.unpipe(behind).pause();
      behind.unpipe(client).pause();
    }
  };
  proxy.hold = () => {
    for (const [client, behind] of pairs) behind.unpipe(client).pause();
  };
  proxy.release = () => {
    for (const [client, behind] of pairs) behind.pipe(client);
  };
  proxy.thaw = () => {
    frozen = false;
    proxy.cut();
  };
  proxy.stop = () => {
    proxy.cut();
    return new Promise((resolve) => server.close(resolve));
  };
  return proxy;
}

/** Publishes text in a room; gives the message's id. */
export async function publish(server, room, text) {
  const response = await fetch(`${server.http}/rooms/${room}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
    body: text,
  });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()).id;
}
