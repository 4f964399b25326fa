/** Parameters of WASI hostcalls, and what the documentation says of them. */

import type { Parameter } from '../define.ts';

export function i32<const N extends string>(name: N, is: string): Parameter<'i32'> {
  return { name, type: 'i32', is };
}

export function i64<const N extends string>(name: N, is: string): Parameter<'i64'> {
  return { name, type: 'i64', is };
}

export const FD = i32('fd', 'a file descriptor: 0, 1 or 2');
export const IOVS = i32('iovs', 'address of an array of { ptr: u32, len: u32 }');
export const IOVS_LEN = i32('iovs_len', 'their number');
