// Runs the fuzzing client of the Autobahn Testsuite against parlor's /echo door.
//
//   node autobahn/run.mjs [--full] [--cases 1.*,12.1.3] [--jobs N]
//                         [--url ws://127.0.0.1:PORT/PATH] [--allow-non-strict]
//
// Without --full: sections 1 to 10 and four cases of each of the twelve groups of sections 12 and 13
// (permessage-deflate). With --url another server is tested, and none is started. A case that is
// passed only by a lenient reading of the RFC (NON-STRICT) is a failure unless allowed.

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startServer } from '../server.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const cache = fileURLToPath(new URL('../../.cache/autobahn', import.meta.url));

const { values: options } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    url: { type: 'string' },
    cases: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    'allow-non-strict': { type: 'boolean', default: false },
  },
});

// Sections 1 to 10 have 301 cases; each of the groups below has 18.
const PLAIN = { cases: ['1.*', '2.*', '3.*', '4.*', '5.*', '6.*', '7.*', '9.*', '10.*'], count: 301 };
const DEFLATE_GROUPS = [
  ...['1', '2', '3', '4', '5'].map((group) => `12.${group}`),
  ...['1', '2', '3', '4', '5', '6', '7'].map((group) => `13.${group}`),
];
// Short and long messages, whole and in fragments; another four in every second group.
const SOME = [[1, 5, 8, 13], [3, 6, 9, 12]];

// Cases whose outcome a server is free to choose, or that only tell what it did.
const INFORMATIONAL = /^7\.(1\.6|13\.[12])$/;
// No progress for this long is a failure.
const STALL_MS = 300_000;

/** Lists of case patterns to run beside each other, and how many cases they must yield. */
function plan() {
  if (options.cases) {
    return { lists: [options.cases.split(',')], count: null };
  }
  const deflate = DEFLATE_GROUPS.flatMap((group, index) =>
    options.full ? [`${group}.*`] : SOME[index % 2].map((number) => `${group}.${number}`),
  );
  const jobs = Math.max(1, Number(options.jobs));
  const all = [...PLAIN.cases, ...deflate];
  const lists = Array.from({ length: jobs }, (_, job) => all.filter((_, i) => i % jobs === job));
  return { lists, count: PLAIN.count + DEFLATE_GROUPS.length * (options.full ? 18 : 4) };
}

/** Runs one fuzzing client over a list of cases; gives its results by case. */
function fuzz(url, cases, folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const spec = {
    outdir: folder,
    servers: [{ agent: 'server', url }],
    cases,
    'exclude-cases': [],
    'exclude-agent-cases': {},
  };
  writeFileSync(`${folder}/spec.json`, JSON.stringify(spec));
  return new Promise((resolve, reject) => {
    const child = spawn(`${cache}/wstest`, ['-m', 'fuzzingclient', '-s', `${folder}/spec.json`], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let tail = '';
    let timer;
    const alive = (chunk) => {
      tail = (tail + chunk).slice(-4096);
      clearTimeout(timer);
      timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`no progress for ${STALL_MS / 1000} s; the last words were:\n${tail}`));
      }, STALL_MS);
    };
    alive('');
    child.stdout.setEncoding('utf8').on('data', alive);
    child.stderr.setEncoding('utf8').on('data', alive);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      try {
        resolve(JSON.parse(readFileSync(`${folder}/index.json`, 'utf8')).server ?? {});
      } catch {
        reject(new Error(`the fuzzing client ended with ${code} and no report:\n${tail}`));
      }
    });
  });
}

/** Whether a case went well, and the words for it. */
function judge(name, { behavior, behaviorClose }) {
  const words = new Set([behavior, behaviorClose]);
  words.delete('OK');
  if (INFORMATIONAL.test(name)) {
    words.delete('INFORMATIONAL');
  }
  if (options['allow-non-strict']) {
    words.delete('NON-STRICT');
  }
  return { passed: words.size === 0, word: [...words].join(' + ') || behavior };
}

async function main() {
  execFileSync(`${here}install.sh`, [cache], { stdio: ['ignore', 'inherit', 'inherit'] });
  const { lists, count } = plan();
  const server = options.url
    ? null
    : await startServer(
        // Cases 9.3.1 and 9.4.1 send 65,536 fragments of 64 bytes and an empty one to end with.
        ...['--message-bytes-max', '16MiB', '--message-fragments-max', '65537'],
        ...['--deflate', 'takeover'],
      );
  const url = options.url ?? `${server.ws}/echo`;
  const started = Date.now();
  let results = {};
  try {
    const reports = await Promise.all(
      lists.map((cases, job) => fuzz(url, cases, `${cache}/reports/${job}`)),
    );
    results = Object.assign({}, ...reports);
  } finally {
    const code = await server?.stop();
    if (server && code !== 0) {
      console.log(`the server ended with ${code}:\n${server.output()}`);
      process.exitCode = 1;
    }
  }
  const seconds = Math.round((Date.now() - started) / 1000);
  report(results, count, seconds);
}

function report(results, count, seconds) {
  const counts = {};
  const failed = [];
  let wrong = 0;
  for (const [name, result] of Object.entries(results)) {
    const { passed, word } = judge(name, result);
    counts[word] = (counts[word] ?? 0) + 1;
    if (!passed) {
      wrong += 1;
      failed.push(`${name}: ${word} (close ${result.remoteCloseCode}), see .cache/autobahn/reports`);
    }
  }
  const total = Object.keys(results).length;
  if (total === 0 || (count !== null && total !== count)) {
    failed.push(`${total} cases ran, not ${count ?? 'any'}`);
  }
  failed.forEach((line) => console.log(line));
  const words = Object.entries(counts).map(([word, number]) => `${word} ${number}`);
  console.log(`autobahn: ${total} cases in ${seconds} s: ${words.join(', ')}`);
  const good = total - wrong;
  console.log(`autobahn: ${good} of ${good + failed.length} cases passed`);
  if (failed.length > 0) {
    process.exitCode = 1;
  }
}

await main();
