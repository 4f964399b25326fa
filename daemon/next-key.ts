/**
 * The file `secrets-key-next`: a new key that was given to a daemon whose keys come from the
 * environment, which nobody can change from outside. It is written before the new key seals
 * anything, and goes once a start has it first in the environment and nothing needs the old ones:
 * whichever of them a start has, every secret opens.
 *
 * The new key is in it sealed with each old one, and each old one sealed with the new. It tells
 * nothing to who has none of them; who has an old one, and this file, has the new one.
 */

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as z from 'zod';

import { WardianError } from '../contract/errors.ts';
import { openSecret, sealSecret, secretKeyId } from '../contract/sealed.ts';
import { writeWhole } from './key-file.ts';
import { syncPath } from './sync.ts';

export const NEXT_KEY_FILE = 'secrets-key-next';

/** Keys besides the new one. */
const OLD_KEYS_MAX = 16;

const keyId = z.string().regex(/^[0-9a-f]{16}$/);
/** Nonce, tag and 32 bytes. */
const sealed = z.string().regex(/^[0-9a-f]{120}$/);
const fileSchema = z.strictObject({
  next: keyId,
  /** Of each old key: the new one under it, and it under the new one. */
  old: z.array(z.strictObject({ keyId, next: sealed, own: sealed })).min(1).max(OLD_KEYS_MAX),
});
type NextFile = z.infer<typeof fileSchema>;

/** No app has this number: what is sealed for it opens nowhere else. */
const NO_APP = 0;
const NEXT = 'next key';
const OWN = 'old key';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const open = (key: Uint8Array, name: string, text: string): Uint8Array =>
  openSecret(key, NO_APP, name, new Uint8Array(Buffer.from(text, 'hex')));

function read(path: string): NextFile {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new WardianError(
      'store_failed', `${NEXT_KEY_FILE} in the data folder is damaged`, { cause });
  }
}

export interface KeysAtStart {
  /** The first one seals. */
  readonly keys: readonly Uint8Array[];
  /** Those of them that the environment does not have. */
  readonly lent: ReadonlySet<string>;
  /** A new key that the environment does not have yet, by its id; null: there is none. */
  readonly pending: string | null;
}

/** `given`: from the environment. Throws WardianError `store_failed`, which never shows a key. */
export function withNextKey(dataFolder: string, given: readonly Uint8Array[]): KeysAtStart {
  const path = join(dataFolder, NEXT_KEY_FILE);
  if (!existsSync(path)) return { keys: given, lent: new Set(), pending: null };
  const { next: nextId, old } = read(path);
  const byId = new Map(given.map((key) => [secretKeyId(key), key]));
  const next = byId.get(nextId);
  if (next !== undefined) {
    const lost = old.filter((one) => !byId.has(one.keyId)).map(({ own }) => open(next, OWN, own));
    return { keys: [...given, ...lost], lent: new Set(lost.map(secretKeyId)), pending: null };
  }
  for (const { keyId: id, next: text } of old) {
    const key = byId.get(id);
    if (key === undefined) continue;
    return {
      keys: [open(key, NEXT, text), ...given], lent: new Set([nextId]), pending: nextId,
    };
  }
  throw new WardianError('store_failed', `${NEXT_KEY_FILE} in the data folder: the environment `
    + `has neither the new key ${nextId} nor the one before, ${old[0]?.keyId}: give one of them`);
}

/** Throws WardianError `conflict` while another waits for a start with it; for too many keys. */
export function keepNextKey(
  dataFolder: string, next: Uint8Array, keys: readonly Uint8Array[],
): void {
  const path = join(dataFolder, NEXT_KEY_FILE);
  const id = secretKeyId(next);
  if (existsSync(path)) {
    const before = read(path).next;
    if (before === id) return;
    throw new WardianError('conflict', `the new key ${before} is not in the environment yet: put `
      + 'it there first, and restart, before the next one');
  }
  const others = keys.filter((key) => secretKeyId(key) !== id);
  // The next start would not read the file.
  if (others.length > OLD_KEYS_MAX) {
    throw new WardianError('conflict', `there are ${others.length} keys, and a new one is kept `
      + `with ${OLD_KEYS_MAX} others: restart first, without keys that seal nothing any more`);
  }
  const old = others.map((key) => ({
    keyId: secretKeyId(key), next: hex(sealSecret(key, NO_APP, NEXT, next)),
    own: hex(sealSecret(next, NO_APP, OWN, key)),
  }));
  writeWhole(path, `${JSON.stringify({ next: id, old } satisfies NextFile)}\n`, false);
}

/** Nothing needs it any more. */
export function dropNextKey(dataFolder: string): void {
  const path = join(dataFolder, NEXT_KEY_FILE);
  if (!existsSync(path)) return;
  rmSync(path);
  syncPath(dirname(path));
}

export function hasNextKey(dataFolder: string): boolean {
  return existsSync(join(dataFolder, NEXT_KEY_FILE));
}
