// Compares servers on a machine that is not quiet: all of them run, and short load tests take turns,
// so that a change of the machine's mood hits all alike. Prints for each server the median, lowest
// and highest CPU time of the server a delivery (message, connection), and the median over the
// rounds of its ratio to the first server in the same round.
//
//   node bench/compare.mjs ROUNDS 'fanout --members 1000 --time 1500ms' \
//     'one=COMMAND {port} :: ws://127.0.0.1:{port}/PATH' 'two=…'
//
// Servers run on core 0 and the load test on core 1 (CORES=- leaves that to the system). The load
// test is PARLOR, by default target/release/parlor. A setting of the server's own follows its URL.

import { spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const [rounds, bench, ...specs] = process.argv.slice(2);
if (specs.length === 0) {
  console.error("usage: node bench/compare.mjs ROUNDS 'fanout OPTIONS' 'NAME=COMMAND :: URL OPTIONS' ...");
  process.exit(2);
}
const top = fileURLToPath(new URL('..', import.meta.url));
const parlor = process.env.PARLOR ?? `${top}target/release/parlor`;
const pinned = (core) => (process.env.CORES === '-' ? [] : ['taskset', '-c', core]);

/** A port that is free now. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function start(spec) {
  const [name, rest] = [spec.slice(0, spec.indexOf('=')), spec.slice(spec.indexOf('=') + 1)];
  const port = await freePort();
  const [command, target] = rest.replaceAll('{port}', port).split(' :: ');
  const words = [...pinned('0'), ...command.trim().split(/\s+/)];
  const child = spawn(words[0], words.slice(1), { stdio: 'ignore' });
  const [url, ...options] = target.trim().split(/\s+/);
  return { name, child, url, options, rows: [] };
}

/** CPU microseconds a unit of the case, whatever the unit is called. */
function measure({ child, url, options }) {
  const [kind, ...more] = bench.trim().split(/\s+/);
  const words = [...pinned('1'), parlor, 'bench', kind, url, ...more, ...options];
  words.push('--pid', String(child.pid), '--json');
  const { stdout, stderr } = spawnSync(words[0], words.slice(1), { encoding: 'utf8' });
  if (!stdout) throw new Error(stderr);
  const row = JSON.parse(stdout);
  const key = Object.keys(row).find((name) => name.startsWith('server_cpu_us_per_'));
  const unit = key ?? 'server_anonymous_bytes_per_connection';
  const wrong = (row.lost ?? 0) + (row.repeated ?? 0) + (row.reordered ?? 0) + (row.closed ?? 0);
  return { value: row[unit], p99: row.latency_p99_us ?? 0, wrong, unit };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const shown = (number) => number.toPrecision(4).padStart(8);

const servers = await Promise.all(specs.map(start));
try {
  await sleep(1000);
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const server of servers) server.rows.push(measure(server));
  }
} finally {
  for (const { child } of servers) child.kill('SIGTERM');
}
console.log(`${bench}: ${rounds} rounds, ${servers[0].rows[0].unit}`);
for (const { name, rows } of servers) {
  const values = rows.map((row) => row.value);
  const ratio = (key) => median(rows.map((row, i) => row[key] / servers[0].rows[i][key]));
  const wrong = rows.reduce((sum, row) => sum + row.wrong, 0);
  const [least, most] = [Math.min(...values), Math.max(...values)].map(shown);
  console.log(
    `${name.padEnd(12)} ${shown(median(values))} [${least} - ${most}]  ratio ${ratio('value').toFixed(3)}` +
      `  p99 ratio ${ratio('p99').toFixed(2)}  wrong ${wrong}`,
  );
}
