/**
 * What the parts of the conformance suite share: a listener whose handler tells what it was given,
 * and the list of cases that an engine is known to answer differently.
 */

import type { Test } from 'tap';

import { listen } from '../../../daemon/listen/listener.ts';
import type {
  EngineName, Handler, IncomingRequest, Listener, ListenerLimits, ListenerOptions, Refusal,
} from '../../../daemon/listen/listener.ts';
import { header, openRaw } from './raw.ts';
import type { RawClient, RawResponse } from './raw.ts';

export type { Test };

export interface Suite {
  readonly engine: EngineName;
  /** How this engine's answer to a named case differs, or undefined when it keeps the contract. */
  differs(name: string): string | undefined;
}

export interface Case {
  readonly name: string;
  run(t: Test, suite: Suite): Promise<void>;
}

export interface Stage {
  readonly listener: Listener;
  readonly port: number;
  readonly refusals: Refusal[];
  /** Requests that reached the handler. */
  readonly seen: IncomingRequest[];
  open(): Promise<RawClient>;
}

/** A listener that lives as long as the test. Without a handler every request is echoed as JSON. */
export async function stage(
  t: Test, suite: Suite, limits: Partial<ListenerLimits> = {}, handler: Handler = echo,
  more: Pick<ListenerOptions, 'onHead' | 'gatheredBytes'> = {},
): Promise<Stage> {
  const refusals: Refusal[] = [];
  const seen: IncomingRequest[] = [];
  const listener = await listen(
    {
      host: '127.0.0.1', port: 0, limits, engine: suite.engine,
      onRefusal: (refusal) => refusals.push(refusal), ...more,
    },
    (request) => {
      seen.push(request);
      handler(request);
    },
  );
  t.teardown(() => listener.close());
  const { port } = listener.address;
  const open = async (): Promise<RawClient> => {
    const client = await openRaw(port);
    t.teardown(() => client.destroy());
    return client;
  };
  return { listener, port, refusals, seen, open };
}

export interface Echo {
  method: string;
  target: string;
  host: string;
  headers: string[];
  requestId: string;
  clientAddress: string;
  secure: boolean;
  /** One character per byte. */
  body: string | null;
}

/** Answers later, as a guest would: the engine must have let go of its request by then. */
export function echo(request: IncomingRequest): void {
  setImmediate(() => respondEcho(request));
}

export function respondEcho(request: IncomingRequest): void {
  const { method, target, host, headers, requestId, clientAddress, secure, body } = request;
  const text = body === null ? null : Buffer.from(body).toString('latin1');
  request.respond({
    status: 200,
    headers: ['content-type', 'application/json'],
    body: JSON.stringify({
      method, target, host, headers, requestId, clientAddress, secure, body: text,
    }),
  });
}

export function readEcho(response: RawResponse): Echo {
  if (response.status !== 200) {
    throw new Error(`not echoed but ${response.status}: ${response.body.toString()}`);
  }
  return JSON.parse(response.body.toString()) as Echo;
}

/** The answer is one of ours: code, text, request id, and the end of the connection. */
export async function expectRefusal(
  t: Test, client: RawClient, response: RawResponse,
  expected: { status: number; code: string; text: RegExp },
): Promise<void> {
  const text = response.body.toString();
  const id = header(response, 'x-request-id') ?? '';
  t.equal(response.status, expected.status, `status of ${JSON.stringify(text)}`);
  t.equal(header(response, 'wardian-error'), expected.code);
  t.match(text, expected.text);
  t.match(header(response, 'content-type'), /^text\/plain/);
  t.match(id, /^[A-Za-z0-9._-]{8,}$/);
  t.ok(text.includes(id), 'the text names the request');
  t.equal(header(response, 'connection')?.toLowerCase(), 'close');
  t.match(header(response, 'date'), /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/);
  t.equal((await client.rest()).length, 0, 'nothing follows, and the server ends the connection');
}
