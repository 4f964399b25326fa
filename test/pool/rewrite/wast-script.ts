/**
 * The official test suite as data: finds the scripts, converts them to JSON and modules with
 * whichever converter is installed, and says what a value or an outcome is.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Value {
  type: string;
  value?: string | string[];
  values?: Value[];
  lane_type?: string;
}

export interface Action {
  type: 'invoke' | 'get';
  module?: string;
  field: string;
  args?: Value[];
}

export interface Command {
  type: string;
  line: number;
  filename?: string;
  binary_filename?: string;
  module_type?: string;
  name?: string;
  as?: string;
  instance?: string;
  module?: string;
  text?: string;
  action?: Action;
  expected?: Value[];
}

export interface Script {
  name: string;
  commands: Command[];
  bytes: (command: Command) => Uint8Array;
}

const SUITE = fileURLToPath(new URL('../../../../shared/spec-tests', import.meta.url));

function works(command: string, ...arguments_: string[]): boolean {
  try {
    execFileSync(command, arguments_, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

type Converter = (script: string, folder: string, json: string) => void;

/** `wasm-tools` converts every script, `wast2json` of wabt 1.0.32 those without newer syntax. */
function findConverter(): { name: string; convert: Converter } | null {
  const tools = process.env['WASM_TOOLS'] ?? 'wasm-tools';
  if (works(tools, 'json-from-wast', '--help')) {
    return {
      name: 'wasm-tools',
      convert: (script, folder, json) => void execFileSync(tools,
        ['json-from-wast', script, '-o', json, '--wasm-dir', folder], { stdio: 'pipe' }),
    };
  }
  const wabt = ['/usr/bin/wast2json', 'wast2json'].find((path) => works(path, '--version'));
  if (wabt === undefined) return null;
  return {
    name: 'wast2json',
    convert: (script, folder, json) => void execFileSync(wabt,
      ['--enable-all', script, '-o', json], { stdio: 'pipe', cwd: folder }),
  };
}

export interface Suite {
  converter: string;
  scripts: Script[];
  unconverted: { name: string; reason: string }[];
  remove: () => void;
}

/** The suite, or the reason why it cannot be run here. */
export function loadSuite(): Suite | string {
  if (!existsSync(SUITE)) return 'the scripts of the official suite are not next to the repository';
  const converter = findConverter();
  if (converter === null) return 'neither wasm-tools nor wast2json is installed';
  const root = mkdtempSync(join(tmpdir(), 'wardian-spec-'));
  const suite: Suite = {
    converter: converter.name, scripts: [], unconverted: [],
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
  for (const file of readdirSync(SUITE).filter((name) => name.endsWith('.wast')).sort()) {
    const name = basename(file, '.wast');
    const folder = join(root, name);
    mkdirSync(folder);
    const json = join(folder, `${name}.json`);
    try {
      converter.convert(join(SUITE, file), folder, json);
    } catch (error) {
      const output = String((error as { stderr?: unknown }).stderr ?? error);
      const reason = output.split('\n').find((line) => line.includes('error')) ?? output;
      suite.unconverted.push({ name, reason: reason.replace(/^.*?error:?\s*/, '').slice(0, 90) });
      continue;
    }
    const { commands } = JSON.parse(readFileSync(json, 'utf8')) as { commands: Command[] };
    suite.scripts.push({
      name, commands,
      bytes: (command) => readFileSync(join(folder, command.binary_filename ?? command.filename!)),
    });
  }
  return suite;
}

const scratch = new DataView(new ArrayBuffer(8));

/** The JavaScript value for an argument of the script. */
export function argument({ type, value }: Value): unknown {
  const text = value as string;
  if (type === 'i32') return Number(text) | 0;
  if (type === 'i64') return BigInt.asIntN(64, BigInt(text));
  if (type === 'f32') {
    scratch.setUint32(0, Number(text));
    return scratch.getFloat32(0);
  }
  if (type === 'f64') {
    scratch.setBigUint64(0, BigInt(text));
    return scratch.getFloat64(0);
  }
  if (value === 'null' || value === undefined) return null;
  return Number(text);
}

/** A value as text, so that results can be compared and shown. */
export function show(value: unknown): string {
  if (value === undefined) return '';
  if (Array.isArray(value)) return value.map(show).join(', ');
  if (typeof value === 'function') return 'function';
  if (typeof value === 'bigint') return `${value}n`;
  if (Object.is(value, -0)) return '-0';
  return value === null || typeof value !== 'object' ? String(value) : 'object';
}

function matchesOne(expected: Value, found: unknown): boolean {
  const { type, value } = expected;
  if (type === 'either') return expected.values!.some((option) => matchesOne(option, found));
  if (typeof value === 'string' && value.startsWith('nan:')) return Number.isNaN(found);
  if (type === 'v128') return found === vectorBits(expected);
  if (type === 'f32' || type === 'f64') return Object.is(found, argument(expected));
  if (type === 'i32' || type === 'i64') return found === argument(expected);
  if (value === 'null' || type.startsWith('null') || type === 'refnull') return found === null;
  if (value === undefined) return found !== null;
  return found === Number(value);
}

export function matches(expected: readonly Value[], found: unknown): boolean {
  const all = expected.length === 0 ? [] : expected.length === 1 ? [found] : found as unknown[];
  if (expected.length === 0) return found === undefined;
  if (!Array.isArray(all) || all.length !== expected.length) return false;
  return expected.every((value, i) => matchesOne(value, all[i]));
}

const LANE_BYTES: Readonly<Record<string, number>> = {
  i8: 1, i16: 2, i32: 4, i64: 8, f32: 4, f64: 8,
};

/** A vector as 16 bytes; lanes that may be any NaN are written as the canonical one. */
export function vectorBytes({ lane_type: lane, value }: Value): Uint8Array {
  const bytes = new Uint8Array(16);
  const size = LANE_BYTES[lane!]!;
  (value as string[]).forEach((text, i) => {
    let bits = 0n;
    if (text.startsWith('nan:')) bits = size === 4 ? 0x7fc00000n : 0x7ff8000000000000n;
    else bits = BigInt.asUintN(64, BigInt(text));
    for (let byte = 0; byte < size; byte++) {
      bytes[i * size + byte] = Number((bits >> BigInt(8 * byte)) & 0xffn);
    }
  });
  return bytes;
}

export function vectorBits(value: Value): string {
  return `v128:${Buffer.from(vectorBytes(value)).toString('hex')}`;
}
