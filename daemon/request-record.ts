/** What is told of a request once it is over, to whoever observes. */

import type { Route } from '../contract/deployment.ts';
import type { ErrorCode } from '../contract/errors.ts';
import type { FlatHeaders, ReplyMessage, Usage } from '../contract/messages.ts';
import type { GuestTrace, RequestTrace } from '../contract/trace.ts';

/**
 * What became of a request; times are `performance.now()` milliseconds, 0 where the stage was not
 * reached.
 */
export interface RequestRecord {
  readonly requestId: string;
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly headers: FlatHeaders;
  readonly clientAddress: string;
  readonly route: Route | null;
  readonly status: number;
  /** Null when the guest answered by itself. */
  readonly code: ErrorCode | null;
  readonly failure: ReplyMessage['failure'];
  readonly usage: Usage | null;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly receivedAt: number;
  readonly routedAt: number;
  readonly dispatchedAt: number;
  readonly repliedAt: number;
  readonly answeredAt: number;
  /** Null when nothing is traced. */
  readonly trace: RequestTrace | null;
  /** What its worker adds to that. */
  readonly guestTrace: GuestTrace | null;
}
