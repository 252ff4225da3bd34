// What clients hear when the server stops.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from '../server.mjs';
import { open } from './client.mjs';

test('SIGTERM closes the connections with 1001 and ends with 0', async () => {
  const server = await startServer();
  const clients = await Promise.all(
    ['/', '/ws/a', '/ws/b', '/echo'].map((path) => open(server.ws + path)),
  );
  const code = server.stop();
  for (const client of clients) {
    assert.equal((await client.closed()).code, 1001);
  }
  assert.equal(await code, 0, server.output());
});
