/**
 * The machine's hosts file, read when first needed and again when it changed: operators and
 * container runtimes name services there, and a guest that the egress policy lets in should find
 * them.
 */

import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { normalizeName } from './message.ts';

const CHECK_INTERVAL_MS = 5_000;
/** A larger file is not a hosts file that someone wrote; block lists of some megabytes are. */
const FILE_BYTES_MAX = 8 * 1_024 * 1_024;

export function parseHosts(text: string): Map<string, string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*$/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const written of names) {
      const name = normalizeName(written);
      if (name === null) continue;
      const addresses = hosts.get(name) ?? [];
      addresses.push(address);
      hosts.set(name, addresses);
    }
  }
  return hosts;
}

export class HostsFile {
  readonly #path: string;
  readonly #checkIntervalMs: number;
  #hosts: Map<string, string[]> = new Map();
  #version = '';
  #checkedAt = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | null = null;

  constructor(path: string, checkIntervalMs = CHECK_INTERVAL_MS) {
    this.#path = path;
    this.#checkIntervalMs = checkIntervalMs;
  }

  /** All addresses of the name, both families; undefined if the file does not name it. */
  async lookup(name: string): Promise<readonly string[] | undefined> {
    if (performance.now() - this.#checkedAt > this.#checkIntervalMs) {
      this.#checking ??= this.#check();
      await this.#checking;
    }
    return this.#hosts.get(name);
  }

  async #check(): Promise<void> {
    try {
      const { mtimeMs, size, ino } = await stat(this.#path);
      const version = `${mtimeMs} ${size} ${ino}`;
      if (version !== this.#version && size <= FILE_BYTES_MAX) {
        this.#hosts = parseHosts(await readFile(this.#path, 'utf8'));
        this.#version = version;
      }
    } catch {
      // Not there or not readable: as good as empty, on many systems it is.
      this.#hosts = new Map();
      this.#version = '';
    }
    this.#checkedAt = performance.now();
    this.#checking = null;
  }
}
