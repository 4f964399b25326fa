/**
 * Random numbers from the system's generator through a pool of bytes, so that one u64 costs a read
 * and not a call into OpenSSL. What is handed out is wiped from the pool: no later leak of the pool
 * tells what a guest was given.
 */

import { randomFillSync } from 'node:crypto';
import type { RandomSource } from './types.ts';

const POOL_BYTES = 8_192;

export function createRandom(): RandomSource {
  const pool = new Uint8Array(POOL_BYTES);
  const view = new DataView(pool.buffer);
  let offset = POOL_BYTES;

  const take = (length: number): number => {
    if (offset + length > POOL_BYTES) {
      randomFillSync(pool);
      offset = 0;
    }
    offset += length;
    return offset - length;
  };
  return {
    nextU64() {
      const at = take(8);
      const value = view.getBigUint64(at, true);
      view.setBigUint64(at, 0n, true);
      return value;
    },
    fill(bytes) {
      if (bytes.length > POOL_BYTES / 8) {
        randomFillSync(bytes);
        return;
      }
      const at = take(bytes.length);
      bytes.set(pool.subarray(at, at + bytes.length));
      pool.fill(0, at, at + bytes.length);
    },
  };
}
