/**
 * Keys of the key-value store in byte order: which of them have a prefix, page by page.
 */

import { KV_KEY_BYTES_MAX } from './limits.ts';

/** Above every key. */
const AFTER_ALL = new Uint8Array(KV_KEY_BYTES_MAX + 1).fill(0xff);

/** The least byte string above all that begin with `prefix`. */
function afterPrefix(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return AFTER_ALL;
  // Not `slice`: that of a Buffer is a view.
  const after = new Uint8Array(prefix.subarray(0, length));
  after[length - 1] = (after[length - 1] ?? 0) + 1;
  return after;
}

function isBelow(a: Uint8Array, b: Uint8Array): boolean {
  for (let index = 0; index < a.length && index < b.length; index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return a.length < b.length;
}

/**
 * First key (included) and last key (excluded) of the page that follows `after`, or of the first
 * page when that is null. A cursor outside of the prefix cannot widen the range.
 */
export function keyRange(
  prefix: Uint8Array, after: Uint8Array | null,
): { readonly from: Uint8Array; readonly before: Uint8Array } {
  const before = afterPrefix(prefix);
  if (after === null || isBelow(after, prefix)) return { from: prefix, before };
  const from = new Uint8Array(after.length + 1);
  from.set(after);
  return { from, before };
}
