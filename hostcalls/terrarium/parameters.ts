/** The parameters that Terrarium hostcalls share, and what the documentation says of them. */

import type { Parameter } from '../define.ts';

function i32<const N extends string>(name: N, is: string): Parameter<'i32'> {
  return { name, type: 'i32', is };
}

export const PTR_OUT = i32('ptr_out', 'where the host stores the u32 address of the block, or 0');
export const LEN_OUT = i32('len_out', 'where the host stores the u32 length, without the NUL');
export const COUNT_OUT = i32('len_out', 'where the host stores the u32 number of slices');
export const REQ = i32('req', 'a request handle; 0 is the incoming request');
export const OUTGOING_REQ = i32('req', 'the handle of a request made by hostcall_req_create');
export const RESP = i32('resp', 'a response handle; 0 is the outgoing response');
export const PENDING = i32('p', 'the handle of a pending request');
export const NAME = i32('name', 'address of a header name, in any case');
export const NAME_LEN = i32('name_len', 'its length in bytes');
export const SLICES = i32('slices', 'address of an array of GuestSlice, the values');
export const SLICE_COUNT = i32('n', 'number of slices; 0 removes the field');
export const BODY = i32('ptr', 'address of the body');
export const BODY_LEN = i32('len', 'its length in bytes');
export const KEY = i32('k', 'address of the key');
export const KEY_LEN = i32('klen', 'its length in bytes');
export const VALUE = i32('v', 'address of the value');
export const VALUE_LEN = i32('vlen', 'its length in bytes');
export const MESSAGE = i32('msg', 'address of the text');
export const MESSAGE_LEN = i32('len', 'its length in bytes');

export function i64<const N extends string>(name: N, is: string): Parameter<'i64'> {
  return { name, type: 'i64', is };
}

export { i32 };
