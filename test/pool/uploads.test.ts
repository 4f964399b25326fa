/**
 * Windows of request bodies that flow into a worker: what they count for, how large they are when
 * much is held already, and that all of it is given back.
 */

import t from 'tap';
import {
  STREAM_PIECE_BYTES, STREAM_WINDOW_BYTES, UPSTREAM_HELD_BYTES_MAX,
  UPSTREAM_HELD_BYTES_PER_TENANT_MAX,
} from '../../contract/limits.ts';
import type { RequestMessage } from '../../contract/messages.ts';
import { HeldBytes } from '../../hostcalls/services/held-bytes.ts';
import { Uploads } from '../../pool/uploads.ts';

const TENANT = 7;

function message(sequence: number): RequestMessage {
  return {
    sequence, requestId: `request-${sequence}`, versionId: 1, generation: 1, method: 'PUT',
    target: '/', host: 'app.localhost', headers: [], body: null, clientAddress: '192.0.2.7',
    secure: false, deadlineAt: 0, streamed: true,
  };
}

function harness() {
  const held = new HeldBytes();
  const pulled: (readonly [number, number])[] = [];
  const uploads = new Uploads((sequence, bytes) => pulled.push([sequence, bytes]), held);
  const open = (sequence: number, tenantId = TENANT) => {
    const body = uploads.open(message(sequence));
    uploads.own(sequence, tenantId);
    return body;
  };
  const piece = (sequence: number, bytes: number | null): void => uploads.receive({
    kind: 'body', sequence, bytes: bytes === null ? null : new Uint8Array(bytes), broken: '',
  });
  return { held, pulled, uploads, open, piece };
}

t.test('a body holds its window from the first read to its end', async (t) => {
  const { held, pulled, open, piece } = harness();
  const body = open(1);
  t.equal(held.total, 0, 'nothing before it is read');
  const first = body.read();
  t.same(pulled, [[1, STREAM_WINDOW_BYTES]]);
  t.equal(held.of(TENANT), STREAM_WINDOW_BYTES);
  piece(1, 1_000);
  t.equal((await first)?.length, 1_000);
  piece(1, 150_000);
  t.equal((await body.read())?.length, 150_000);
  const last = body.read();
  t.same(pulled, [[1, STREAM_WINDOW_BYTES], [1, 151_000]], 'asked for anew in portions');
  piece(1, 10);
  piece(1, null);
  t.equal((await last)?.length, 10);
  t.equal(held.total, STREAM_WINDOW_BYTES, 'its end is here, and not yet read');
  t.equal(await body.read(), null);
  t.equal(held.total, 0);
  t.equal(await body.read(), null);
  t.equal(held.total, 0);
});

t.test('cancelled bodies give back what they held, once', async (t) => {
  const { held, uploads, open, piece } = harness();
  const waiting = t.rejects(open(1).read(), /was cancelled/);
  const ended = open(2);
  const first = t.rejects(ended.read(), /was cancelled/);
  piece(2, 10);
  piece(2, 10);
  piece(2, null);
  open(3);
  t.equal(held.total, 2 * STREAM_WINDOW_BYTES);
  for (const sequence of [1, 2, 3, 2, 1, 99]) uploads.cancel(sequence);
  await waiting;
  await first;
  await t.rejects(ended.read(), /was cancelled/);
  t.equal(held.total, 0, 'also of one whose end had come');
});

t.test('the more is held, the smaller are windows, and then there are none', async (t) => {
  const { held, pulled, uploads, open } = harness();
  held.add(TENANT, UPSTREAM_HELD_BYTES_PER_TENANT_MAX / 2);
  void open(1).read().catch(() => {});
  t.same(pulled.pop(), [1, STREAM_PIECE_BYTES], 'half of its room stays for what comes');
  void open(2, TENANT + 1).read().catch(() => {});
  t.same(pulled.pop(), [2, STREAM_WINDOW_BYTES], 'others do not feel it');
  held.add(TENANT, UPSTREAM_HELD_BYTES_PER_TENANT_MAX / 2 - STREAM_PIECE_BYTES);
  const refused = open(3);
  await t.rejects(refused.read(), /too many bytes of bodies/);
  t.equal(pulled.length, 0, 'nothing was asked for');
  for (let tenantId = 100; held.total < UPSTREAM_HELD_BYTES_MAX / 2; tenantId += 1) {
    held.add(tenantId, UPSTREAM_HELD_BYTES_PER_TENANT_MAX / 2);
  }
  void open(4, TENANT + 2).read().catch(() => {});
  t.same(pulled.pop(), [4, STREAM_PIECE_BYTES], 'nor is all of a thread for one after another');
  const before = held.total;
  for (const sequence of [1, 2, 3, 4]) uploads.cancel(sequence);
  t.equal(before - held.total, 2 * STREAM_PIECE_BYTES + STREAM_WINDOW_BYTES);
});

t.test('with a small window, small portions are asked for', async (t) => {
  const { held, pulled, open, piece } = harness();
  held.add(TENANT, UPSTREAM_HELD_BYTES_PER_TENANT_MAX / 2);
  const body = open(1);
  for (let n = 0; n < 4; n += 1) {
    const next = body.read();
    piece(1, STREAM_PIECE_BYTES / 2);
    t.equal((await next)?.length, STREAM_PIECE_BYTES / 2);
  }
  t.same(pulled.map(([, bytes]) => bytes), [
    STREAM_PIECE_BYTES, STREAM_PIECE_BYTES / 2, STREAM_PIECE_BYTES / 2, STREAM_PIECE_BYTES / 2,
  ]);
});
