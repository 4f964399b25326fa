/**
 * WASI preview1, as much of it as there is without files: arguments, environment, clocks, random
 * numbers, the log on stdout and stderr, the request's body on stdin. A module may import it beside
 * the Terrarium hostcalls.
 *
 * An address outside of the guest's memory ends the guest, as everywhere; there is no EFAULT.
 */

import type { Hostcall } from '../define.ts';
import { DESCRIPTOR_HOSTCALLS } from './descriptors.ts';
import { ENVIRONMENT_HOSTCALLS } from './environment.ts';
import { POLL_HOSTCALLS } from './poll.ts';
import { UNAVAILABLE_HOSTCALLS } from './unavailable.ts';

export const WASI_MODULE = 'wasi_snapshot_preview1';

/** In the order of the documentation. */
export const WASI_HOSTCALLS: readonly Hostcall[] = [
  ...ENVIRONMENT_HOSTCALLS, ...DESCRIPTOR_HOSTCALLS, ...POLL_HOSTCALLS, ...UNAVAILABLE_HOSTCALLS,
];
