/**
 * Checks of key-value commands before they are queued. They come from a worker, what is in them
 * from a guest: every field is looked at.
 */

import { WardianError } from '../../contract/errors.ts';
import { KV_KEY_BYTES_MAX, KV_TTL_MS_MAX, KV_VALUE_BYTES_MAX } from '../../contract/limits.ts';
import type { StoreCommand } from '../../contract/messages.ts';

const MODES: readonly string[] = ['always', 'absent', 'append'];

function isBytes(value: unknown, max: number): boolean {
  return value instanceof Uint8Array && value.byteLength <= max;
}

function bad(message: string): WardianError {
  return new WardianError('bad_argument', message);
}

export function valueTooLarge(max: number): WardianError {
  return bad(`a value has at most ${max} bytes`);
}

function refusalOfTtl(ttlMs: unknown): WardianError | null {
  if (ttlMs === undefined) return null;
  const fits = Number.isSafeInteger(ttlMs) && Number(ttlMs) >= 1 && Number(ttlMs) <= KV_TTL_MS_MAX;
  return fits ? null : bad(`a time to live has 1 to ${KV_TTL_MS_MAX} milliseconds`);
}

/** Why a command may not even be queued, or null. */
export function refusalOf(command: StoreCommand): WardianError | null {
  if (typeof command !== 'object' || command === null) return bad('not a command of the store');
  if (!Number.isSafeInteger(command.storeId)) return bad('not a store');
  if (!isBytes(command.key, KV_KEY_BYTES_MAX)) {
    return bad(`a key has at most ${KV_KEY_BYTES_MAX} bytes`);
  }
  switch (command.op) {
    case 'kv_delete':
      return null;
    case 'kv_put':
      if (!isBytes(command.value, KV_VALUE_BYTES_MAX)) return valueTooLarge(KV_VALUE_BYTES_MAX);
      if (!MODES.includes(command.mode)) return bad('not a way to put');
      return refusalOfTtl(command.ttlMs);
    case 'kv_compare':
      if (!Number.isSafeInteger(command.revision) || command.revision < 0) {
        return bad('a revision is a whole number, 0 or more');
      }
      if (command.value !== null && !isBytes(command.value, KV_VALUE_BYTES_MAX)) {
        return valueTooLarge(KV_VALUE_BYTES_MAX);
      }
      return refusalOfTtl(command.ttlMs);
    case 'kv_increment':
      if (typeof command.delta === 'bigint' && command.delta === BigInt.asIntN(64, command.delta)) {
        return null;
      }
      return bad('what is added is a whole number of 64 bits');
    default:
      command satisfies never;
      return bad('not a command of the store');
  }
}

/** Bytes that a waiting command holds. */
export function sizeOf(command: StoreCommand): number {
  const value = 'value' in command ? command.value : null;
  return command.key.byteLength + (value?.byteLength ?? 0);
}

/** True for what can only make the store smaller: it goes on when the disk is nearly full. */
export function onlyFrees(command: StoreCommand): boolean {
  return command.op === 'kv_delete' || (command.op === 'kv_compare' && command.value === null);
}
