// Headless Chromium for the tests: one browser with a profile of its own, removed afterwards.

import { accessSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

/** Where screenshots go; git ignores the folder. */
export const screenshots = fileURLToPath(new URL('../../.cache/screenshots/', import.meta.url));

const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

function executable() {
  const candidates = process.env.TEST_CHROMIUM ? [process.env.TEST_CHROMIUM] : CANDIDATES;
  const found = candidates.find((path) => {
    try {
      accessSync(path);
      return true;
    } catch {
      return false;
    }
  });
  if (!found) {
    throw new Error(`no Chromium (looked at ${candidates.join(', ')}): apt-get install chromium`);
  }
  return found;
}

/** Starts the browser; `close()` ends it and removes its profile. */
export async function openBrowser(options = {}) {
  await mkdir(screenshots, { recursive: true });
  const profile = await mkdtemp(join(tmpdir(), 'parlor-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: executable(),
    headless: true,
    chromiumSandbox: false,
    args: [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      // Names in place of addresses have to be found by multicast, which a busy machine may not.
      '--disable-features=WebRtcHideLocalIpsWithMdns',
    ],
    ...options,
  });
  context.setDefaultTimeout(30_000);
  return {
    context,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/** Opens a page; `lines` is what it logs, `errors` what went wrong on it. */
export async function openPage(context, url) {
  const page = await context.newPage();
  const lines = [];
  const errors = [];
  const requests = [];
  page.on('console', (message) => {
    if (message.type() !== 'error') {
      lines.push(message.text());
    } else if (!message.location().url.endsWith('/favicon.ico')) {
      errors.push(message.text());
    }
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(url);
  /** Resolves when the page has logged `text`. */
  const logged = async (text) => {
    if (!lines.includes(text)) {
      await page.waitForEvent('console', { predicate: (message) => message.text() === text });
    }
  };
  return { page, lines, errors, requests, logged };
}

/**
 * What went wrong beside requests that Chromium logs as failed: a poll that is on its way when its
 * session ends is answered with 400, and a cut is an error of the network.
 */
export function withoutEndedPolls(errors) {
  return errors.filter((text) => !/status of 400|ERR_|WebSocket connection/.test(text));
}
