/**
 * What dispatch is made of: the router, admission, the pool, and who is told what became of a
 * request. `serve.ts` puts it together.
 */

import type { Route } from '../contract/deployment.ts';
import type { ReplyMessage, RequestMessage } from '../contract/messages.ts';
import type { PulledBody, ReplyRelay } from '../pool/pool.ts';
import type { Admission } from './admission.ts';
import type { Changeover } from './changeover.ts';
import type { IncomingRequest } from './listen/listener.ts';
import type { RequestRecord } from './request-record.ts';
import type { Answer } from './respond.ts';
import type { Router } from './router.ts';
import type { Tracing } from './tracing.ts';

/** The part of the pool that dispatch needs. */
export interface DispatchPool {
  /**
   * `returned`: no thread could begin it soon; the promise is then never settled. `body`: of a
   * message that is `streamed`.
   */
  run(
    message: RequestMessage, returned: () => void, body: PulledBody | null,
  ): Promise<ReplyMessage>;
  relay(sequence: number): ReplyRelay;
  abort(sequence: number): void;
}

/** Answers a request that no app serves: the sandbox's deploy protocol. Null when it is not one. */
export type PlatformHandler = (request: IncomingRequest, host: string) => Promise<Answer> | null;

export interface DispatchParts {
  readonly router: Router;
  readonly admission: Admission;
  readonly pool: DispatchPool;
  readonly platform: PlatformHandler;
  /** Whether the platform answers for a host that no app serves. */
  readonly isPlatformHost: (host: string) => boolean;
  /** Absent: no backup ever takes the database's place. */
  readonly changeover?: Pick<Changeover, 'epoch' | 'holds' | 'hold'>;
  readonly observe: (record: RequestRecord) => void;
  /** An error of ours while a request was answered. */
  readonly onFault: (error: unknown) => void;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | null;
  /** A version's module could not be loaded. */
  readonly onUnavailable?: (route: Route) => void;
}
