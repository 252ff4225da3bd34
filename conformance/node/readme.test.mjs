// The README's example for Node.js, as it stands there, with nothing changed but the port.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { startServer } from '../server.mjs';
import { open, within } from './client.mjs';

test('the example in the README talks to a member of its room', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const [, example] = /```js\n(import WebSocket from 'ws';\n[^`]*)```/.exec(readme);
  assert.ok(example.includes('ws://localhost:8080/ws/tea'));
  const server = await startServer();
  const other = await open(`${server.ws}/ws/tea`);
  // Beside the installed packages, so that the import finds them.
  const file = fileURLToPath(new URL(`../readme-${process.pid}.tmp.mjs`, import.meta.url));
  await writeFile(file, example.replaceAll('localhost:8080', `127.0.0.1:${server.port}`));
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    assert.equal(await other.next(), 'Hello from Node.js');
    const printed = new Promise((resolve) => child.stdout.once('data', (data) => resolve(`${data}`)));
    other.send('hello back');
    assert.equal(await within(printed, 'output'), 'hello back\n');
  } finally {
    child.kill('SIGKILL');
    await rm(file);
    await other.close();
    assert.equal(await server.stop(), 0, server.output());
  }
});
