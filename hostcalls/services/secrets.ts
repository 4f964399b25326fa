/**
 * Secrets as guests see them: read sealed, and opened when a guest asks for one of its own app's.
 * Nothing is kept in the clear: a value that was put, or whose time has come, is what the next call
 * answers, and a value that was deleted is gone.
 */

import { WardianError } from '../../contract/errors.ts';
import type { KeyRing } from '../../contract/key-ring.ts';
import { SELECT_SECRET } from '../../contract/schema.ts';
import { openSecret } from '../../contract/sealed.ts';
import type { DatabaseReader } from './database.ts';
import type { SecretSource } from './types.ts';

export class SealedSecrets implements SecretSource {
  readonly #reader: DatabaseReader;
  readonly #keys: KeyRing;

  constructor(reader: DatabaseReader, keys: KeyRing) {
    this.#reader = reader;
    this.#keys = keys;
  }

  get(appId: number, name: string): Uint8Array | null {
    const row = this.#reader.row(SELECT_SECRET, appId, name, Date.now());
    if (row === undefined) return null;
    const key = this.#keys.find(String(row['key_id']));
    if (key === null) {
      throw new WardianError('store_failed', 'the key that a secret was sealed with is not there');
    }
    return openSecret(key, appId, name, row['sealed'] as Uint8Array);
  }
}
