/**
 * Which bodies change threads by being handed over, and which by being copied: below
 * BODY_COPIED_BYTES_MAX the copy is cheaper.
 */

import { move, transferableSymbol, valueSymbol } from 'piscina';
import { BODY_COPIED_BYTES_MAX } from '../contract/limits.ts';

/** True when the body goes by its buffer. One that is a part of a larger buffer never does. */
export function isHandedOver(body: Uint8Array | null): boolean {
  return body !== null && body.byteLength > BODY_COPIED_BYTES_MAX
    && body.byteLength === body.buffer.byteLength;
}

/**
 * The same bytes, alone in their buffer: copying a part of a buffer between threads copies the
 * whole.
 */
export function alone(body: Uint8Array | null): Uint8Array | null {
  return body === null || body.byteLength === body.buffer.byteLength ? body : body.slice();
}

/** What a task results in so that Piscina hands these buffers over. */
export function moving(value: unknown, buffers: readonly ArrayBuffer[]): unknown {
  if (buffers.length === 0) return value;
  return move({
    [transferableSymbol]: buffers, [valueSymbol]: value,
  } as unknown as Parameters<typeof move>[0]);
}
