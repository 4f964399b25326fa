/**
 * Lines of a guest's source for the frames of a trap in its rewritten module: from DWARF of clang
 * in two versions, from a source map of AssemblyScript, through the builder; and from hostile debug
 * information, which must cost its deployer the lines and nobody anything else.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';

import type { BuildFile, BuildJob, SourceLine } from '../../../contract/build.ts';
import { build } from '../../../pool/builder/steps.ts';
import { guestFrames } from '../../../hostcalls/index.ts';
import { decode } from '../../../pool/rewrite/decode.ts';
import { rewrite } from '../../../pool/rewrite/index.ts';
import { OffsetTrace } from '../../../pool/rewrite/trace.ts';
import { linesOf } from '../../../pool/symbols/line-table.ts';
import { locate } from '../../../pool/symbols/locate.ts';
import { withSourceMap } from '../../../pool/symbols/source-map.ts';
import { toolsOf } from '../../daemon/deploy/parts.ts';
import { skipWithout } from '../../harness/tools.ts';
import { guest } from '../rewrite/host.ts';

t.setTimeout(240_000);

const MEMORY = 16 * 2 ** 20;
const OPTIONS = {
  memoryBytesMax: MEMORY, keepExports: new Set(['run']),
  // Functions that the rewriter puts in front of the guest's own shift its code.
  numbers: new Map([['env', new Map([['seen', 0], ['also_seen', 1]])]]),
};

const C_SOURCE = `extern int seen(int);
extern int also_seen(int);
static int depth;
__attribute__((noinline)) int inner(int value) {
  if (seen(value) > 3)
    __builtin_trap(); /* INNER */
  return value + depth;
}
__attribute__((noinline)) int outer(int value) {
  int sum = 0;
  for (int i = 0; i < 10; i++) {
    sum += seen(i);
    sum += inner(i); /* OUTER */
  }
  return sum;
}
void run(void) {
  also_seen(outer(1)); /* RUN */
}
`;

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The number of the line that holds this mark. */
const lineOf = (source: string, mark: string): number =>
  source.split('\n').findIndex((line) => line.includes(mark)) + 1;

/** Runs `run` until it traps and answers its frames' offsets in the rewritten module. */
function trapOffsets(t: Test, module: Uint8Array): number[] {
  const { call } = guest(module, {
    ...OPTIONS, imports: {
      env: {
        hostcall_resp_set_response_code: (_context, _response, value) => value,
      },
      'wardian:host': { hostcall: (_context, _number, value) => value },
    },
  });
  try {
    call('run');
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    return guestFrames(error).map((frame) => Number(frame.slice(frame.lastIndexOf('@') + 1)));
  }
  t.fail('the guest did not trap');
  return [];
}

function locateAll(module: Uint8Array, offsets: readonly number[]): (SourceLine | null)[] {
  return locate(module, hashOf(rewrite(module, OPTIONS).bytes), OPTIONS, offsets);
}

function compileC(t: Test, version: number): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'wardian-test-lines-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'guest.c'), C_SOURCE);
  const clang = (...flags: string[]): unknown =>
    execFileSync('clang', ['--target=wasm32-unknown-unknown', ...flags], {
      cwd: folder, stdio: ['ignore', 'ignore', 'inherit'],
    });
  // In two steps: told to optimise while it links, clang has wasm-opt rewrite the code where it
  // finds one, and that leaves the line table behind.
  clang('-c', '-O1', '-g', `-gdwarf-${version}`, `-ffile-prefix-map=${folder}=.`, 'guest.c');
  clang('-nostdlib', '-Wl,--no-entry', '-Wl,--export=run', '-Wl,--allow-undefined',
    '-o', 'guest.wasm', 'guest.o');
  return readFileSync(join(folder, 'guest.wasm'));
}

for (const version of [4, 5]) {
  t.test(`DWARF ${version} of clang`, { skip: skipWithout('clang') }, async (t) => {
    const module = compileC(t, version);
    const lines = locateAll(module, trapOffsets(t, module));
    t.strictSame(
      lines.map((line) => line?.line),
      ['INNER', 'OUTER', 'RUN'].map((mark) => lineOf(C_SOURCE, mark)),
    );
    for (const line of lines) t.match(line?.source, /guest\.c$/);
    const artifact = rewrite(module, OPTIONS).bytes;
    t.notOk(Buffer.from(artifact).includes('.debug_'), 'what is compiled does not carry it along');
    t.strictSame(locate(module, hashOf(module), OPTIONS, [60]), [null], 'never a guess');
  });
}

const job = (language: BuildJob['language'], files: readonly BuildFile[]): BuildJob => ({
  kind: 'build', language, files, option: null, rewrite: { memoryBytesMax: MEMORY },
  tools: toolsOf(),
});

t.test('C, through the builder', { skip: skipWithout('clang') }, async (t) => {
  const source = C_SOURCE.replace('int seen(int)', 'int hostcall_resp_set_response_code(int, int)')
    .replace('extern int also_seen(int);\n', '\n')
    .replaceAll(/\b(?:also_)?seen\(/g, 'hostcall_resp_set_response_code(0, ');
  const folder = mkdtempSync(join(tmpdir(), 'wardian-test-build-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'deep.c'), source);
  const before = process.cwd();
  process.chdir(folder);
  t.teardown(() => process.chdir(before));
  const { module } = await build(
    job('c', [{ path: 'deep.c', bytes: new TextEncoder().encode(source) }]), async () => {});
  const lines = locateAll(module, trapOffsets(t, module));
  t.match(lines[0], { source: /deep\.c$/, line: lineOf(source, 'INNER') });
  t.notOk(Buffer.from(module).includes(folder), 'no path of this machine');
});

t.test('AssemblyScript, through the builder', async (t) => {
  const source = `@external("env", "hostcall_debug")
declare function debug(text: usize, length: i32): void;
let count = 0;
function fail(value: i32): i32 {
  if (value > 3) unreachable(); // FAIL
  return value;
}
export function run(): void {
  for (let i = 0; i < 10; i++) {
    debug(0, i);
    count += fail(i + count);
  }
}
`;
  const { module } = await build(job('assemblyscript', [
    { path: 'index.ts', bytes: new TextEncoder().encode(source) },
  ]), async () => {});
  const { call } = guest(module, { ...OPTIONS, imports: { env: { hostcall_debug: () => 0 } } });
  let offsets: number[] = [];
  try {
    call('run');
    t.fail('it did not trap');
  } catch (error) {
    offsets = guestFrames(error as Error)
      .map((frame) => Number(frame.slice(frame.lastIndexOf('@') + 1)));
  }
  const [innermost] = locateAll(module, offsets);
  t.match(innermost, { source: /index\.ts$/, line: lineOf(source, 'FAIL') });
});

t.test('a map that came beside the module, and maps that are none', async (t) => {
  const module = readFileSync(new URL(
    '../../../guests/examples/hello-wat/hello-wat.wasm', import.meta.url));
  const wrong = ['', '{}', '{"version":3}', '[]', '{"version":3,"sources":["a"],"mappings":"%%%"}',
    `{"version":3,"sources":["a"],"mappings":"${'A'.repeat(10_000)}"}`];
  for (const map of wrong) {
    t.strictSame(locateAll(withSourceMap(module, map), [100]), [null], map.slice(0, 40));
  }
  const mapped = withSourceMap(module, JSON.stringify({
    version: 3, sources: ['a.wat'], names: [], mappings: 'AAAA',
  }));
  const offset = rewrite(mapped, OPTIONS).bytes.length;
  t.equal(locateAll(mapped, [offset])[0], null, 'an offset outside of all functions');
  const uploaded = await build(job('wasm', [
    { path: 'a.wasm', bytes: module },
    { path: 'a.wasm.map', bytes: new TextEncoder().encode('{"version":3}') },
  ]), async () => {});
  t.ok(uploaded.module.length > module.length, 'the map of an upload is kept with the module');
});

t.test('broken line tables say nothing and end soon', { skip: skipWithout('clang') }, async (t) => {
  const module = compileC(t, 5);
  const offsets = trapOffsets(t, module);
  const at = Buffer.from(module).indexOf('.debug_line') + '.debug_line'.length;
  let random = 12_345;
  const next = (bound: number): number => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    return random % bound;
  };
  let known = 0;
  for (let round = 0; round < 500; round += 1) {
    const broken = Uint8Array.from(module);
    for (let changes = 1 + next(4); changes > 0; changes -= 1) {
      broken[at + next(300)] = next(256);
    }
    let lines: (SourceLine | null)[] = [];
    try {
      lines = locateAll(broken, offsets);
    } catch (error) {
      // A section whose length was hit is refused as such; nothing else may come out.
      t.match(error, { name: 'WardianError' });
    }
    known += lines.filter((line) => line !== null).length;
  }
  t.comment(`${known} lines were read from 500 broken tables`);
  t.equal(linesOf({ line: new Uint8Array(0), str: null, lineStr: null }, [1]).size, 0);
});

t.test('every byte that was copied is traced to where it came from', async (t) => {
  const source = readFileSync(new URL(
    '../../../guests/examples/hello-rust/hello-rust.wasm', import.meta.url));
  const { bodies } = decode(source);
  const trace = new OffsetTrace(Array(bodies.length / 2).keys());
  const plain = rewrite(source, OPTIONS).bytes;
  t.strictSame(Buffer.from(rewrite(source, { ...OPTIONS, trace }).bytes), Buffer.from(plain),
    'tracing changes nothing');
  let traced = 0;
  for (let index = 0; index < bodies.length / 2; index++) {
    const from = bodies[2 * index]!;
    const to = bodies[2 * index + 1]!;
    let before = 0;
    for (let offset = 0; offset < to - from; offset += 1) {
      const origin = trace.sourceOf(index, offset);
      if (origin === null) continue;
      traced += 1;
      if (origin < from || origin > to || origin < before) t.fail(`function ${index}, ${offset}`);
      before = origin;
    }
  }
  t.ok(traced > 10_000, `${traced} bytes`);
});
