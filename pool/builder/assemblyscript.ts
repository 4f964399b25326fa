/**
 * AssemblyScript to a module, with the `assemblyscript` package where the operator installed it.
 * The compiler runs inside this process and reads only the uploaded files and our own package:
 * nothing of the upload can name a file of this machine, and options that load code (transforms,
 * `asconfig.json`) are not taken.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path/posix';

import { BuildError } from '../../contract/build.ts';
import type { BuildFile, BuildJob } from '../../contract/build.ts';
import { withSourceMap } from '../symbols/source-map.ts';
import { OUTPUT_KEPT_BYTES_MAX } from './tools.ts';

/** Names under which sources import our package. */
const PACKAGES = ['http_guest', 'http-guest', 'wardian'];
const OPTION_DEFAULT = '-O3';
const ENTRIES = ['index.ts', 'assembly/index.ts', 'src/index.ts', 'main.ts', 'src/main.ts'];
const OUTPUT = 'module.wasm';

interface OutputStream {
  write(chunk: Uint8Array | string): void;
}

/** What of the compiler's interface is used. Its own types declare globals over those of Node. */
interface Compiler {
  main(args: readonly string[], host: {
    readonly stdout: OutputStream;
    readonly stderr: OutputStream;
    readonly readFile: (name: string, folder: string) => string | null;
    readonly writeFile: (name: string, contents: Uint8Array | string) => void;
    readonly listFiles: (folder: string) => string[];
  }): Promise<{ readonly error: Error | null }>;
}

const COMPILER: string = 'assemblyscript/asc';

async function loadCompiler(): Promise<Compiler> {
  try {
    return await import(COMPILER) as Compiler;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new BuildError('missing_tool', 'AssemblyScript needs the package assemblyscript, which '
      + 'is not installed on this node (npm install -g assemblyscript, where wardian is '
      + 'installed)', '', { cause });
  }
}

/** The file that the compiler begins with: the only .ts file, or one with a customary name. */
export function entryOf(files: readonly BuildFile[]): string {
  const sources = files.map((file) => file.path)
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'));
  if (sources.length === 1 && sources[0] !== undefined) return sources[0];
  const customary = ENTRIES.find((name) => sources.includes(name));
  const first = customary ?? sources.find((path) => !path.includes('/'));
  if (first === undefined) {
    throw new BuildError(
      'build_failed', `none of the .ts files is called ${ENTRIES.join(', ')}`);
  }
  return first;
}

/** The text of a file that the compiler asks for, from the upload or from our package. */
function createReader(job: BuildJob): (name: string) => string | null {
  const uploaded = new Map(job.files.map((file) => [file.path, file.bytes]));
  const prefix = new RegExp(`^node_modules/(?:${PACKAGES.join('|')})/(.+\\.ts)$`);
  return (name) => {
    const path = join('/', name).slice(1);
    // `asconfig.json` can name code to load, so nothing but sources is handed out.
    if (!path.endsWith('.ts')) return null;
    const bytes = uploaded.get(path);
    if (bytes !== undefined) return new TextDecoder().decode(bytes);
    const ours = prefix.exec(path)?.[1];
    if (ours === undefined) return null;
    try {
      return readFileSync(join(job.tools.guestsFolder, 'assemblyscript', ours), 'utf8');
    } catch (error) {
      // The compiler tries several names for one import: a missing one is an answer, not a fault.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  };
}

/**
 * AssemblyScript's own `abort`, `trace` and `seed` become those of our package, or without it
 * vanish: as they are, they are imports that nobody provides.
 */
function builtins(files: readonly BuildFile[]): string[] {
  const sources = files.filter((file) => file.path.endsWith('.ts'))
    .map((file) => new TextDecoder().decode(file.bytes));
  const imported = PACKAGES.find((name) =>
    sources.some((source) => new RegExp(`from\\s*["']${name}["']`).test(source)));
  if (imported === undefined) return ['--use', 'abort='];
  return ['abort', 'trace', 'seed']
    .flatMap((name) => ['--use', `${name}=~lib/${imported}/index/${name}`]);
}

/** A stream for messages that keeps the beginning. */
function createMessages(): OutputStream & { text(): string } {
  let kept = '';
  let cut = 0;
  return {
    write(chunk) {
      const text = typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk);
      const room = OUTPUT_KEPT_BYTES_MAX - kept.length;
      kept += text.slice(0, room);
      cut += Math.max(0, text.length - room);
    },
    text: () => (cut === 0 ? kept : `${kept}\n[${cut} more characters]`),
  };
}

/** Throws `missing_tool`, `build_failed`. */
export async function compileAssemblyScript(job: BuildJob): Promise<Uint8Array> {
  const entry = entryOf(job.files);
  const asc = await loadCompiler();
  const messages = createMessages();
  const written: { module?: Uint8Array; map?: string } = {};
  const { error } = await asc.main([
    entry, '--outFile', OUTPUT, job.option ?? OPTION_DEFAULT, '--debug', '--sourceMap',
    '--exportTable',
    ...builtins(job.files),
  ], {
    stdout: messages,
    stderr: messages,
    readFile: createReader(job),
    listFiles: () => [],
    writeFile: (name, contents) => {
      if (name === OUTPUT && typeof contents !== 'string') written.module = contents;
      if (name === `${OUTPUT}.map` && typeof contents === 'string') written.map = contents;
    },
  });
  const { module, map } = written;
  if (error === null && module !== undefined) {
    return map === undefined ? module : withSourceMap(module, map);
  }
  throw new BuildError('build_failed', 'asc failed', messages.text(), { cause: error });
}
