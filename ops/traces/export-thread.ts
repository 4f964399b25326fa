/**
 * The thread that exports traces. The libraries of OpenTelemetry are loaded here and nowhere else:
 * a daemon that exports nothing has none of them in memory.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';

import { standBack } from '../../contract/niceness.ts';
import { SpanMaker } from './spans.ts';
import type { ExportOrder, ExportReply, ExportSettings } from './traced.ts';

/** As the thread that renders metrics: a tenth of what the main thread gets. */
const NICENESS = 10;
const EXPORT_MS = 10_000;
/** Batches on their way; more wait in the main thread's count. */
const EXPORTS_CONCURRENT_MAX = 8;

if (parentPort === null) throw new Error('ops/traces/export-thread.ts is a thread entry');
const port = parentPort;
standBack(NICENESS);

const { url, headers, resource } = workerData as ExportSettings;
const maker = new SpanMaker(resource);
const exporter = new OTLPTraceExporter({
  url, headers: { ...headers }, timeoutMillis: EXPORT_MS, concurrencyLimit: EXPORTS_CONCURRENT_MAX,
});

port.on('message', ({ id, traces }: ExportOrder) => {
  exporter.export(traces.flatMap((trace) => maker.spansOf(trace)), ({ code, error }) => {
    const failure = code === 0 ? null : (error?.message ?? 'it was not taken');
    port.postMessage({ id, error: failure } satisfies ExportReply);
  });
});
