/**
 * The entry of a worker thread. Piscina calls the default export with some requests at a time;
 * everything else is made once: hostcalls, memories, the cache of modules, the control channel to
 * the main thread. An error that nobody caught ends the thread: no state is trusted after it.
 */

import { MessageChannel, parentPort, threadId, workerData } from 'node:worker_threads';
import { WardianError } from '../contract/errors.ts';
import { LIVE_MEMORIES_MAX, SWEEP_INTERVAL_MS } from '../contract/limits.ts';
import { LiveMap } from '../contract/live-map.ts';
import type {
  Failure, RequestMessage, WorkerData, WorkerHello, WorkerNotice, WorkerOrder,
} from '../contract/messages.ts';
import { StoreEpoch } from '../contract/store-epoch.ts';
import { createHost, createServices } from '../hostcalls/index.ts';
import { failureOf } from './failure.ts';
import { writeGauges } from './gauges.ts';
import { collector, countCollections } from './gc.ts';
import { HeapGuard } from './heap-guard.ts';
import { FIELDS, HEARTBEAT_BYTES, Heartbeat, epochNow } from './heartbeat.ts';
import { GuestRun, deadlineFailure, type Thread } from './instance.ts';
import { LEDGER_BYTES, Ledger } from './ledger.ts';
import { LogBatch } from './log-batch.ts';
import { MemoryPool } from './memory-pool.ts';
import { ModuleCache, type Served } from './module-cache.ts';
import { ModuleHolders } from './module-holders.ts';
import { Outbox } from './outbox.ts';
import { lowerWorker } from './priority.ts';
import { Relays } from './relays.ts';
import { Uploads } from './uploads.ts';
import { REQUEST_VALUES, placeAt, takeRequest, type Wire } from './wire.ts';

/** How long guests may follow each other before the event loop turns: those that wait want it. */
const SLICE_MS = 4;

/** Frames of a guest's stack in a report. */
Error.stackTraceLimit = 32;

if (parentPort === null) throw new Error('pool/worker.ts runs as a worker thread only');
const settings = workerData as WorkerData;
lowerWorker(settings.niceness);
const shared = new SharedArrayBuffer(HEARTBEAT_BYTES);
const heartbeat = new Heartbeat(shared);
const { values } = heartbeat;
const sharedLedger = new SharedArrayBuffer(LEDGER_BYTES);
const ledger = new Ledger(sharedLedger);
const control = new MessageChannel();
const store = new MessageChannel();
const logs = new LogBatch(control.port1, heartbeat);
const services = createServices({
  settings, storePort: store.port1, log: (line) => logs.add(line),
});
const heap = new HeapGuard();
const host = createHost({
  services,
  join: services.join,
  onInternalError: reportInternalError,
  onSuspend: (tenantId, sequence) => {
    values[FIELDS.waiting]! += 1;
    ledger.countWaiting(tenantId, 1);
    heartbeat.leave(sequence);
  },
  mayResume: () => heap.admit(performance.now()),
  onResume: (tenantId) => {
    values[FIELDS.waiting]! -= 1;
    ledger.countWaiting(tenantId, -1);
  },
  onEnter: (sequence, deadlineAt) => heartbeat.enter(sequence, deadlineAt, epochNow()),
});
const cache = new ModuleCache({
  databasePath: settings.databasePath,
  limits: settings.limits,
  bytesMax: settings.moduleCacheBytesMax,
  threads: settings.threads,
  holders: new ModuleHolders(settings.moduleHolders, threadId),
  ...(settings.storeEpoch === undefined ? {} : { epoch: new StoreEpoch(settings.storeEpoch) }),
});
const outbox = new Outbox(control.port1);
const memories = new MemoryPool({
  imports: host.imports,
  keptBytesMax: settings.memoryPoolBytesMax,
  liveMax: Math.floor(LIVE_MEMORIES_MAX / settings.threads),
  beforeZeroing: outbox.send,
  collect: collector(),
});
const UNKNOWN_EPOCH = -1;
const epochOf = (stores: number): number => (stores === cache.epoch ? stores : UNKNOWN_EPOCH);
/** Of everything that was read of the database. */
let epoch = epochOf(services.epoch);
const uploads = new Uploads((sequence, bytes) => {
  const notice: WorkerNotice = { kind: 'pull', sequence, bytes };
  control.port1.postMessage(notice);
}, services.held);
const relays = new Relays(
  control.port1, reportInternalError, (sequence) => uploads.cancel(sequence));
const runs = new LiveMap<GuestRun>();
const thread: Thread = {
  host, memories, heap, heartbeat, settled, onInternalError: reportInternalError,
};

/** For the operator's log: never for a client. */
function reportInternalError(error: unknown): void {
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  const notice: WorkerNotice = { kind: 'internal', text };
  control.port1.postMessage(notice);
}

function settled(run: GuestRun): void {
  runs.delete(run.message.sequence);
  values[FIELDS.inFlight] = runs.size;
  const { sequence, streamed } = run.message;
  heartbeat.leave(sequence);
  if (run.relay !== null) relays.add(sequence, run.relay);
  // A relay may still be sending it upstream.
  else if (streamed) uploads.cancel(sequence);
  if (run.reply !== null) outbox.add(sequence, run.reply);
}

const CLIENT_CLOSED: Failure = failureOf('client_closed', 'the client went away');

/** Messages that were not looked at yet, and where in the first of them. */
const inbox: Wire[] = [];
let inboxAt = 0;
/** Runs whose module had to be loaded and is here now. */
const loaded: Ready[] = [];
let pumping = false;
let sliceEndsAt = 0;
/** Whose guest the last turn of the pump began, and when; the next one learns how long it took. */
let lastServed: Served | null = null;
let lastTurnAt = 0;
const TURN_WEIGHT = 1 / 8;
/** More is counted as that: once in a while the system lets the thread itself wait for long. */
const TURN_MS_MAX = 1;
/** For each message, told when all of its requests have begun: takes what replies there are. */
const begun: ((replies: unknown) => void)[] = [];

interface Ready { readonly run: GuestRun; readonly served: Served }

/** Begins the next run; false when there is none. */
function beginNext(now: number): boolean {
  const next = loaded.shift();
  if (next !== undefined) {
    begin(next.run, next.served);
    return true;
  }
  const wire = inbox[0];
  if (wire === undefined) return false;
  // One that was taken back is with another thread by now, or its client is gone.
  if (ledger.begin(placeAt(wire, inboxAt))) accept(takeRequest(wire, inboxAt), now);
  inboxAt += REQUEST_VALUES;
  if (inboxAt >= wire.length) {
    inbox.shift();
    inboxAt = 0;
    begun.shift()?.(outbox.take());
  }
  return true;
}

/** A reply that is ready does not wait for a guest that takes long, nor is it lost with it. */
function begin(run: GuestRun, served: Served): void {
  // A guest joins the store here: one whose module took long would join the next one.
  if ((run.message.epoch ?? 0) !== epoch) return run.kill(TOO_LATE);
  outbox.sendBefore(served.turnMs);
  lastServed = served;
  if (run.message.streamed) uploads.own(run.message.sequence, served.owner.tenantId);
  run.begin(served);
}

/** From one turn of the pump to the next: clocks are read there anyway. */
function learnTurn(now: number): void {
  if (lastServed !== null) {
    const { turnMs } = lastServed;
    const took = Math.min(now - lastTurnAt, TURN_MS_MAX);
    lastServed.turnMs = Number.isNaN(turnMs) ? took : turnMs + (took - turnMs) * TURN_WEIGHT;
    lastServed = null;
  }
  lastTurnAt = now;
}

/**
 * Begins one run, and comes back for the next a microtask later, so that guests that wait for
 * nothing go on in between. Replies leave together, every now and then.
 */
function pump(): void {
  const now = performance.now();
  learnTurn(now);
  if (sliceEndsAt === 0) sliceEndsAt = now + SLICE_MS;
  memories.clean();
  outbox.sendDue(now);
  services.sendWrites(now);
  if (now >= sliceEndsAt) {
    sliceEndsAt = 0;
    outbox.send();
    setImmediate(pump);
  } else if (beginNext(performance.timeOrigin + now)) {
    queueMicrotask(pump);
  } else {
    pumping = false;
    sliceEndsAt = 0;
  }
}

function enqueue(run: GuestRun, served: Served): void {
  loaded.push({ run, served });
  ensurePumping();
}

function ensurePumping(): void {
  if (pumping) return;
  pumping = true;
  queueMicrotask(pump);
}

/** Takes the requests of one message; results in replies, of these or of others. */
export default function serve(wire: Wire): Promise<unknown> {
  values[FIELDS.beatAt] = epochNow();
  inbox.push(wire);
  ensurePumping();
  return new Promise((done) => { begun.push(done); });
}

/** A request has its turn. */
function accept(message: RequestMessage, now: number): void {
  values[FIELDS.beatAt] = now;
  const run = new GuestRun(thread, message, message.streamed ? uploads.open(message) : null);
  const full = runs.size >= settings.guestsPerWorkerMax;
  runs.set(message.sequence, run);
  values[FIELDS.inFlight] = runs.size;
  if (full) run.kill(failureOf('overloaded', 'too many guests are in flight'));
  else if (message.deadlineAt <= now) run.kill(deadlineFailure(run));
  else start(run, message);
}

/**
 * The main thread lets go of requests of one epoch before it sends those of the next. One that a
 * busy thread has kept for longer than that was waited for comes too late. Throws when the database
 * cannot be opened: the next request tries again.
 */
function isOfEpoch(wanted: number): boolean {
  if (wanted > epoch) {
    epoch = UNKNOWN_EPOCH;
    if (cache.epoch !== wanted) cache.renew();
    epoch = epochOf(services.renew());
  }
  return wanted === epoch;
}

const TOO_LATE: Failure = failureOf(
  'store_failed', 'the store was restored from a backup before this request began: ask again');

function start(run: GuestRun, message: RequestMessage): void {
  try {
    if (!isOfEpoch(message.epoch ?? 0)) return run.kill(TOO_LATE);
  } catch (error) {
    reportInternalError(error);
    return run.kill(failureOf('store_failed', 'the store could not be opened'));
  }
  const served = cache.get(message.versionId, message.generation);
  if (served !== null) {
    begin(run, served);
    return;
  }
  outbox.send();
  run.awaitModule();
  cache.load(message.versionId, message.generation).then(
    (found) => enqueue(run, found),
    (error: unknown) => {
      if (error instanceof WardianError && error.cause !== undefined) reportInternalError(error);
      run.kill(error instanceof WardianError ? failureOf(error.code, error.message)
        : failureOf('internal', 'an internal error'));
    },
  );
}

/** Kills whom the deadline has passed, and beats. */
function sweep(): void {
  const now = epochNow();
  for (const run of runs.values()) {
    if (run.killed) {
      run.forceEnd();
    } else if (run.deadlineAt <= now) {
      values[FIELDS.deadlineKills]! += 1;
      run.kill(deadlineFailure(run));
    }
  }
  values[FIELDS.beatAt] = now;
  heartbeat.clear();
  cache.modules.recount(performance.now());
  writeGauges(values, memories, cache);
}

function abort(sequence: number): void {
  // Only what has begun is aborted here: its run has ended, or can be found.
  const run = runs.get(sequence);
  if (run === undefined) relays.abort(sequence);
  else run.kill(CLIENT_CLOSED);
}

control.port1.on('message', (order: WorkerOrder) => {
  switch (order.kind) {
    case 'abort': return abort(order.sequence);
    case 'credit': return relays.credit(order.sequence, order.bytes);
    case 'body': return uploads.receive(order);
    case 'forget': return cache.forget(order.versionId);
    default: order satisfies never;
  }
});
countCollections(heartbeat);
sweep();
setInterval(sweep, SWEEP_INTERVAL_MS);

const hello: WorkerHello = {
  kind: 'hello', threadId, control: control.port2, store: store.port2, heartbeat: shared,
  ledger: sharedLedger,
};
parentPort.postMessage(hello, [control.port2, store.port2]);
