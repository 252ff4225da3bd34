// Makes the minified forms of our own Socket.IO client from its source.
//
//   node bundle.mjs           says whether the stored forms are the ones made from the source
//   node bundle.mjs --write   writes them

import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { minify } from 'terser';

const folder = new URL('../../crates/parlor/src/http/bundle/', import.meta.url);
const NAMES = ['socket.io.min.js', 'socket.io.esm.min.mjs'];
const read = (name) => readFile(new URL(name, folder), 'utf8');

/** The minified forms that the source gives, by name. */
export async function make() {
  const [head, engine, socket, globalTail, moduleTail] = await Promise.all(
    ['head.js', 'engine.js', 'socket.js', 'tail.js', 'tail.mjs'].map(read),
  );
  const asScript = `${head}(() => {\n${engine}\n${socket}\n${globalTail}})();\n`;
  const asModule = `${head}${engine}\n${socket}\n${moduleTail}`;
  const options = { ecma: 2022, format: { comments: /^!/ } };
  const { code: script } = await minify(asScript, options);
  const { code: module } = await minify(asModule, { ...options, module: true });
  return { 'socket.io.min.js': `${script}\n`, 'socket.io.esm.min.mjs': `${module}\n` };
}

/** The minified forms that are stored. */
export async function stored() {
  return Object.fromEntries(await Promise.all(NAMES.map(async (name) => [name, await read(name)])));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const files = await make();
  if (process.argv[2] === '--write') {
    for (const name of NAMES) await writeFile(new URL(name, folder), files[name]);
  }
  const there = await stored();
  for (const [name, text] of Object.entries(there)) {
    const fits = text === files[name];
    console.log(`${name}: ${text.length} bytes, ${fits ? 'made from the source' : 'NOT what the source gives'}`);
    if (!fits) process.exitCode = 1;
  }
}
