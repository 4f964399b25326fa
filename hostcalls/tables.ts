/** All hostcalls of all ABIs, by module and name. */

import type { Hostcall } from './define.ts';
import {
  ASSEMBLYSCRIPT_HOSTCALLS, EXTENSION_HOSTCALLS, STREAM_HOSTCALLS, TERRARIUM_HOSTCALLS,
  TERRARIUM_MODULE,
} from './terrarium/index.ts';
import { WASI_HOSTCALLS, WASI_MODULE } from './wasi/index.ts';

/** The export that a request calls. */
export const ENTRY = 'run';

export type HostcallTable = ReadonlyMap<string, ReadonlyMap<string, Hostcall>>;

function byName(hostcalls: readonly Hostcall[]): ReadonlyMap<string, Hostcall> {
  return new Map(hostcalls.map((called) => [called.name, called]));
}

export const HOSTCALLS: HostcallTable = new Map([
  [TERRARIUM_MODULE, byName([
    ...TERRARIUM_HOSTCALLS, ...EXTENSION_HOSTCALLS, ...STREAM_HOSTCALLS,
    ...ASSEMBLYSCRIPT_HOSTCALLS,
  ])],
  [WASI_MODULE, byName(WASI_HOSTCALLS)],
]);
