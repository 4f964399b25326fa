/**
 * The store as the guests of one epoch see it: they read the database that was in use when they
 * began to their end, also when a backup takes its place meanwhile. The connection is closed once
 * the last of them is gone.
 *
 *   open ──retire──▶ retired (guests that are there read on) ──last leave──▶ closed
 */

import type { KeyRing } from '../../contract/key-ring.ts';
import type { StoreEpoch } from '../../contract/store-epoch.ts';
import { DatabaseReader } from './database.ts';
import type { WriterChannel } from './kv/channel.ts';
import { SqliteKeyValueStore } from './kv/store.ts';
import { SealedSecrets } from './secrets.ts';
import type { KeyValueStore, SecretSource } from './types.ts';

export class StoreView {
  readonly kv: KeyValueStore;
  readonly secrets: SecretSource;
  readonly #reader: DatabaseReader;
  #guests = 0;
  #retired = false;

  /** Without an epoch the database is never replaced, and is opened when first read. */
  constructor(path: string, channel: WriterChannel, keys: KeyRing, epoch: StoreEpoch | null) {
    this.#reader = epoch === null ? new DatabaseReader(path) : new DatabaseReader(path, epoch);
    if (epoch !== null) this.#reader.open();
    this.kv = new SqliteKeyValueStore(this.#reader, channel);
    this.secrets = new SealedSecrets(this.#reader, keys);
  }

  get epoch(): number {
    return this.#reader.at;
  }

  enter(): void {
    this.#guests += 1;
  }

  leave(): void {
    this.#guests -= 1;
    this.#closeUnused();
  }

  retire(): void {
    this.#retired = true;
    this.#closeUnused();
  }

  #closeUnused(): void {
    if (this.#retired && this.#guests <= 0) this.#reader.close();
  }
}
