/** The list of example guests, and what building one can come to. */

import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The `guests` folder, without a slash at the end. */
export const GUESTS = dirname(import.meta.dirname);

/** Build products that later builds can use again. */
export const CACHE = join(dirname(GUESTS), 'node_modules', '.cache', 'wardian-guests');

export type Builder = 'cargo' | 'clang' | 'clang-wasi' | 'asc' | 'wabt';

export interface Example {
  /** The DNS label under which it is deployed. */
  readonly name: string;
  readonly language: 'rust' | 'c' | 'assemblyscript' | 'wat';
  readonly description: string;
  /** Relative to the folder of examples.json. */
  readonly wasm: string;
  readonly builder: Builder;
}

const LIST = new URL('../examples/examples.json', import.meta.url);

export const EXAMPLES = JSON.parse(readFileSync(LIST, 'utf8')) as readonly Example[];

export const wasmPath = (example: Example): string =>
  join(dirname(fileURLToPath(LIST)), example.wasm);

/** The folder with the sources. */
export const sourceFolder = (example: Example): string => dirname(wasmPath(example));

/** What the source, the Cargo package and the module are called. */
export const stem = (example: Example): string => basename(example.wasm, '.wasm');

/** A compiler is not there. The message says which, and how to get it. */
export class MissingTool extends Error {}

/** A compiler is there and failed. The message is what it printed. */
export class BuildFailed extends Error {}
