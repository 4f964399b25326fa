/**
 * What watching costs: requests per second of one daemon with metrics and access log, and of one
 * with both off, alternating in one run; and the p99 of requests while fifty thousand series are
 * scraped, next to the p99 without. Exits with 1 when watching costs more than it may: below 0.93
 * of the throughput, or above 1.10 times the p99.
 *
 * With `--otlp on` the one exports traces too, a tenth of them to a collector that throws them
 * away, or as many as `--sample` says; the other watches without. Scrapes are not measured then.
 *
 * usage: node test/bench/observe.ts [--json] [--rounds 7] [--seconds 4] [--connections 64]
 * [--engine auto] [--otlp off|on] [--sample 0.1]
 */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';

import { startDaemon } from '../harness/daemon.ts';
import type { Daemon, HttpAnswer } from '../harness/daemon.ts';
import { measure, median } from './load.ts';
import type { LoadResult } from './load.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '64' },
    engine: { type: 'string', default: 'auto' },
    apps: { type: 'string', default: '950' },
    otlp: { type: 'string', default: 'off' },
    sample: { type: 'string', default: '0.1' },
  },
});

const HOST = 'hello.localhost';
const SERIES_LEAST = 50_000;
/** What watching may cost. */
const RATIO_LEAST = 0.93;
const P99_RATIO_MOST = 1.1;
const guest = readFileSync(
  new URL('../../guests/examples/hello-rust/hello-rust.wasm', import.meta.url),
);
const load = { connections: Number(values.connections), seconds: Number(values.seconds) };
const rounds = Number(values.rounds);

/** The log is read and thrown away: parsing it here would be counted as the daemon's cost. */
async function start(flags: readonly string[]): Promise<Daemon> {
  const common = ['--engine', values.engine, '--durability', 'process'];
  const daemon = await startDaemon({ flags: [...common, ...flags] });
  daemon.child.stdout?.removeAllListeners('data').resume();
  return daemon;
}

/** Processor time of the daemon so far: what other work on the machine does not change. */
async function processorSeconds(daemon: Daemon): Promise<number> {
  const { text } = await daemon.admin('GET', '/metrics');
  return Number(/^process_cpu_seconds_total (\S+)$/m.exec(text)?.[1]);
}

interface Measured extends LoadResult {
  readonly cpuUsPerRequest: number;
}

async function runCounted(daemon: Daemon): Promise<Measured> {
  const before = await processorSeconds(daemon);
  const result = await run(daemon);
  const used = (await processorSeconds(daemon)) - before;
  const requests = result.requestsPerSecond * load.seconds;
  return { ...result, cpuUsPerRequest: (used * 1e6) / requests };
}

const run = (daemon: Daemon, seconds = load.seconds): Promise<LoadResult> =>
  measure({ port: daemon.port, host: HOST, connections: load.connections, seconds });

/** Takes whatever is sent, and says that it did. */
async function openSink(): Promise<{ readonly url: string; close(): void }> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.end());
  });
  server.listen(0, '127.0.0.1');
  await new Promise((done) => { server.once('listening', done); });
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

const WATCHING = ['--metrics', 'true', '--access-log', 'true'];
const NOT_WATCHING = ['--metrics', 'false', '--access-log', 'false'];

/** Ratios of neighbours in time: what else the machine does falls on both. */
async function measureCost() {
  const sink = await openSink();
  const exporting = ['--otlp-endpoint', sink.url, '--trace-sample', values.sample];
  const on = await start(values.otlp === 'on' ? [...WATCHING, ...exporting] : WATCHING);
  const off = await start(values.otlp === 'on' ? WATCHING : NOT_WATCHING);
  try {
    for (const daemon of [on, off]) {
      await daemon.deploy('hello', guest);
      await run(daemon, 2);
    }
    const results: { on: Measured; off: Measured }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      // Who goes first changes each round, so that neither has the cooler machine.
      const first = await runCounted(round % 2 === 0 ? on : off);
      const second = await runCounted(round % 2 === 0 ? off : on);
      results.push(round % 2 === 0 ? { on: first, off: second } : { on: second, off: first });
    }
    return results;
  } finally {
    await on.stop();
    await off.stop();
    sink.close();
  }
}

async function deployMany(daemon: Daemon): Promise<void> {
  const count = Number(values.apps);
  for (let first = 0; first < count; first += 20) {
    await Promise.all(Array.from({ length: Math.min(20, count - first) }, async (_, index) => {
      const app = `app-${first + index}`;
      await daemon.deploy(app, guest);
      await daemon.ask(`${app}.localhost`);
    }));
  }
}

/** As Prometheus asks. */
const scrape = (daemon: Daemon): Promise<HttpAnswer> =>
  daemon.admin('GET', '/metrics', { headers: { 'accept-encoding': 'gzip' } });

const QUIET_SCRAPES = 10;

/** Milliseconds for which one scrape keeps the thread busy that answers requests. */
async function mainBusyMs(daemon: Daemon): Promise<number> {
  const busy = async (): Promise<number> => {
    const text = gunzipSync((await scrape(daemon)).body).toString();
    return Number(/^wardian_main_busy_seconds_total (\S+)$/m.exec(text)?.[1]) * 1_000;
  };
  const before = await busy();
  for (let count = 1; count < QUIET_SCRAPES; count += 1) await busy();
  return ((await busy()) - before) / QUIET_SCRAPES;
}

const seriesIn = (text: string): number =>
  text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;

/** A scrape every `seconds`, as a Prometheus would, from the moment the load begins. */
async function measureScrapes() {
  const daemon = await start(['--metrics-apps', values.apps]);
  try {
    await deployMany(daemon);
    await daemon.deploy('hello', guest);
    await run(daemon, 2);
    const { text, body } = await daemon.admin('GET', '/metrics');
    const series = seriesIn(text);
    const busyMs = await mainBusyMs(daemon);
    const p99: { without: number; during: number; renderMs: number }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const without = await run(daemon);
      const during = run(daemon);
      await new Promise((done) => { setTimeout(done, (load.seconds * 1_000) / 2); });
      const since = performance.now();
      await scrape(daemon);
      const renderMs = performance.now() - since;
      p99.push({ without: without.p99Ms, during: (await during).p99Ms, renderMs });
    }
    return { series, bytes: body.length, busyMs, p99 };
  } finally {
    await daemon.stop();
  }
}

const cost = await measureCost();
const scrapes = values.otlp === 'on' ? null : await measureScrapes();
const result = {
  ratio: median(cost.map(({ on, off }) => on.requestsPerSecond / off.requestsPerSecond)),
  requests_per_second: {
    on: median(cost.map(({ on }) => on.requestsPerSecond)),
    off: median(cost.map(({ off }) => off.requestsPerSecond)),
  },
  cpu_us_per_request: {
    on: median(cost.map(({ on }) => on.cpuUsPerRequest)),
    off: median(cost.map(({ off }) => off.cpuUsPerRequest)),
  },
  cpu_ratio: median(cost.map(({ on, off }) => off.cpuUsPerRequest / on.cpuUsPerRequest)),
  p99_ms: {
    on: median(cost.map(({ on }) => on.p99Ms)), off: median(cost.map(({ off }) => off.p99Ms)),
  },
  errors: cost.reduce((sum, { on, off }) => sum + on.errors + off.errors, 0),
  scrape: scrapes === null ? null : {
    series: scrapes.series,
    bytes: scrapes.bytes,
    main_busy_ms: scrapes.busyMs,
    render_ms: median(scrapes.p99.map(({ renderMs }) => renderMs)),
    p99_without_ms: median(scrapes.p99.map(({ without }) => without)),
    p99_during_ms: median(scrapes.p99.map(({ during }) => during)),
    p99_ratio: median(scrapes.p99.map(({ during, without }) => during / without)),
  },
};
if (scrapes !== null && scrapes.series < SERIES_LEAST) {
  throw new Error(`observe: only ${scrapes.series} series; ask for more with --apps`);
}
if (values.json) console.log(JSON.stringify(result));
else {
  console.log(`${load.connections} connections, ${rounds} rounds of ${load.seconds} s, medians`);
  const [one, other] = values.otlp === 'on'
    ? ['watched, traces exported', 'watched alone'] : ['metrics and access log on', 'both off'];
  console.log(`${one.padEnd(26)} ${result.requests_per_second.on.toFixed(0)} req/s`);
  console.log(`${other.padEnd(26)} ${result.requests_per_second.off.toFixed(0)} req/s`);
  console.log(`on / off                   ${result.ratio.toFixed(3)}`);
  const { on, off } = result.cpu_us_per_request;
  console.log(`processor time per request ${on.toFixed(1)} us on, ${off.toFixed(1)} us off`);
  const scraped = result.scrape;
  if (scraped !== null) {
    console.log(`a scrape of ${scraped.series} series takes ${scraped.render_ms.toFixed(0)} ms, ` +
      `${scraped.main_busy_ms.toFixed(1)} ms of them on the main thread; ` +
      `p99 ${scraped.p99_without_ms.toFixed(2)} ms without, ` +
      `${scraped.p99_during_ms.toFixed(2)} ms with one (${scraped.p99_ratio.toFixed(2)})`);
  }
}
const p99Ratio = result.scrape?.p99_ratio ?? 1;
const verdicts = [
  // No bound is set on exporting: its share is the operator's choice.
  [values.otlp === 'on' || result.ratio >= RATIO_LEAST,
    `on / off is ${result.ratio.toFixed(3)}, at least ${RATIO_LEAST}`],
  [p99Ratio <= P99_RATIO_MOST,
    `p99 with a scrape is ${p99Ratio.toFixed(2)} times that without, at most ${P99_RATIO_MOST}`],
  [result.errors === 0, `${result.errors} errors`],
] as const;
for (const [holds, what] of verdicts) {
  if (holds) continue;
  console.error(`observe: ${what}`);
  process.exitCode = 1;
}
