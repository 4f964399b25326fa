/**
 * One route of the admin API as data: what it takes, what it answers, how it fails. The server
 * validates with these schemas, and the OpenAPI document is generated from them.
 */

import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type * as z from 'zod';

import type { TokenScope } from '../../contract/deployment.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import type { Caller } from './caller.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Who may call: whose token has this scope or a wider one; `operator`: no tenant's token. */
export interface Access {
  readonly scope: TokenScope;
  readonly operator?: boolean;
}

export interface AdminCall {
  /** Whose token it came with; nobody outside of `/v1/`. */
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  /** Parsed by the route's schema; an empty object without one. */
  readonly query: Readonly<Record<string, unknown>>;
  /** Parsed by the route's schema; undefined without one. */
  readonly body: unknown;
  /** For routes that read their body themselves. */
  readonly request: IncomingMessage;
  /** Aborted when the client goes away before the answer is complete. */
  readonly signal: AbortSignal;
  /**
   * For what begins long after the call did. Throws `client_closed` when nobody waits for it any
   * more, `unauthorized` or `forbidden` when its token may not do it any more.
   */
  readonly assertWanted: () => void;
}

export type AdminAnswer =
  | { readonly status: number; readonly json: unknown }
  | { readonly status: number; readonly text: string; readonly contentType: string }
  | {
    readonly status: number; readonly bytes: Uint8Array; readonly contentType: string;
    readonly headers?: Readonly<Record<string, string>>;
  }
  /** Read to its end; destroyed when the client goes away. */
  | {
    readonly status: number; readonly stream: Readable; readonly contentType: string;
    readonly byteLength: number;
  }
  /** One JSON line for each event. */
  | { readonly status: number; readonly events: AsyncIterable<unknown> }
  | { readonly status: 204 };

export interface AdminRoute {
  readonly method: Method;
  /** With parameters in braces: `/v1/apps/{label}`. */
  readonly path: string;
  readonly summary: string;
  /** Routes under `/v1/` always need a token; without this, the operator's. */
  readonly access?: Access;
  /** Knows nothing of the database for longer than a moment: no restore waits for its calls. */
  readonly apart?: boolean;
  readonly params?: Readonly<Record<string, z.ZodType<string>>>;
  readonly query?: z.ZodObject;
  /** A JSON body. */
  readonly body?: z.ZodType;
  /** Content types of a body that `handle` reads itself. */
  readonly rawBody?: readonly string[];
  /** Request headers that mean something here, by their meaning. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly answer: {
    readonly status: number;
    readonly contentType?: string;
    readonly schema?: z.ZodType;
  };
  /** An answer of another status that is no problem. */
  readonly otherwise?: {
    readonly status: number; readonly schema: z.ZodType; readonly meaning: string;
  };
  readonly errors: readonly ErrorCode[];
  readonly handle: (call: AdminCall) => Promise<AdminAnswer> | AdminAnswer;
}
