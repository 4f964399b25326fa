/**
 * The build cache's key beside the module: everything that changes what the rewriter writes, and so
 * what tells which artifacts another version of Wardian has left.
 */

import { NUMBERED_HOSTCALLS } from '../../hostcalls/numbers.ts';
import { COST_TABLE_VERSION, REWRITER_VERSION } from '../../pool/rewrite/index.ts';

/** What every key of this version begins with. */
export const KEY_START = `rewriter=${REWRITER_VERSION} costs=${COST_TABLE_VERSION} `
  + `hostcalls=${NUMBERED_HOSTCALLS.length} `;

export function rewriteKeyOf(memoryBytesMax: number): string {
  return `${KEY_START}memory=${memoryBytesMax}`;
}

/** The memory that a key of any version was made for, or null. */
export function memoryOfKey(key: string): number | null {
  const bytes = Number(/ memory=(\d{1,15})$/.exec(key)?.[1] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : null;
}
