/**
 * Which language a folder of sources is in, when nobody says: the command line tells it before the
 * upload, and the daemon decides by it.
 */

import type { Language } from './deployment.ts';

export const SOURCE_LANGUAGES: ReadonlyMap<string, Language> = new Map([
  ['c', 'c'], ['rs', 'rust'], ['ts', 'assemblyscript'], ['wat', 'wat'],
]);

const MODULE_EXTENSION = 'wasm';
/** What tells a Rust project whatever other files it has. */
const RUST_MANIFEST = 'Cargo.toml';

export const KNOWN_EXTENSIONS: readonly string[] = [...SOURCE_LANGUAGES.keys(), MODULE_EXTENSION];

export interface Guess {
  readonly language: Language;
  /** The file that told it. */
  readonly file: string;
}

function extensionOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  // Declarations of what a module exports, as compilers write them beside it.
  if (name.endsWith('.d.ts')) return '';
  return name.includes('.') ? name.slice(name.lastIndexOf('.') + 1).toLowerCase() : '';
}

/**
 * A manifest, then the first file with the extension of a source, then a module: a module beside
 * its source may be older than it. Null when no file tells.
 */
export function guessLanguage(paths: readonly string[]): Guess | null {
  if (paths.includes(RUST_MANIFEST)) return { language: 'rust', file: RUST_MANIFEST };
  for (const file of paths) {
    const language = SOURCE_LANGUAGES.get(extensionOf(file));
    if (language !== undefined) return { language, file };
  }
  const file = paths.find((path) => extensionOf(path) === MODULE_EXTENSION);
  return file === undefined ? null : { language: 'wasm', file };
}
