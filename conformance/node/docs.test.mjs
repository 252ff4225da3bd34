// The examples of docs/ for Node.js, Python and curl.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { after, before, test } from 'node:test';
import { at, examples } from '../docs.mjs';
import { pythonPath, startServer } from '../server.mjs';
import { open, within } from './client.mjs';

const run = promisify(execFile);
const DOORS = ['doors/websocket.md', 'doors/signal.md', 'doors/sse.md', 'doors/socketio.md'];

let server;
before(async () => {
  server = await startServer();
});
after(async () => {
  assert.equal(await server?.stop(), 0, server?.output());
});

/** Runs a program; `printed(text)` resolves once its output contains the text. */
async function start(language, code) {
  // Beside the installed packages, so that imports find them.
  const ending = language === 'python' ? 'py' : 'mjs';
  const name = `../docs-${process.pid}-${Math.random().toString(36).slice(2)}.tmp.${ending}`;
  const file = fileURLToPath(new URL(name, import.meta.url));
  await writeFile(file, at(server.port, code));
  const program = language === 'python' ? 'python3' : process.execPath;
  const env = { ...process.env, PYTHONPATH: pythonPath, PYTHONUNBUFFERED: '1' };
  const child = spawn(program, [file], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  const watchers = new Set();
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    for (const watcher of watchers) watcher();
  });
  const printed = (text) =>
    within(
      new Promise((resolve) => {
        const watcher = () => output.includes(text) && resolve();
        watchers.add(watcher);
        watcher();
      }),
      `output with ${text}`,
    );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  return {
    printed,
    ended: () => within(ended, 'end'),
    async stop() {
      child.kill('SIGKILL');
      await ended;
      await rm(file);
    },
  };
}

async function post(text) {
  const headers = { 'content-type': 'text/plain' };
  await fetch(`${server.http}/rooms/tea/messages`, { method: 'POST', headers, body: text });
}

/** Waits until somebody says `text` in the room. */
async function said(observer, text) {
  for (;;) {
    const message = JSON.parse(await observer.next());
    if (message.type === 'message' && message.data === text) return message;
  }
}

for (const page of DOORS) {
  for (const [section, language, greeting] of [
    ['Node.js', 'js', 'Hello from Node.js'],
    ['Python', 'python', page.includes('sse') ? null : 'Hello from Python'],
  ]) {
    test(`${page}: ${section}`, async () => {
      const found = (await examples(page)).filter((it) => it.section === section);
      assert.equal(found.length, 1);
      const [{ code }] = found;
      const observer = await open(`${server.ws}/ws/tea?events=all`);
      const program = await start(language, code);
      try {
        if (greeting) {
          const { name } = await said(observer, greeting);
          if (language === 'js') assert.equal(name, 'Node');
        } else {
          await program.printed('joined');
        }
        observer.send('hello back');
        await program.printed('hello back');
      } finally {
        await program.stop();
        await observer.close();
      }
    });
  }
}

test('http.md: fetch, and Python', async () => {
  for (const { language, code } of await examples('http.md')) {
    if (language === 'sh') continue;
    const program = await start(language, code);
    await program.printed('201');
    assert.equal(await program.ended(), 0);
    await program.stop();
  }
});

test('doors/socketio.md: a handshake by curl', async () => {
  const [{ code }] = (await examples('doors/socketio.md')).filter(({ language }) => language === 'sh');
  const observer = await open(`${server.ws}/ws/tea?events=all`);
  const { stdout } = await run('bash', ['-ec', at(server.port, code)], { timeout: 60_000 });
  await said(observer, 'Hello from curl');
  assert.match(stdout, /^ok40\{"sid":"[^"]+".*ok42\["message","Hello from curl".*ok$/s);
  await observer.close();
});

test('every line for curl', async () => {
  let count = 0;
  for (const page of [...DOORS, 'http.md']) {
    for (const { language, code } of await examples(page)) {
      if (language !== 'sh' || code.includes('$(curl')) continue;
      for (const line of code.replaceAll('\\\n', ' ').split('\n')) {
        if (!line.startsWith('curl ')) continue;
        const streams = line.startsWith('curl -N ');
        const command = at(server.port, line).replace(/^curl /, `curl -sS ${streams ? '-m 2 ' : ''}`);
        if (streams) {
          const stream = run('bash', ['-c', command]).catch((error) => error);
          await post('for curl');
          const { stdout } = await stream;
          assert.match(stdout, /event: joined/, line);
        } else {
          const { stdout } = await run('bash', ['-c', command]);
          const expected = line.includes('/rooms/') ? /^\{"id":"[0-9a-f]+-\d+"/ : /ready|# HELP parlor_/;
          assert.match(stdout, expected, line);
        }
        count += 1;
      }
    }
  }
  assert.equal(count, 9);
});
