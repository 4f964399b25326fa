/**
 * Lines that guests logged, on their way to the main thread: one message for all lines of a turn
 * of the event loop, and a bound on its size. What is over it is dropped and counted.
 */

import type { MessagePort } from 'node:worker_threads';
import { LOG_BATCH_BYTES_MAX } from '../contract/limits.ts';
import type { GuestLogLine, WorkerNotice } from '../contract/messages.ts';
import type { Heartbeat } from './heartbeat.ts';

/** What a line takes besides its text. */
const LINE_OVERHEAD_BYTES = 128;

export class LogBatch {
  readonly #port: MessagePort;
  readonly #heartbeat: Heartbeat;
  #lines: GuestLogLine[] = [];
  #bytes = 0;

  constructor(port: MessagePort, heartbeat: Heartbeat) {
    this.#port = port;
    this.#heartbeat = heartbeat;
  }

  add(line: GuestLogLine): void {
    const bytes = line.text.length + LINE_OVERHEAD_BYTES;
    if (this.#bytes + bytes > LOG_BATCH_BYTES_MAX) {
      this.#heartbeat.add('logLinesDropped', 1);
      return;
    }
    if (this.#lines.length === 0) setImmediate(this.#send);
    this.#lines.push(line);
    this.#bytes += bytes;
  }

  readonly #send = (): void => {
    const notice: WorkerNotice = { kind: 'logs', lines: this.#lines };
    this.#lines = [];
    this.#bytes = 0;
    this.#port.postMessage(notice);
  };
}
