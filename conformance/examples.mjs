// Starts the examples of the library, which were built before.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('..', import.meta.url));
const PATIENCE_MS = 10_000;

/**
 * Runs an example with these arguments on a free port of 127.0.0.1 and waits until it says where it listens. The result
 * has `http`, `ws` and `stop()`, which sends SIGINT and gives the exit code; an example that does
 * not end within 10 s is killed and gives null.
 */
export async function startExample(name, ...args) {
  const target = process.env.CARGO_TARGET_DIR ?? `${top}target`;
  const child = spawn(`${target}/debug/examples/${name}`, ['127.0.0.1:0', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  let text = '';
  const address = await new Promise((resolve, reject) => {
    const late = () => {
      kill();
      reject(new Error(`the example ${name} did not say where it listens:\n${text}`));
    };
    const timer = setTimeout(late, PATIENCE_MS);
    child.once('error', reject);
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      text = (text + chunk).slice(-65_536);
      const line = /listening on \w+:\/\/(127\.0\.0\.1:\d+)/.exec(text);
      if (line) {
        clearTimeout(timer);
        resolve(line[1]);
      }
    });
  });
  return {
    http: `http://${address}`,
    ws: `ws://${address}`,
    async stop() {
      child.kill('SIGINT');
      const timer = setTimeout(kill, PATIENCE_MS);
      const code = await ended;
      clearTimeout(timer);
      process.removeListener('exit', kill);
      return code;
    },
  };
}
