// The examples of docs/, as they stand there, with nothing changed but the port.

import { readFile } from 'node:fs/promises';

/** All code blocks of a page: {section, language, code}. */
export async function examples(page) {
  const text = await readFile(new URL(`../docs/${page}`, import.meta.url), 'utf8');
  const found = [];
  let section = '';
  for (const [whole, heading, language, code] of text.matchAll(
    /^## (.+)$|^```(\w+)\n([\s\S]*?)^```$/gm,
  )) {
    if (whole.startsWith('## ')) section = heading;
    else found.push({ section, language, code });
  }
  return found;
}

/** An example that talks to a port of this machine. */
export function at(port, code) {
  return code.replaceAll('localhost:8080', `localhost:${port}`);
}
