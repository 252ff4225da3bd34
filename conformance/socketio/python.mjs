// python-socketio as a client, in a process of its own.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pythonPath } from '../server.mjs';
import { within } from './peer.mjs';

/**
 * Runs client.py. `next(kind)` is what it tells next of that kind, `unread(kind)` how much of it
 * waits; `tell` gives it a command, `end()` ends it and gives its exit code. `kill()` is for the
 * end of a test: it ends in any case, and it ends with the process that has started it.
 */
export function python(url, transports, room) {
  const program = fileURLToPath(new URL('client.py', import.meta.url));
  const child = spawn('python3', [program, url, transports, room], {
    env: { ...process.env, PYTHONPATH: pythonPath },
    // Not inherited: a runner of tests waits until nobody holds its own error stream.
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    errors = (errors + chunk).slice(-65_536);
  });
  // It may be gone when it is told something.
  child.stdin.on('error', () => {});
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const told = [];
  const watchers = new Set();
  createInterface(child.stdout).on('line', (line) => {
    told.push(JSON.parse(line));
    for (const watcher of watchers) watcher();
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const next = (kind) => {
    const come = new Promise((resolve, reject) => {
      const watcher = () => {
        const at = told.findIndex(([it]) => it === kind);
        if (at < 0) return;
        watchers.delete(watcher);
        resolve(told.splice(at, 1)[0].slice(1));
      };
      watchers.add(watcher);
      watcher();
      ended.then((code) => reject(new Error(`Python ended with ${code}:\n${errors}`)));
    });
    return within(come, `${kind} of Python`);
  };
  return {
    next,
    unread: (kind) => told.filter(([it]) => it === kind).length,
    tell: (...command) => child.stdin.write(`${JSON.stringify(command)}\n`),
    async end() {
      child.stdin.end(`${JSON.stringify(['end'])}\n`);
      return within(ended, 'end of Python');
    },
    async kill() {
      kill();
      await ended;
      process.removeListener('exit', kill);
    },
  };
}
