/**
 * Conformance: many clients that ask, leave and come back at random, against handlers that answer
 * at once, later, in streams or never. Nothing may be lost, told twice, or left behind.
 */

import type { IncomingRequest } from '../../../daemon/listen/listener.ts';
import { get, noise, until } from './bulk.ts';
import { openRaw, pause } from './raw.ts';
import type { RawClient } from './raw.ts';
import { stage } from './suite.ts';
import type { Case, Suite, Test } from './suite.ts';

const CLIENTS = 300;
const AT_ONCE = 30;
const TARGETS = ['/now', '/late', '/large', '/known', '/unknown', '/never'];
const WITH_BODY = 'POST TARGET HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na';
const LARGE = noise(1_000_000);
const PIECE = noise(50_000);

interface Fate {
  answered: boolean;
  aborts: number;
}

/** A fixed sequence: the storm is the same each time as far as the machine lets it. */
function sequence(): (n: number) => number {
  let x = 12_345;
  return (n) => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return (x >>> 8) % n;
  };
}

function stream(request: IncomingRequest, length: number | null): void {
  const answer = request.respondStream({ status: 200, headers: [], contentLength: length });
  if (answer === null) return;
  let left = 4;
  const pump = (): void => {
    while (left > 0) {
      left -= 1;
      if (!answer.write(PIECE)) return;
    }
    answer.end();
  };
  answer.onDrain = pump;
  pump();
}

function answer(request: IncomingRequest): void {
  const body = request.target === '/large' ? LARGE : 'small';
  if (request.target === '/known') stream(request, 4 * PIECE.length);
  else if (request.target === '/unknown') stream(request, null);
  else request.respond({ status: 200, headers: ['x-a', 'b'], body });
}

async function client(port: number, below: (n: number) => number): Promise<void> {
  let raw: RawClient | null = null;
  try {
    raw = await openRaw(port);
    for (let i = 1 + below(3); i > 0; i -= 1) {
      const target = TARGETS[below(TARGETS.length)] as string;
      const kind = below(5);
      if (kind === 0) raw.write('POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc');
      else if (kind === 1) raw.write(WITH_BODY.replace('TARGET', target));
      else raw.write(get(target));
      if (kind === 0 || target === '/never' || below(3) === 0) {
        await pause(below(4));
        if (below(2) === 0) raw.socket.resetAndDestroy();
        return;
      }
      await raw.response();
    }
  } finally {
    raw?.destroy();
  }
}

async function storm(t: Test, suite: Suite): Promise<void> {
  const below = sequence();
  const fates: Fate[] = [];
  const { listener, port } = await stage(t, suite, {}, (request) => {
    const fate: Fate = { answered: false, aborts: 0 };
    fates.push(fate);
    request.onAbort = () => { fate.aborts += 1; };
    if (request.target === '/never') return;
    const now = (): void => {
      if (fate.aborts === 0) fate.answered = true;
      answer(request);
    };
    if (request.target === '/now') now();
    else setTimeout(now, below(5));
  });
  const failures: unknown[] = [];
  for (let i = 0; i < CLIENTS; i += AT_ONCE) {
    const wave = Array.from({ length: AT_ONCE }, () => client(port, below));
    for (const result of await Promise.allSettled(wave)) {
      if (result.status === 'rejected') failures.push(result.reason);
    }
  }
  t.same(failures, [], 'whoever waited for an answer got it');
  await until('all connections are gone', () => listener.connections() === 0);
  const hasEnded = (fate: Fate): boolean => fate.answered || fate.aborts > 0;
  await until('everything has an end', () => fates.every(hasEnded));
  t.ok(fates.length > CLIENTS / 2, `${fates.length} requests`);
  t.ok(fates.some((fate) => fate.aborts > 0), 'some aborted');
  t.ok(fates.some((fate) => fate.answered), 'some answered');
  t.notOk(fates.some((fate) => fate.answered && fate.aborts > 0), 'no answered one is aborted');
  t.notOk(fates.some((fate) => fate.aborts > 1), 'none is aborted twice');
  t.same(await listener.drain(5_000), { finished: 0, cut: 0 }, 'nothing is left in flight');
}

export const stormCases: readonly Case[] = [{ name: 'a storm of clients', run: storm }];
