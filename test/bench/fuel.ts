/**
 * What metering costs: real guests in C, Rust and AssemblyScript, each metered and unmetered,
 * alternating in one run, medians and their geometric mean; and how fast the rewriter is. Each
 * guest is measured in several fresh processes, since what V8 inlines differs from process to
 * process. Recursion, which is nothing but calls, is shown as the worst case and is not part of the
 * mean. Ends with 1 when metering costs more than it may.
 *
 * usage: node [--liftoff-only] test/bench/fuel.ts [--json] [--samples 15] [--warm 1000]
 * [--processes 3] [--only sha256,json]
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as reserved from '../../contract/reserved.ts';
import { rewrite, type RewriteResult } from '../../pool/rewrite/index.ts';
import { setV8Flags } from '../../pool/v8-flags.ts';
import { buildGuests, type BenchGuest } from './fuel-guests.ts';
import { median } from './load.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    samples: { type: 'string', default: '15' },
    warm: { type: 'string', default: '1000' },
    processes: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    /** Used by the bench itself: measure this guest and print the result. */
    child: { type: 'string', default: '' },
  },
});

const MEMORY_BYTES = 256 * 2 ** 20;
const FUEL = 1n << 60n;
/** Synthetic guests: measured and printed, outside the mean. */
const SYNTHETIC = new Set(['recursion']);
/** What metering may cost at most, on the whole and for one guest. */
const MEAN_MAX = 1.15;
const WORST_MAX = 1.6;

type Exports = Record<string, unknown>;
type Run = (rounds: number) => number;

/** WASI calls answer 0; anything else that a guest imports is its way to abort. */
function imports(module: WebAssembly.Module): Record<string, Record<string, unknown>> {
  const all: Record<string, Record<string, unknown>> = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== 'function') continue;
    (all[from] ??= {})[name] = from.startsWith('wasi') ? () => 0 : () => {
      throw new Error(`${from}.${name} was called`);
    };
  }
  return all;
}

function instantiate(bytes: Uint8Array<ArrayBuffer>, result: RewriteResult | null): Exports {
  const module = new WebAssembly.Module(bytes);
  const given = imports(module);
  if (result?.memory) {
    const { initialPages: initial, maximumPages: maximum } = result.memory;
    given[reserved.HOST_MODULE] = {
      [reserved.MEMORY_IMPORT]: new WebAssembly.Memory({ initial, maximum }),
    };
  }
  const { exports } = new WebAssembly.Instance(module, given as WebAssembly.Imports);
  if (result !== null) fuelOf(exports).value = FUEL;
  for (const first of [reserved.START_EXPORT, '_initialize']) {
    const start = exports[first];
    if (typeof start === 'function') start();
  }
  return exports;
}

const fuelOf = (exports: Exports): WebAssembly.Global =>
  exports[reserved.FUEL_EXPORT] as WebAssembly.Global;

interface Measured {
  name: string;
  language: string;
  unmeteredMs: number;
  meteredMs: number;
  ratio: number;
  /** Fuel units for a microsecond of the unmetered guest. */
  unitsPerUs: number;
  growth: number;
}

function timed(run: Run, rounds: number): { ms: number; sum: number } {
  const start = performance.now();
  const sum = run(rounds);
  return { ms: performance.now() - start, sum };
}

/** Under the daemon's flags, and with the exports that are called, as the builder leaves them. */
function measure(guest: BenchGuest): Measured {
  setV8Flags();
  const result = rewrite(guest.bytes, {
    memoryBytesMax: MEMORY_BYTES, keepExports: new Set([guest.run, '_initialize']),
  });
  const metered = instantiate(result.bytes as Uint8Array<ArrayBuffer>, result);
  const unmetered = instantiate(guest.bytes, null);
  const [with_, without] = [metered[guest.run] as Run, unmetered[guest.run] as Run];
  for (const start = performance.now(); performance.now() - start < Number(values.warm);) {
    with_(guest.rounds);
    without(guest.rounds);
  }
  const times: { with: number[]; without: number[] } = { with: [], without: [] };
  for (let i = 0; i < Number(values.samples); i++) {
    const one = timed(i % 2 === 0 ? without : with_, guest.rounds);
    const other = timed(i % 2 === 0 ? with_ : without, guest.rounds);
    if (one.sum !== other.sum) throw new Error(`${guest.name}: metering changed the result`);
    times.without.push(i % 2 === 0 ? one.ms : other.ms);
    times.with.push(i % 2 === 0 ? other.ms : one.ms);
  }
  const fuel = fuelOf(metered);
  fuel.value = FUEL;
  with_(guest.rounds);
  const used = Number(FUEL - (fuel.value as bigint));
  const unmeteredMs = median(times.without);
  const meteredMs = median(times.with);
  return {
    name: guest.name, language: guest.language, unmeteredMs, meteredMs,
    ratio: meteredMs / unmeteredMs, unitsPerUs: used / (unmeteredMs * 1000),
    growth: result.bytes.length / guest.bytes.length,
  };
}

/** Megabytes of source a second: the first time in this process, and the median. */
function rewriteSpeed(guests: readonly BenchGuest[]): { first: number; median: number } {
  const modules = [...new Set(guests.map(({ bytes }) => bytes))];
  const total = modules.reduce((sum, { length }) => sum + length, 0) / 1e6;
  const speeds = Array.from({ length: 15 }, () => {
    const start = performance.now();
    for (const bytes of modules) rewrite(bytes, { memoryBytesMax: MEMORY_BYTES });
    return total / ((performance.now() - start) / 1000);
  });
  return { first: speeds[0]!, median: median(speeds) };
}

/** The median process of several, by its ratio. */
function measureApart(guest: BenchGuest): Measured {
  const own = fileURLToPath(import.meta.url);
  const runs = Array.from({ length: Number(values.processes) }, () => JSON.parse(execFileSync(
    process.execPath, [...process.execArgv, own, '--child', guest.name, '--samples', values.samples,
      '--warm', values.warm], { encoding: 'utf8' },
  )) as Measured);
  const ratios = runs.map(({ ratio }) => ratio).sort((a, b) => a - b);
  return runs.find(({ ratio }) => ratio === ratios[Math.floor(ratios.length / 2)])!;
}

function print(measured: readonly Measured[]): void {
  for (const { name, language, unmeteredMs, meteredMs, ratio, unitsPerUs, growth } of measured) {
    console.log(`${name.padEnd(12)} ${language.padEnd(15)} ${unmeteredMs.toFixed(2).padStart(8)} ms`
      + ` ${meteredMs.toFixed(2).padStart(8)} ms  ${ratio.toFixed(3)}`
      + `  ${unitsPerUs.toFixed(0).padStart(6)} units/µs  size ${growth.toFixed(2)}`);
  }
}

function main(): void {
  const { guests, missing } = buildGuests(values.child === '');
  if (values.child !== '') {
    console.log(JSON.stringify(measure(guests.find(({ name }) => name === values.child)!)));
    return;
  }
  for (const reason of missing) console.error(`not built: ${reason}`);
  const speed = rewriteSpeed(guests);
  const only = values.only.split(',').filter((name) => name !== '');
  const chosen = guests.filter(({ name }) => only.length === 0 || only.includes(name));
  const measured = chosen.map(measureApart);
  const real = measured.filter(({ name }) => !SYNTHETIC.has(name));
  const mean = Math.exp(real.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / real.length);
  const worst = Math.max(...real.map(({ ratio }) => ratio));
  if (mean > MEAN_MAX || worst > WORST_MAX) process.exitCode = 1;
  if (values.json) {
    console.log(JSON.stringify({
      ratio: { metered_mean: mean, metered_worst: worst }, rewrite_mb_per_s: speed, measured,
    }));
    return;
  }
  print(measured);
  console.log(`${real.length} guests: geometric mean ${mean.toFixed(3)}, `
    + `worst ${worst.toFixed(3)}`);
  console.log(`rewriting: ${speed.first.toFixed(0)} MB/s the first time, `
    + `${speed.median.toFixed(0)} MB/s after`);
}

main();
