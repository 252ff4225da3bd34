// Starts and stops the server under test: a `parlor` binary that was built before.

import { spawn } from 'node:child_process';
import { accessSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('..', import.meta.url));

/** Where the packages of requirements.txt are: `./test tools` puts them there. */
export const pythonPath = process.env.TEST_PYTHONPATH ?? `${top}.cache/python`;

/** The binary: TEST_BINARY, else the newest profile that `./test` and `cargo build` leave behind. */
export function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? `${top}target`;
  const candidates = process.env.TEST_BINARY
    ? [process.env.TEST_BINARY]
    : ['quick', 'release', 'debug'].map((profile) => `${target}/${profile}/parlor`);
  for (const path of candidates) {
    try {
      accessSync(path);
      return path;
    } catch {
      // Not built in this profile.
    }
  }
  throw new Error(`no parlor binary (looked at ${candidates.join(', ')}): run ./test build`);
}

/**
 * Runs `parlor serve` on a free port of 127.0.0.1 with more arguments, and waits until it listens.
 * Last there may be {cwd}, its working directory.
 * The result has `port`, `http`, `ws`, `pid`, `output()` and `stop()`, which sends SIGTERM and
 * gives the exit code; a server that does not end within 10 s is killed and gives null.
 */
export async function startServer(...args) {
  const { cwd } = typeof args.at(-1) === 'object' ? args.pop() : {};
  // Settings of whoever runs the tests are not those of the server under test.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('PARLOR_')),
  );
  // Without a drain a test does not wait for the goodbyes to be spread.
  const drain = args.includes('--drain') ? [] : ['--drain', '0s'];
  const child = spawn(binary(), ['serve', '--listen', '127.0.0.1:0', ...drain, ...args], {
    env,
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  const port = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`parlor did not say within 10 s where it listens:\n${text}`));
    }, 10_000);
    const read = (chunk) => {
      // Enough for a failure report; a chatty server must not fill the memory of the runner.
      text = (text + chunk).slice(-65_536);
      const line = /listening on https?:\/\/127\.0\.0\.1:(\d+)/.exec(text);
      if (line) {
        clearTimeout(timer);
        resolve(Number(line[1]));
      }
    };
    child.stdout.setEncoding('utf8').on('data', read);
    child.stderr.setEncoding('utf8').on('data', read);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    ended.then((code) => {
      clearTimeout(timer);
      reject(new Error(`parlor ended with ${code}:\n${text}`));
    });
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  return {
    port,
    pid: child.pid,
    http: `http://127.0.0.1:${port}`,
    ws: `ws://127.0.0.1:${port}`,
    output: () => text,
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(kill, 10_000);
      const code = await ended;
      clearTimeout(timer);
      process.removeListener('exit', kill);
      return code;
    },
  };
}
