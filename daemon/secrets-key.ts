/**
 * The keys that seal secrets: from WARDIAN_SECRETS_KEY, or from a file in the data folder that is
 * made at the first start, readable by its owner alone. The first key seals, all of them open; a
 * new one therefore comes first, and the old ones stay for what they sealed, in backups for one.
 */

import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { WardianError } from '../contract/errors.ts';
import { KeyRing } from '../contract/key-ring.ts';
import { SECRET_KEY_BYTES, secretKeyId } from '../contract/sealed.ts';
import { writeWhole } from './key-file.ts';
import { dropNextKey, hasNextKey, keepNextKey, NEXT_KEY_FILE, withNextKey } from './next-key.ts';
import type { KeysAtStart } from './next-key.ts';

export const SECRETS_KEY_FILE = 'secrets-key';
export const SECRETS_KEY_VARIABLE = 'WARDIAN_SECRETS_KEY';
const KEYS_MAX = 16;
const HEX = /^[0-9a-f]{64}$/i;
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/;

function keyFrom(text: string, source: string): Uint8Array {
  if (HEX.test(text)) return new Uint8Array(Buffer.from(text, 'hex'));
  if (BASE64.test(text)) return new Uint8Array(Buffer.from(text, 'base64'));
  throw new WardianError(
    'store_failed', `${source}: a key is ${SECRET_KEY_BYTES} bytes as 64 hex digits or base64`);
}

function keysFrom(words: readonly string[], source: string): Uint8Array[] {
  const given = words.map((word) => word.trim()).filter((word) => word !== '');
  if (given.length >= 1 && given.length <= KEYS_MAX) {
    return given.map((word) => keyFrom(word, source));
  }
  throw new WardianError('store_failed', `${source}: expected 1 to ${KEYS_MAX} keys`);
}

function writeKeys(path: string, keys: readonly Uint8Array[], isNew: boolean): void {
  writeWhole(path, `${keys.map((key) => Buffer.from(key).toString('hex')).join('\n')}\n`, isNew);
}

/** Where keys come from when it is not the file. */
interface Environment {
  readonly dataFolder: string;
  readonly start: KeysAtStart;
  /** The one that seals by the environment's word. */
  readonly firstId: string;
}

export class SecretKeys {
  /** For the workers, which open with every key that is added. */
  readonly ring: KeyRing;
  #keys: readonly Uint8Array[];
  readonly #source: string | Environment;

  /** `source`: the file of keys, or the environment. */
  constructor(keys: readonly Uint8Array[], source: string | Environment) {
    this.ring = KeyRing.of(keys);
    this.#keys = keys;
    this.#source = source;
  }

  /** The first one seals. */
  get keys(): readonly Uint8Array[] {
    return this.#keys;
  }

  /** Those that the next start has as well. Throws WardianError `store_failed`. */
  durable(): readonly Uint8Array[] {
    if (typeof this.#source === 'string') return readKeys(this.#source);
    const { dataFolder, start } = this.#source;
    if (hasNextKey(dataFolder)) return this.#keys;
    return this.#keys.filter((key) => !start.lent.has(secretKeyId(key)));
  }

  /** What the operator should do before the next start; '' for nothing. */
  get note(): string {
    if (typeof this.#source === 'string' || this.#source.start.pending === null) return '';
    return `put the new key ${this.#source.start.pending} first in ${SECRETS_KEY_VARIABLE}: until `
      + `then it is kept in ${NEXT_KEY_FILE}, where the old key opens it`;
  }

  /**
   * A new key before the others: on the disk, and known to the workers. Throws `conflict` when the
   * keys come from the environment, or another one was put into the file by hand.
   */
  addNext(): Uint8Array {
    if (typeof this.#source !== 'string') {
      throw new WardianError('conflict', `the keys come from ${SECRETS_KEY_VARIABLE}: give the new `
        + 'one, and put it first there (wardian secret rotate-key --given)');
    }
    return this.#add(new Uint8Array(randomBytes(SECRET_KEY_BYTES)));
  }

  /**
   * The same with a key of the operator's, also where the keys come from the environment. Giving it
   * once more goes on. Throws `bad_argument` for what is no key, `conflict`.
   */
  addGiven(text: string): Uint8Array {
    let key: Uint8Array;
    try {
      key = keyFrom(text.trim(), 'the new key');
    } catch (error) {
      throw new WardianError('bad_argument', (error as WardianError).message, { cause: error });
    }
    const id = secretKeyId(key);
    const [active] = this.#keys;
    return active !== undefined && secretKeyId(active) === id ? active : this.#add(key);
  }

  /**
   * `used`: ids of keys that still seal something. The old keys are not needed any more once the
   * environment has the new one first, and nothing is sealed with those it has not.
   */
  settle(used: ReadonlySet<string>): void {
    if (typeof this.#source === 'string') return;
    const { dataFolder, firstId, start } = this.#source;
    const [active] = this.#keys;
    if (active === undefined || secretKeyId(active) !== firstId || start.pending !== null) return;
    if (![...start.lent].some((id) => used.has(id))) dropNextKey(dataFolder);
  }

  #add(key: Uint8Array): Uint8Array {
    if (this.ring.isFull) throw new WardianError('conflict', 'restart the daemon first');
    if (typeof this.#source === 'string') this.#keys = this.#addToFile(this.#source, key);
    else {
      keepNextKey(this.#source.dataFolder, key, this.#keys);
      this.#keys = [key, ...this.#keys];
    }
    this.ring.add(key);
    return key;
  }

  #addToFile(path: string, key: Uint8Array): readonly Uint8Array[] {
    const kept = keysFrom(readFileSync(path, 'utf8').split('\n'), SECRETS_KEY_FILE);
    const [first] = kept;
    const [active] = this.#keys;
    if (first === undefined || active === undefined || secretKeyId(first) !== secretKeyId(active)) {
      throw new WardianError('conflict',
        `${SECRETS_KEY_FILE} was changed by hand: restart the daemon`);
    }
    if (kept.length >= KEYS_MAX) {
      throw new WardianError('conflict', `${SECRETS_KEY_FILE} has ${KEYS_MAX} keys: remove the `
        + 'lines of those that seal nothing, the last ones first');
    }
    const keys = [key, ...kept.filter((one) => secretKeyId(one) !== secretKeyId(key))];
    writeKeys(path, keys, false);
    return keys;
  }
}

/** Throws WardianError `store_failed`, one line that names the source and never shows a key. */
export function loadSecretKeys(dataFolder: string, environment: NodeJS.ProcessEnv): SecretKeys {
  const given = environment[SECRETS_KEY_VARIABLE];
  if (given !== undefined && given.trim() !== '') {
    const keys = keysFrom(given.split(','), SECRETS_KEY_VARIABLE);
    const start = withNextKey(dataFolder, keys);
    const [first] = keys;
    const firstId = first === undefined ? '' : secretKeyId(first);
    return new SecretKeys(start.keys, { dataFolder, start, firstId });
  }
  if (hasNextKey(dataFolder)) {
    throw new WardianError('store_failed', `${NEXT_KEY_FILE} in the data folder is of keys that `
      + `${SECRETS_KEY_VARIABLE} gave, which is not set`);
  }
  const path = join(dataFolder, SECRETS_KEY_FILE);
  try {
    mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
    if (!existsSync(path)) createKeys(path);
    const keys = readKeys(path);
    chmodSync(path, 0o600);
    return new SecretKeys(keys, path);
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(error: unknown): WardianError {
  if (error instanceof WardianError) return error;
  const { code = 'unknown' } = error as NodeJS.ErrnoException;
  return new WardianError('store_failed',
    `${SECRETS_KEY_FILE} in the data folder cannot be read: ${code}`, { cause: error });
}

/** Throws WardianError `store_failed`. */
function readKeys(path: string): Uint8Array[] {
  try {
    return keysFrom(readFileSync(path, 'utf8').split('\n'), SECRETS_KEY_FILE);
  } catch (error) {
    throw unreadable(error);
  }
}

function createKeys(path: string): void {
  try {
    writeKeys(path, [new Uint8Array(randomBytes(SECRET_KEY_BYTES))], true);
  } catch (error) {
    // Another daemon has made it in this moment; which of the two may go on, the lock tells.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
