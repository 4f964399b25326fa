/**
 * What the parts of the suite need to move much data and to wait for things.
 */

import { createHash } from 'node:crypto';

import { pause } from './raw.ts';
import type { RawClient } from './raw.ts';

export const MIB = 1024 * 1024;

export function get(target: string): string {
  return `GET ${target} HTTP/1.1\r\nHost: h\r\n\r\n`;
}

export async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000; i += 1) {
    if (holds()) return;
    await pause(10);
  }
  throw new Error(`not so after 10 s: ${what}`);
}

/** Incompressible, so that no buffer on the way can help. */
export function noise(bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let i = 0, x = 1; i < bytes; i += 4) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0;
    body.writeInt32LE(x, i);
  }
  return body;
}

/** Reads `total` body bytes in sips and returns their hash. */
export async function sip(client: RawClient, total: number): Promise<string> {
  const { socket } = client;
  const hash = createHash('sha256');
  socket.removeAllListeners('data');
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let head: Buffer | null = Buffer.alloc(0);
  let got = 0;
  let sips = 0;
  socket.on('data', (piece: Buffer) => {
    let body = piece;
    if (head !== null) {
      head = Buffer.concat([head, piece]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      body = head.subarray(end + 4);
      head = null;
    }
    hash.update(body);
    got += body.length;
    if (got >= total) resolve(hash.digest('hex'));
    sips += 1;
    if (sips % 100 === 0) {
      socket.pause();
      setTimeout(() => socket.resume(), 2);
    }
  });
  socket.on('close', () => reject(new Error(`closed after ${got} of ${total} bytes`)));
  socket.resume();
  return promise;
}

export function hashOf(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex');
}
