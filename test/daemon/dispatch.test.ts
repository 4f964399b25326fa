/**
 * The way of a request on the main thread, with a pool that answers as the test says: what is
 * recorded, when the guest's time begins, and that no error of ours keeps a place taken.
 */

import t from 'tap';

import type { Route } from '../../contract/deployment.ts';
import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import type { ReplyMessage, RequestMessage } from '../../contract/messages.ts';
import { createAdmission } from '../../daemon/admission.ts';
import { createDispatcher } from '../../daemon/dispatch.ts';
import type { DispatchParts } from '../../daemon/dispatch.ts';
import type { RequestRecord } from '../../daemon/request-record.ts';
import type { IncomingRequest, OutgoingResponse } from '../../daemon/listen/listener.ts';
import { createRouter } from '../../daemon/router.ts';
import { NO_USAGE } from '../../pool/replies.ts';

const ROUTE: Route = {
  tenantId: 1, tenantName: 'local', appId: 1, label: 'hello', versionId: 1, versionNumber: 1,
  generation: 1, limits: { ...REQUEST_LIMITS_DEFAULT, deadlineMs: 1_000 }, debug: false,
  suspended: false,
};

const OK: ReplyMessage = {
  status: 200, headers: [], body: null, relay: null, usage: NO_USAGE, failure: null,
};

/** The daemon's listeners keep its process alive; here nothing else does. */
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

interface Given {
  readonly body?: Uint8Array;
  readonly receivedAt?: number;
  readonly respond?: (answer: OutgoingResponse) => void;
}

/** A dispatcher over a pool whose answers the test makes. */
function world(
  run: (message: RequestMessage, returned: () => void) => Promise<ReplyMessage>,
  room: boolean | (() => boolean) = true, changeover?: NonNullable<DispatchParts['changeover']>,
) {
  const router = createRouter('localhost', () => null);
  router.set(ROUTE, []);
  const admission = createAdmission({
    tenantInFlightMax: 100, inFlightMax: 125, threads: 2, window: 10, tenantQueueMax: 8,
    queueMax: 10, queueMs: 5_000, tenantMax: 100,
  }, { waiting: () => 0, waitingOf: () => 0, room: typeof room === 'boolean' ? () => room : room });
  const records: RequestRecord[] = [];
  const faults: unknown[] = [];
  const dispatch = createDispatcher({
    router, admission,
    pool: {
      run,
      relay: () => { throw new Error('nothing is relayed here'); },
      abort() {},
    },
    platform: () => null,
    isPlatformHost: () => false,
    ...(changeover === undefined ? {} : { changeover }),
    observe: (record) => records.push(record),
    onFault: (error) => faults.push(error),
  });
  const ask = (given: Given = {}): Promise<OutgoingResponse> => new Promise((done) => {
    const request: IncomingRequest = {
      method: 'POST', target: '/', host: 'hello.localhost', headers: [], requestId: 'id',
      clientAddress: '127.0.0.1', secure: false, body: given.body ?? null,
      bodySource: null, received: given.body?.length ?? 0,
      receivedAt: given.receivedAt ?? performance.now(), onAbort: null,
      respond: given.respond ?? done, respondStream: () => null,
      forsakeBody() {},
    };
    dispatch(request);
  });
  return { ask, admission, records, faults };
}

t.test('the size of a body is recorded although the body was handed over', async (t) => {
  const { ask, records } = world(async ({ body }) => {
    if (body !== null) structuredClone(body, { transfer: [body.buffer as ArrayBuffer] });
    return OK;
  });
  await ask({ body: new Uint8Array(100_000) });
  t.equal(records[0]?.requestBytes, 100_000);
});

t.test('what a client takes to send its body is not the guest\'s time', async (t) => {
  let deadlineAt = 0;
  const { ask, records } = world(async (message) => {
    ({ deadlineAt } = message);
    return OK;
  });
  const receivedAt = performance.now() - 5_000;
  t.equal((await ask({ receivedAt, body: new Uint8Array(1) })).status, 200);
  const routedAt = records[0]?.routedAt ?? 0;
  t.equal(deadlineAt, performance.timeOrigin + routedAt + ROUTE.limits.deadlineMs);
});

t.test('a place is given back whatever fails, and the error is told', async (t) => {
  const failing = (): never => { throw new Error('cannot be written'); };
  for (const run of [async () => OK, () => Promise.reject(new Error('ours'))]) {
    const { ask, admission, faults } = world(run);
    void ask({ respond: failing });
    t.equal(admission.inFlight, 1);
    await new Promise((done) => { setImmediate(done); });
    t.equal(admission.inFlight, 0);
    t.match(faults, [{ message: 'cannot be written' }]);
  }
});

t.test('a request that no thread could begin waits again, and is answered', async (t) => {
  let runs = 0;
  const { ask, admission, records } = world((_message, returned) => {
    runs += 1;
    if (runs > 1) return Promise.resolve(OK);
    setImmediate(returned);
    return new Promise(() => {});
  });
  t.equal((await ask()).status, 200);
  await new Promise((done) => { setImmediate(done); });
  t.equal(runs, 2);
  t.equal(records.length, 1);
  t.same([admission.inFlight, admission.queued], [0, 0]);
});

t.test('only a guest that held its thread is charged for a deadline without usage', async (t) => {
  const charged: number[] = [];
  for (const held of [false, true]) {
    const failure = { code: 'deadline' as const, message: '', backtrace: [], lastHostcall: null };
    const { ask, admission } = world(async () => {
      await new Promise((done) => { setTimeout(done, 20); });
      return { ...OK, failure, ...(held ? { held } : {}) };
    });
    const { finished } = admission;
    admission.finished = (tenantId, heldMs, now) => {
      charged.push(heldMs);
      finished.call(admission, tenantId, heldMs, now);
    };
    t.equal((await ask()).status, 504);
    await new Promise((done) => { setImmediate(done); });
    t.equal(admission.inFlight, 0);
  }
  t.equal(charged[0], 0);
  t.ok((charged[1] ?? 0) > 10, 'and the one that held it for all of that time');
});

t.test('a queued request is refused at its deadline, with a time to come again', async (t) => {
  const { ask, admission, records } = world(async () => OK, false);
  const begunAt = performance.now();
  const answer = await ask();
  t.equal(answer.status, 503);
  t.ok(performance.now() - begunAt >= ROUTE.limits.deadlineMs);
  t.match(answer.headers.join(' '), /wardian-error overloaded retry-after 1$/);
  t.match(records, [{ status: 503, code: 'overloaded', dispatchedAt: 0 }]);
  t.same([admission.inFlight, admission.queued], [0, 0]);
});

t.test('what was queued before a restore is routed anew, and nobody learns from it', async (t) => {
  const epochs: (number | undefined)[] = [];
  const held: number[] = [];
  let room = false;
  const changeover = {
    epoch: 0, holds: false,
    hold(tenantId: number, again: () => void) {
      held.push(tenantId);
      setImmediate(() => {
        changeover.holds = false;
        changeover.epoch = 2;
        again();
      });
    },
  };
  const { ask, admission } = world(async ({ epoch }) => {
    epochs.push(epoch);
    return OK;
  }, () => room, changeover);
  let finished = 0;
  let withdrawn = 0;
  const own = { finished: admission.finished, withdraw: admission.withdraw };
  admission.finished = (...given) => {
    finished += 1;
    own.finished.apply(admission, given);
  };
  admission.withdraw = (...given) => {
    withdrawn += 1;
    own.withdraw.apply(admission, given);
  };
  const queued = ask();
  t.equal(admission.queued, 1);
  changeover.holds = true;
  const waits = ask();
  t.same(held, [1], 'in the share of its tenant');
  room = true;
  t.equal((await queued).status, 200);
  t.equal((await waits).status, 200);
  await new Promise((done) => { setImmediate(done); });
  t.same(epochs, [2, 2]);
  t.same([finished, withdrawn], [2, 1]);
  t.same([admission.inFlight, admission.queued], [0, 0]);
});
