/**
 * The writer thread: the only place that writes to the database. The main thread speaks to it
 * through `parentPort` (control plane) and hands over one port for each pool worker (key-value
 * commands only: what comes from a worker can never be a command of the control plane).
 */

import { DatabaseSync } from 'node:sqlite';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';

import { WardianError } from '../../contract/errors.ts';
import {
  STORE_REQUEST_VALUES, putStoreReply, takeStoreRequest,
} from '../../contract/store-wire.ts';
import type { StoreWire } from '../../contract/store-wire.ts';
import type {
  NotReplaced, Replaced, WriterOrder, WriterReply, WriterSettings, WriterStats,
} from './commands.ts';
import { openForWriting } from './database.ts';
import { exchange } from './exchange.ts';
import { sqliteCode, storeFailure } from './failure.ts';
import { raiseTo, readGivenOut } from './given-out.ts';
import { GroupCommit } from './group-commit.ts';

/** How often expired entries are looked for. */
const TICK_MS = 1_000;
/** Messages taken from one port before the next port's turn, while a commit is filled. */
const DRAIN_MAX = 1_024;
const RESTORED_MEANWHILE =
  'the store was restored from a backup while this request ran: ask again';

/** A pool worker's port, and the answers that wait for the end of the commit. */
interface WorkerEnd {
  readonly port: MessagePort;
  readonly answers: StoreWire;
}

class Writer {
  readonly #main: MessagePort;
  readonly #settings: WriterSettings;
  #database: DatabaseSync;
  readonly #workers = new Map<MessagePort, WorkerEnd>();
  #commit: GroupCommit;
  /** Commands of workers must be of it: ids of another one name something else, or nothing. */
  #epoch = 0;
  readonly #ticker: NodeJS.Timeout;

  constructor(main: MessagePort, settings: WriterSettings) {
    this.#main = main;
    this.#settings = settings;
    this.#database = openForWriting(settings.databasePath, settings.durability);
    this.#commit = this.#openCommit();
    this.#ticker = setInterval(() => this.#commit.tick(), TICK_MS);
    main.on('message', (order: WriterOrder) => this.#takeOrder(order));
    this.#answer({ kind: 'ready' });
  }

  #openCommit(before?: WriterStats): GroupCommit {
    return new GroupCommit({
      ...(before === undefined ? {} : { before }),
      database: this.#database,
      databasePath: this.#settings.databasePath,
      limits: this.#settings.limits,
      freeBytesMin: this.#settings.freeBytesMin,
      drain: () => {
        this.#drainWorkers();
        drain(this.#main, (message) => this.#takeOrder(message as WriterOrder));
      },
      settled: () => this.#answerWorkers(),
    });
  }

  #answer(reply: WriterReply): void {
    this.#main.postMessage(reply, []);
  }

  #takeOrder(order: WriterOrder): void {
    switch (order.kind) {
      case 'control':
        this.#commit.add({
          kind: 'control',
          command: order.command,
          done: (result) => this.#answer({ kind: 'done', id: order.id, result }),
          failed: (error) => this.#answer(failed(order.id, error)),
        });
        break;
      case 'kv':
        this.#commit.add({
          kind: 'kv',
          command: order.command,
          done: (result) => this.#answer({ kind: 'done', id: order.id, result }),
          failed: (error) => this.#answer(failed(order.id, error)),
        });
        break;
      case 'attach':
        this.#attach(order.port);
        break;
      case 'replace':
        this.#replace(order);
        break;
      case 'stats':
        this.#answer({ kind: 'done', id: order.id, result: this.#commit.stats });
        break;
      case 'close':
        this.#close(order.id);
        break;
    }
  }

  #attach(port: MessagePort): void {
    const worker: WorkerEnd = { port, answers: [] };
    this.#workers.set(port, worker);
    port.on('message', (message) => this.#takeRequests(worker, message));
    port.on('close', () => this.#workers.delete(port));
  }

  #takeRequests(worker: WorkerEnd, message: unknown): void {
    if (!Array.isArray(message)) return;
    for (let at = 0; at < message.length; at += STORE_REQUEST_VALUES) {
      this.#takeRequest(worker, message, at);
    }
    // Of what was refused at once.
    sendAnswers(worker);
  }

  #takeRequest({ answers }: WorkerEnd, wire: StoreWire, at: number): void {
    const request = takeStoreRequest(wire, at);
    // Without a number there is nobody to answer.
    if (request === null) return;
    const { id, command, epoch } = request;
    if (epoch !== this.#epoch) {
      putStoreReply(answers, { id, ok: false, code: 'store_failed', message: RESTORED_MEANWHILE });
      return;
    }
    this.#commit.add({
      kind: 'kv',
      command,
      done: (outcome) => putStoreReply(answers, { id, ok: true, ...outcome }),
      failed: ({ code, message }) => putStoreReply(answers, { id, ok: false, code, message }),
    });
  }

  #drainWorkers(): void {
    for (const worker of this.#workers.values()) {
      drain(worker.port, (message) => this.#takeRequests(worker, message));
    }
  }

  /** One message for each worker, with the answers to all of its commands that a commit held. */
  #answerWorkers(): void {
    for (const worker of this.#workers.values()) sendAnswers(worker);
  }

  /**
   * A database is open afterwards: the staged one, or the present one when anything fails. When it
   * cannot be opened the thread ends, and the store with it.
   */
  #replace({ id, staged, epoch }: Extract<WriterOrder, { readonly kind: 'replace' }>): void {
    const { databasePath, durability } = this.#settings;
    this.#drainWorkers();
    this.#commit.finish();
    let result: Replaced | NotReplaced;
    let isUntouched = true;
    try {
      leaveNoLog(this.#database);
      this.#database.close();
      const carried = carryOver(databasePath, staged);
      const { kept, warnings } = exchange(databasePath, staged, (step) => {
        // Whoever opened it from here on may have begun a log of its own.
        if (step !== 'kept') isUntouched = false;
      });
      result = { kept, warnings: [...carried.warnings, ...warnings] };
    } catch (error) {
      const { code, message } = storeFailure(error, databasePath);
      result = { code, message, isUntouched };
    }
    if (!isUntouched) this.#epoch = epoch;
    if (!this.#database.isOpen) this.#database = openForWriting(databasePath, durability);
    this.#commit = this.#openCommit(this.#commit.stats);
    this.#answer({ kind: 'done', id, result });
  }

  /** Ends the thread: with the ports and the timer gone, nothing keeps it. */
  #close(id: number): void {
    clearInterval(this.#ticker);
    this.#drainWorkers();
    this.#commit.finish();
    for (const port of this.#workers.keys()) port.close();
    try {
      this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch (error) {
      // On a full disk, say. What was committed is in the log, which the next start reads.
      if (sqliteCode(error) === null) throw error;
    }
    this.#database.close();
    this.#answer({ kind: 'done', id, result: null });
    this.#main.close();
  }
}

function sendAnswers(worker: WorkerEnd): void {
  if (worker.answers.length === 0) return;
  worker.port.postMessage(worker.answers, []);
  worker.answers.length = 0;
}

/**
 * Readers that are still there read on in the file, which stays whole; a log that they had to look
 * into as well would be the next database's. Throws WardianError `conflict`.
 */
function leaveNoLog(database: DatabaseSync): void {
  const { busy } = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number };
  if (busy === 0) return;
  throw new WardianError('conflict', 'the database is being read at length: ask again');
}

/**
 * Ids, numbers and revisions that the present database has given out are not given out again.
 * Throws WardianError `store_failed` when it tells none: it serves, so it should.
 */
function carryOver(current: string, staged: string): Pick<Replaced, 'warnings'> {
  const givenOut = readGivenOut(current);
  if (givenOut.unread !== null) {
    throw new WardianError('store_failed', 'what the present database has given out cannot be read '
      + `(${givenOut.unread}), and would be given out again: stop the daemon and restore its data `
      + 'folder; nothing was changed');
  }
  const database = new DatabaseSync(staged);
  try {
    raiseTo(database, givenOut);
  } finally {
    database.close();
  }
  return givenOut;
}

function failed(id: number, { code, message }: WardianError): WriterReply {
  return { kind: 'failed', id, code, message };
}

function drain(port: MessagePort, take: (message: unknown) => void): void {
  for (let taken = 0; taken < DRAIN_MAX; taken += 1) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) return;
    take(received.message);
  }
}

if (parentPort !== null) {
  const settings = workerData as WriterSettings;
  try {
    void new Writer(parentPort, settings);
  } catch (error) {
    const { code, message } = storeFailure(error, settings.databasePath);
    parentPort.postMessage({ kind: 'unfit', code, message } satisfies WriterReply, []);
    parentPort.close();
  }
}
