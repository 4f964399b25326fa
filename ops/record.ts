/**
 * What the daemon tells the ops side, as shapes: `daemon/main.ts` passes its own records and parts,
 * which fit these.
 */

import type { ErrorCode } from '../contract/errors.ts';
import type { Failure, FlatHeaders, Usage } from '../contract/messages.ts';
import type { GuestTrace, RequestTrace } from '../contract/trace.ts';

export interface RecordRoute {
  readonly tenantId: number;
  readonly tenantName: string;
  readonly appId: number;
  readonly label: string;
  readonly versionId: number;
  readonly versionNumber: number;
  readonly limits: { readonly memoryBytes: number; readonly fuel: number };
}

/**
 * What became of a request; times are `performance.now()` milliseconds, 0 where a stage was not
 * reached.
 */
export interface RequestRecord {
  readonly requestId: string;
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly headers: FlatHeaders;
  readonly clientAddress: string;
  readonly route: RecordRoute | null;
  readonly status: number;
  /** Null when the guest answered by itself. */
  readonly code: ErrorCode | null;
  readonly failure: Failure | null;
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
  readonly guestTrace: GuestTrace | null;
}

/** A request that the listener answered itself. */
export interface RefusalRecord {
  readonly code: ErrorCode;
  readonly status: number;
  readonly requestId: string;
  readonly clientAddress: string;
  readonly message: string;
}

/** A backup that took the place of all that was stored. */
export interface RestoreRecord {
  readonly apps: number;
  readonly tenants: number;
  readonly kept: string | null;
  readonly heldMs: number;
  /** Ids of tenants that name another one now, or nobody. */
  readonly tenantsGone: readonly number[];
}
