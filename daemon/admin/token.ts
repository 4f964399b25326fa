/**
 * Tokens of the admin API. The local one is made at the first start, kept in the data folder
 * readable by its owner alone, and compared in constant time; the others are in the store, as
 * hashes. Wrong ones are answered more slowly than they can be
 * guessed: after a few from one address, further ones only get 429 for a while. A right token
 * always passes, or anybody on this machine could lock the operator out.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';

import { WardianError } from '../../contract/errors.ts';
import type { TenantStore } from '../store/tenant-store.ts';
import type { Identity } from './caller.ts';

export const TOKEN_FILE = 'admin-token';
const TOKEN_BYTES = 32;
const TOKEN_LENGTH_MIN = 32;
const FAILURES_MAX = 10;
const FAILURES_WINDOW_MS = 60_000;
const ADDRESSES_MAX = 10_000;

function createToken(path: string): string {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, `${token}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return token;
}

/** The token of this data folder, made if there is none. Throws `store_failed`. */
export function loadAdminToken(dataFolder: string): string {
  const path = join(dataFolder, TOKEN_FILE);
  try {
    const token = readFileSync(path, 'utf8').trim();
    if (token.length < TOKEN_LENGTH_MIN) {
      throw new WardianError('store_failed', `${TOKEN_FILE} in the data folder is damaged; `
        + 'remove it, and the next start makes a new one');
    }
    chmodSync(path, 0o600);
    return token;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return createToken(path);
    if (error instanceof WardianError) throw error;
    throw new WardianError(
      'store_failed', `${TOKEN_FILE} in the data folder cannot be read: ${code}`, { cause: error });
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Who has the local token may do everything. */
const LOCAL: Identity = { key: 'local', tenantId: null, scope: 'admin' };

export class TokenGuard {
  readonly #digest: Buffer;
  readonly #tokens: Pick<TenantStore, 'authenticate' | 'noteUse'>;
  readonly #onFault: (error: unknown) => void;
  readonly #failures = new LRUCache<string, number>({
    max: ADDRESSES_MAX, ttl: FAILURES_WINDOW_MS, noUpdateTTL: true,
  });

  constructor(
    token: string, tokens: Pick<TenantStore, 'authenticate' | 'noteUse'>,
    onFault: (error: unknown) => void,
  ) {
    this.#digest = digest(token);
    this.#tokens = tokens;
    this.#onFault = onFault;
  }

  /** Throws `unauthorized`, or `too_many_attempts` for an address that keeps trying. */
  require(authorization: string | undefined, address: string): Identity {
    const given = /^Bearer +([\w.~+/-]+=*)$/i.exec(authorization ?? '')?.[1];
    if (given === undefined) {
      throw new WardianError('unauthorized', 'send the token: Authorization: Bearer <token>');
    }
    const identity = this.#identify(given);
    if (identity !== null) return identity;
    const failures = (this.#failures.get(address) ?? 0) + 1;
    this.#failures.set(address, failures);
    if (failures > FAILURES_MAX) {
      throw new WardianError('too_many_attempts',
        `more than ${FAILURES_MAX} wrong tokens from this address in a minute`);
    }
    throw new WardianError('unauthorized', 'the token is not valid');
  }

  #identify(given: string): Identity | null {
    // Digests have one length, so neither content nor length of the token shows in the time.
    if (timingSafeEqual(digest(given), this.#digest)) return LOCAL;
    const token = this.#tokens.authenticate(given);
    if (token === null) return null;
    this.#tokens.noteUse(token).catch((error: unknown) => {
      // A disk that is nearly full keeps no times; whoever writes is told so anyway.
      if (!(error instanceof WardianError && error.code === 'disk_full')) this.#onFault(error);
    });
    return { key: `token ${token.id}`, tenantId: token.tenantId, scope: token.scope };
  }
}
