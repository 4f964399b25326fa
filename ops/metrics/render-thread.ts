/**
 * The thread that renders metrics. It reads the numbers in shared memory, so that fifty thousand
 * series cost the thread that answers requests nothing but a message.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { constants, gzipSync } from 'node:zlib';

import { standBack } from '../../contract/niceness.ts';
import { Exposition } from './exposition.ts';
import type { Format, Names } from './exposition.ts';
import type { MetricMemory } from './layout.ts';
import { readProcessFiles } from './process-files.ts';

export interface RenderOrder {
  readonly id: number;
  readonly format: Format;
  readonly gzip: boolean;
  /** Null: as they were with the order before. */
  readonly names: Names | null;
}

export type RenderReply =
  | { readonly id: number; readonly text: Uint8Array<ArrayBuffer> }
  | { readonly id: number; readonly error: string };

/**
 * A tenth of what the main thread gets while all want the processor: enough for a scrape to end in
 * time on a saturated machine, little enough not to be felt by requests.
 */
const NICENESS = 10;

if (parentPort === null) throw new Error('ops/metrics/render-thread.ts is a thread entry');
const port = parentPort;
standBack(NICENESS);

const FAST = { level: constants.Z_BEST_SPEED };
const memory = workerData as MetricMemory;
const exposition = new Exposition(memory);
let lastNames: Names = { rows: [], workers: 0, info: {} };

async function answer({ id, format, gzip, names }: RenderOrder): Promise<void> {
  lastNames = names ?? lastNames;
  try {
    readProcessFiles(memory.process);
    const rendered = await exposition.render(format, lastNames);
    const text = new Uint8Array(gzip ? gzipSync(rendered, FAST) : Buffer.from(rendered));
    port.postMessage({ id, text } satisfies RenderReply, [text.buffer]);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    port.postMessage({ id, error: text } satisfies RenderReply);
  }
}

port.on('message', (order: RenderOrder) => void answer(order));
