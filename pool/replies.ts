/** Replies that no guest made. */

import type { ReplyMessage, RequestMessage, Usage } from '../contract/messages.ts';

/** Of a request that never became an instance. */
export const NO_USAGE: Usage = Object.freeze({
  fuel: 0, memoryBytes: 0, hostcalls: 0, hostcallBytes: 0, logBytes: 0, logOverBytes: 0,
  subrequests: 0, dnsQueries: 0, kvOperations: 0, subrequestMs: 0, subrequestFailures: 0,
  kvMs: 0, dnsMs: 0,
  recycled: false, instantiateUs: 0, runUs: 0, waitedUs: 0,
});

/** Of a request whose client went away before a guest had begun. */
export function abortedReply(): ReplyMessage {
  const failure = {
    code: 'client_closed' as const,
    message: 'the client went away',
    backtrace: [],
    lastHostcall: null,
  };
  return { status: 0, headers: [], body: null, relay: null, usage: NO_USAGE, failure };
}

/** What the main thread answers for a worker that did not. `held`: its guest held the thread. */
export function lateReply(message: RequestMessage, now: number, held: boolean): ReplyMessage {
  const late = Math.max(Math.round(now - message.deadlineAt), 0);
  const failure = {
    code: 'deadline' as const,
    message: `no answer ${late} ms after its deadline`,
    backtrace: [],
    lastHostcall: null,
  };
  return { status: 0, headers: [], body: null, relay: null, usage: NO_USAGE, failure, held };
}
