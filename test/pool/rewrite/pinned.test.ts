/**
 * What the rewriter writes is part of a key: rewritten modules are kept under (source, rewriter
 * version, cost table version). So its bytes may change with one of the versions only, and not by a
 * change that was meant to make it faster. `PIN=1 node test/pool/rewrite/pinned.test.ts` writes the
 * hashes anew, for new sources or a new version; it refuses where a version is due.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { encode } from './program-binary.ts';
import { generate, random } from './program.ts';
import { COST_TABLE_VERSION, REWRITER_VERSION, rewrite } from '../../../pool/rewrite/index.ts';
import { ENTRY } from '../../../hostcalls/inspect.ts';

interface Pinned { source: string; rewritten: string }
interface Pins { rewriter: number; costTable: number; modules: Record<string, Pinned> }

const ROOT = new URL('../../../', import.meta.url);
const PINS = new URL('fixtures/pinned.json', import.meta.url);
const EXAMPLES = ['echo', 'gradient', 'hello-as', 'hello-c', 'hello-rust', 'hello-wat', 'notes',
  'panic', 'proxy', 'race', 'visits'];
const FILES = [...EXAMPLES.map((name) => `guests/examples/${name}/${name}.wasm`),
  'test/hostcalls/fixtures/wasi-all.wasm', 'test/hostcalls/fixtures/wasi-libc.wasm'];
const PROGRAMS = 64;
/** Not those of now: hostcalls that are added change the numbering, which is in the key as well. */
const NUMBERS = new Map([
  ['env', new Map([['hostcall_debug', 0], ['hostcall_resp_set_response_code', 3]])],
  ['wasi_snapshot_preview1', new Map([['fd_write', 200]])],
]);

const hash = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 32);

/** As the builder does it, and with everything that an option leaves out. */
function pin(source: Uint8Array): Pinned {
  const memoryBytesMax = 128 * 2 ** 20;
  const all = createHash('sha256');
  for (const options of [
    { keepExports: new Set([ENTRY]), numbers: NUMBERS }, {}, { staticTable: false },
    { fuel: false }, { virtualMemory: false },
  ]) all.update(rewrite(source, { memoryBytesMax, ...options }).bytes);
  return { source: hash(source), rewritten: all.digest('hex').slice(0, 32) };
}

function pinAll(): Record<string, Pinned> {
  const pins: Record<string, Pinned> = {};
  for (const file of FILES) pins[file] = pin(readFileSync(new URL(file, ROOT)));
  const programs = createHash('sha256');
  const rewritten = createHash('sha256');
  for (let seed = 1; seed <= PROGRAMS; seed++) {
    const found = pin(encode(generate(random(seed))));
    programs.update(found.source);
    rewritten.update(found.rewritten);
  }
  pins['programs'] = {
    source: programs.digest('hex').slice(0, 32), rewritten: rewritten.digest('hex').slice(0, 32),
  };
  return pins;
}

t.test('the same bytes as ever, or another version', async (t) => {
  const kept = JSON.parse(readFileSync(PINS, 'utf8')) as Pins;
  const found = pinAll();
  const changed = Object.keys(found).filter((name) => kept.modules[name] !== undefined
    && kept.modules[name].source === found[name]!.source
    && kept.modules[name].rewritten !== found[name]!.rewritten);
  const sameVersion = kept.rewriter === REWRITER_VERSION && kept.costTable === COST_TABLE_VERSION;
  if (sameVersion) {
    t.strictSame(changed, [], 'rewritten otherwise than before: raise REWRITER_VERSION');
  }
  if (process.env['PIN'] === '1' && t.passing()) {
    const versions = { rewriter: REWRITER_VERSION, costTable: COST_TABLE_VERSION };
    const pins: Pins = { ...versions, modules: found };
    writeFileSync(PINS, `${JSON.stringify(pins, null, 2)}\n`);
    return;
  }
  t.ok(sameVersion, 'the hashes are those of this version: PIN=1 writes them');
  t.strictSame(found, kept.modules, 'new or changed sources: PIN=1 writes their hashes');
});
