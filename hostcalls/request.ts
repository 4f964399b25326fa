/**
 * The client's request as a guest sees it. The platform's own header fields are set here, and what
 * a client sent under their names is dropped: a guest may trust them.
 */

import type { RequestMessage } from '../contract/messages.ts';
import { BadArgument } from './memory.ts';

/** The address of the client, under the names by which Terrarium guests ask for it. */
const CLIENT_ADDRESS_FIELDS = ['fastly-client-ip', 'x-fastly-client-ip'] as const;

export function requestHeaders(request: RequestMessage): string[] {
  const fields: string[] = [];
  let hasHost = false;
  for (let at = 0; at < request.headers.length; at += 2) {
    const name = request.headers[at]!;
    if (name === CLIENT_ADDRESS_FIELDS[0] || name === CLIENT_ADDRESS_FIELDS[1]) continue;
    if (name === 'host') hasHost = true;
    fields.push(name, request.headers[at + 1]!);
  }
  // HTTP/2 requests carry their host beside the fields.
  if (!hasHost && request.host !== '') fields.push('host', request.host);
  for (const name of CLIENT_ADDRESS_FIELDS) fields.push(name, request.clientAddress);
  return fields;
}

/** The whole body. Throws BadArgument, naming the argument, when it comes piece by piece. */
export function wholeBody(request: RequestMessage, argument: string): Uint8Array | null {
  if (!request.streamed) return request.body;
  throw new BadArgument(argument, 'the body of the request is not held, since it is large or of '
    + 'unknown length and the module can read it piece by piece: hostcall_req_body_read does');
}
