/** The Terrarium ABI: everything that its guests import from `env`. */

import type { Hostcall } from '../define.ts';
import { ASSEMBLYSCRIPT_HOSTCALLS } from './assemblyscript.ts';
import { DNS_HOSTCALLS } from './dns.ts';
import { ENVIRONMENT_HOSTCALLS } from './environment.ts';
import { KV_HOSTCALLS } from './kv.ts';
import { NAMESPACE_HOSTCALLS } from './namespaces.ts';
import { PROCESS_HOSTCALLS } from './process.ts';
import { REQUEST_HOSTCALLS } from './request.ts';
import { RESPONSE_HOSTCALLS } from './response.ts';
import { SEND_HOSTCALLS } from './send.ts';
import { STREAM_HOSTCALLS } from './stream.ts';

export const TERRARIUM_MODULE = 'env';

/** In the order of the documentation. */
export const TERRARIUM_HOSTCALLS: readonly Hostcall[] = [
  ...PROCESS_HOSTCALLS, ...REQUEST_HOSTCALLS, ...SEND_HOSTCALLS, ...RESPONSE_HOSTCALLS,
  ...KV_HOSTCALLS, ...DNS_HOSTCALLS,
];

/** What Terrarium did not have, in its style. */
export const EXTENSION_HOSTCALLS: readonly Hostcall[] = [
  ...ENVIRONMENT_HOSTCALLS, ...NAMESPACE_HOSTCALLS,
];

export { ASSEMBLYSCRIPT_HOSTCALLS, STREAM_HOSTCALLS };
export { KV_STATUSES } from './kv-status.ts';
