/**
 * How writes to the key-value stores and their answers cross between a worker and the store's
 * writer: many in one message, each as a few values in a row of one flat array. A put of 100 bytes
 * in an object of its own costs both threads 9.7 µs together, in a row with three others 1.2, and
 * each message wakes a thread.
 *
 *   writes:  [id, op, store id, key, value, condition, ttl, epoch, id, …]
 *   answers: [id, outcome, revision | code, sum | message, id, …]
 *
 * Keys and short values cross as text of one character for each byte.
 */

import type { ErrorCode } from './errors.ts';
import { BODY_AS_TEXT_BYTES_MAX } from './limits.ts';
import type { StoreCommand, StoreReply, StoreRequest } from './messages.ts';

/** Plain values, and views of buffers of their own. */
export type StoreWire = unknown[];

export const STORE_REQUEST_VALUES = 8;
export const STORE_REPLY_VALUES = 4;

const ABSENT = 1;
const STORED = 2;
const FAILED = -1;

/** What `Buffer` has and its types leave out. */
interface Latin1 {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
}

function packed(bytes: Uint8Array | null): string | Uint8Array | null {
  if (!(bytes instanceof Uint8Array) || bytes.length > BODY_AS_TEXT_BYTES_MAX) return bytes;
  return (Buffer.prototype as Latin1 & Buffer).latin1Slice.call(bytes, 0, bytes.length);
}

/** Anything but text is left for whoever checks the command. */
function unpacked(value: unknown): unknown {
  return typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
}

/**
 * Copies key and value, unless they are large: a view on a larger buffer takes all of it along, so
 * `value` above BODY_AS_TEXT_BYTES_MAX must have a buffer of its own. `epoch`: the `StoreEpoch`
 * that the ids are of.
 */
export function putStoreRequest(
  wire: StoreWire, id: number, command: StoreCommand, epoch = 0,
): void {
  const { op, storeId, key } = command;
  wire.push(
    id, op, storeId, packed(key),
    'value' in command ? packed(command.value) : undefined,
    conditionOf(command),
    'ttlMs' in command ? command.ttlMs : undefined,
    epoch,
  );
}

function conditionOf(command: StoreCommand): unknown {
  switch (command.op) {
    case 'kv_put':
      return command.mode;
    case 'kv_compare':
      return command.revision;
    case 'kv_increment':
      return command.delta;
    case 'kv_delete':
      return null;
  }
}

/**
 * Nothing in it has been checked but that its id is a number: it came from a worker. Null when even
 * that is not so, and nobody could be answered.
 */
export function takeStoreRequest(wire: StoreWire, at: number): StoreRequest | null {
  const [id, op, storeId, key, value, condition, ttlMs, epoch = 0] =
    wire.slice(at, at + STORE_REQUEST_VALUES);
  if (!Number.isSafeInteger(id)) return null;
  return {
    id: id as number,
    epoch: epoch as number,
    command: commandOf(op, storeId, unpacked(key), unpacked(value), condition, ttlMs),
  };
}

function commandOf(
  op: unknown, storeId: unknown, key: unknown, value: unknown, condition: unknown, ttlMs: unknown,
): StoreCommand {
  switch (op) {
    case 'kv_put':
      return { op, storeId, key, value, mode: condition, ttlMs } as StoreCommand;
    case 'kv_compare':
      return { op, storeId, key, value, revision: condition, ttlMs } as StoreCommand;
    case 'kv_increment':
      return { op, storeId, key, delta: condition } as StoreCommand;
    default:
      return { op, storeId, key } as StoreCommand;
  }
}

export function putStoreReply(wire: StoreWire, reply: StoreReply): void {
  if (reply.ok) {
    const outcome = (reply.absent ? ABSENT : 0) | (reply.stored ?? true ? STORED : 0);
    wire.push(reply.id, outcome, reply.revision ?? 0, reply.value);
  } else {
    wire.push(reply.id, FAILED, reply.code, reply.message);
  }
}

export function takeStoreReply(wire: StoreWire, at: number): StoreReply {
  const id = wire[at] as number;
  const outcome = wire[at + 1] as number;
  if (outcome === FAILED) {
    return { id, ok: false, code: wire[at + 2] as ErrorCode, message: wire[at + 3] as string };
  }
  const value = wire[at + 3] as bigint | undefined;
  const absent = (outcome & ABSENT) !== 0;
  const stored = (outcome & STORED) !== 0;
  const revision = wire[at + 2] as number;
  return value === undefined
    ? { id, ok: true, absent, stored, revision }
    : { id, ok: true, absent, stored, revision, value };
}
