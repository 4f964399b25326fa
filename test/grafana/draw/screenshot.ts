/** Pictures of pages, by headless Chromium (Debian package `chromium`) where it is installed. */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import type { Page } from './page.ts';

const PATIENCE_MS = 60_000;

function chromium(args: readonly string[]): Promise<boolean> {
  return new Promise((done, failed) => {
    const options = { timeout: PATIENCE_MS, maxBuffer: 64 * 1024 * 1024 };
    execFile('chromium', args, options, (error, _stdout, stderr) => {
      if (error === null) done(true);
      else if (error.code === 'ENOENT') done(false);
      else failed(new Error(`chromium: ${error.message}\n${stderr}`));
    });
  });
}

/** The picture as a PNG; null where there is no Chromium. */
export async function screenshot({ html, width, height }: Page): Promise<Buffer | null> {
  const folder = mkdtempSync(join(tmpdir(), 'wardian-page-'));
  try {
    const page = join(folder, 'page.html');
    const picture = join(folder, 'page.png');
    writeFileSync(page, html);
    const taken = await chromium([
      '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--disable-dev-shm-usage',
      `--user-data-dir=${join(folder, 'profile')}`, `--screenshot=${picture}`,
      `--window-size=${width},${height}`, pathToFileURL(page).href,
    ]);
    return taken ? readFileSync(picture) : null;
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The picture with a palette, a third of the size, by `pngquant` (the Debian package). */
export function fewerColours(png: Buffer): Buffer {
  return execFileSync('pngquant', ['--speed', '1', '--strip', '--nofs', '32', '-'], { input: png });
}

/** Width and height of a PNG, from its header. */
export function sizeOf(png: Buffer): { width: number; height: number } {
  if (png.toString('latin1', 1, 4) !== 'PNG') throw new Error('not a PNG');
  return { width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
}
