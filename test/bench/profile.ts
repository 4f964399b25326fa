/**
 * Where the microseconds of a request go: starts the daemon with `--cpu-prof` under load and folds
 * the profiles of the main thread and of a worker by file and by function. Samples say how a
 * thread's time is shared out; the system says how much of the processor it took.
 *
 * usage: node test/bench/profile.ts [--json] [--seconds 10] [--connections 64] [--functions 25]
 *        [--keep folder]
 *
 * Time in native code is under the name of its JavaScript function (`Instance`, `postMessage`).
 */

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { startDaemon } from '../harness/daemon.ts';
import { measure } from './load.ts';
import { servingPid, threadTimes, type ThreadTimes } from './processor.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '64' },
    functions: { type: 'string', default: '25' },
    keep: { type: 'string', default: '' },
  },
});
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const guest = readFileSync(join(ROOT, 'guests/examples/hello-rust/hello-rust.wasm'));
const host = 'hello.localhost';
const connections = Number(values.connections);
const INTERVAL_US = 250;
const WARM_UP_S = 5;
/** Not worth a line. */
const LEAST_US = 0.05;

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Both clocks are the system's monotonic one. */
const nowUs = (): number => Number(process.hrtime.bigint() / 1_000n);

interface Measured {
  readonly fromUs: number;
  readonly toUs: number;
  readonly requests: number;
  /** Microseconds of processor time for a request. */
  readonly each: ThreadTimes;
}

async function record(folder: string): Promise<Measured> {
  const daemon = await startDaemon({
    flags: ['--access-log', 'false', '--threads', '1'], keepLog: false,
    nodeFlags: ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${INTERVAL_US}`],
  });
  try {
    await daemon.deploy('hello', guest);
    const load = { port: daemon.port, host, connections };
    await measure({ ...load, seconds: WARM_UP_S });
    const pid = servingPid(daemon);
    const seconds = Number(values.seconds);
    const before = threadTimes(pid);
    const fromUs = nowUs();
    const { requestsPerSecond, errors } = await measure({ ...load, seconds });
    const toUs = nowUs();
    const after = threadTimes(pid);
    if (errors > 0) throw new Error(`${errors} requests failed`);
    const requests = requestsPerSecond * seconds;
    const each = (kind: keyof ThreadTimes): number =>
      (after[kind] - before[kind]) * 1_000 / requests;
    const times = { main: each('main'), worker: each('worker'), v8: each('v8') };
    return { fromUs, toUs, requests, each: times };
  } finally {
    await daemon.stop();
  }
}

/** Where a function is, as far as it has a place. */
function fileOf(url: string, functionName: string): string {
  if (url.startsWith('wasm://')) return 'the guest';
  if (url.startsWith('node:')) return url;
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)';
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
}

interface Folded {
  readonly files: Map<string, number>;
  readonly functions: Map<string, number>;
  /** Microseconds in which the thread had something to do. */
  busy: number;
}

/** Time by file and by function, of the samples within the measurement, idle ones left out. */
function fold(profile: Profile, { fromUs, toUs }: Measured): Folded {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const folded: Folded = { files: new Map(), functions: new Map(), busy: 0 };
  const add = (map: Map<string, number>, key: string, us: number): void => {
    map.set(key, (map.get(key) ?? 0) + us);
  };
  let at = profile.startTime;
  for (const [index, id] of profile.samples.entries()) {
    const delta = profile.timeDeltas[index] ?? 0;
    at += delta;
    const frame = frames.get(id);
    if (frame === undefined || at < fromUs || at > toUs) continue;
    if (frame.functionName === '(idle)') continue;
    const file = fileOf(frame.url, frame.functionName);
    add(folded.files, file, delta);
    add(folded.functions, `${file} ${frame.functionName || '(anonymous)'}`, delta);
    folded.busy += delta;
  }
  return folded;
}

/** The profile in which a file of ours has the most time. */
function profileOf(profiles: readonly Folded[], file: string): Folded {
  const own = profiles.toSorted((a, b) => (b.files.get(file) ?? 0) - (a.files.get(file) ?? 0))[0];
  if (own === undefined || !own.files.has(file)) throw new Error(`no profile holds ${file}`);
  return own;
}

/** Shares of the thread's processor time for a request, largest first. */
function shares(map: ReadonlyMap<string, number>, busy: number, us: number): [string, number][] {
  return [...map].map(([name, time]): [string, number] => [name, time / busy * us])
    .filter(([, time]) => time >= LEAST_US)
    .toSorted((a, b) => b[1] - a[1]);
}

function print(title: string, rows: readonly (readonly [string, number])[]): void {
  console.log(`\n| ${title} | µs |\n|---|---|`);
  for (const [name, time] of rows) console.log(`| ${name} | ${time.toFixed(2)} |`);
}

const folder = values.keep === '' ? mkdtempSync(join(tmpdir(), 'wardian-profile-')) : values.keep;
const measured = await record(folder);
const profiles = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))
  .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile)
  .map((profile) => fold(profile, measured));
if (values.keep === '') rmSync(folder, { recursive: true });
const threads = [
  ['main thread', profileOf(profiles, 'daemon/exchange.ts'), measured.each.main],
  ['worker', profileOf(profiles, 'pool/worker.ts'), measured.each.worker],
] as const;
if (values.json) {
  console.log(JSON.stringify({
    requests: Math.round(measured.requests), us: measured.each,
    ...Object.fromEntries(threads.map(([name, { files, functions, busy }, us]) => [name, {
      files: Object.fromEntries(shares(files, busy, us)),
      functions: Object.fromEntries(shares(functions, busy, us)),
    }])),
  }));
} else {
  const { main, worker, v8 } = measured.each;
  console.log(`${Math.round(measured.requests)} requests; µs of processor time for each: `
    + `main thread ${main.toFixed(1)}, worker ${worker.toFixed(1)}, V8's helpers ${v8.toFixed(1)}`);
  for (const [name, { files, functions, busy }, us] of threads) {
    print(`${name}, ${us.toFixed(1)} µs, by file`, shares(files, busy, us));
    print(`${name}, by function`, shares(functions, busy, us).slice(0, Number(values.functions)));
  }
}
