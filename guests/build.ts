/**
 * Rebuilds the example guests with the compilers of this machine:
 *
 *     node guests/build.ts            all of them, in place
 *     node guests/build.ts hello-c    those named
 *     node guests/build.ts --check    into a temporary folder, compared with what is committed
 *
 * Exits with 1 when a build fails, and in CI also when a compiler is missing.
 */

import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { buildAssemblyScript } from './build/assemblyscript.ts';
import { buildC } from './build/c.ts';
import { BuildFailed, CACHE, EXAMPLES, GUESTS, MissingTool, wasmPath } from './build/example.ts';
import type { Builder, Example } from './build/example.ts';
import { buildRust } from './build/rust.ts';
import { buildWat } from './build/wat.ts';

const BUILDERS: Readonly<
  Record<Builder, (examples: readonly Example[], out: string) => Promise<void>>
> = {
  cargo: (examples, out) => buildRust(examples, out, CACHE),
  clang: buildC,
  'clang-wasi': buildC,
  asc: buildAssemblyScript,
  wabt: buildWat,
};

export type Outcome =
  | { readonly kind: 'built'; readonly module: Buffer }
  | { readonly kind: 'missing'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

/** Paths that must not be in a module: they would tell where, and as whom, it was built. */
const PRIVATE_PATHS = [GUESTS, tmpdir(), homedir()].filter((path) => path.length > 1);

function inspect(module: Buffer): Outcome {
  const leak = PRIVATE_PATHS.find((path) => module.includes(`${path}/`));
  if (leak !== undefined) return { kind: 'failed', reason: `the module names ${leak}` };
  return { kind: 'built', module };
}

/** Builds into `out`, one file `<name>.wasm` for each example, and says what became of each. */
export async function buildExamples(
  examples: readonly Example[],
  out: string,
): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  for (const [builder, build] of Object.entries(BUILDERS)) {
    const batch = examples.filter((example) => example.builder === builder);
    if (batch.length === 0) continue;
    let failure: Outcome | null = null;
    try {
      await build(batch, out);
    } catch (error) {
      if (error instanceof MissingTool) failure = { kind: 'missing', reason: error.message };
      else if (error instanceof BuildFailed) failure = { kind: 'failed', reason: error.message };
      else throw error;
    }
    for (const { name } of batch) {
      outcomes.set(name, failure ?? inspect(readFileSync(join(out, `${name}.wasm`))));
    }
  }
  return outcomes;
}

function report(example: Example, outcome: Outcome, check: boolean): string {
  if (outcome.kind !== 'built') return `${outcome.kind}: ${outcome.reason}`;
  const size = `${outcome.module.length} bytes`;
  if (!check) return size;
  const committed = readFileSync(wasmPath(example));
  return outcome.module.equals(committed)
    ? `${size}, as committed`
    : `${size}, differs from the committed ${committed.length}`;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { check: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const unknown = positionals.filter((name) => !EXAMPLES.some((example) => example.name === name));
  if (unknown.length > 0) {
    process.stderr.write(`there is no example ${unknown.join(', ')}\n`);
    return 2;
  }
  const chosen = EXAMPLES.filter(
    ({ name }) => positionals.length === 0 || positionals.includes(name),
  );
  const out = mkdtempSync(join(tmpdir(), 'wardian-guests-'));
  try {
    const outcomes = await buildExamples(chosen, out);
    let bad = false;
    for (const example of chosen) {
      const outcome = outcomes.get(example.name) ?? { kind: 'failed', reason: 'not attempted' };
      process.stdout.write(`${example.name}: ${report(example, outcome, values.check)}\n`);
      if (outcome.kind === 'built' && !values.check) {
        copyFileSync(join(out, `${example.name}.wasm`), wasmPath(example));
      }
      bad ||= outcome.kind === 'failed';
      bad ||= outcome.kind === 'missing' && process.env['CI'] === 'true';
    }
    return bad ? 1 : 0;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

if (import.meta.main) process.exitCode = await main();
