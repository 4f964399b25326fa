/**
 * Builds the guests of the fuel bench with the compilers that are installed, once, into a folder
 * that is kept.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface BenchGuest {
  name: string;
  language: string;
  /** The exported function, `(rounds) -> checksum`. */
  run: string;
  /** Rounds that make one measured call last some milliseconds. */
  rounds: number;
  bytes: Uint8Array<ArrayBuffer>;
}

export interface Built {
  guests: BenchGuest[];
  missing: string[];
}

/** Take finished modules where they exist, and compile nothing. */
let reuse = false;

const SOURCES = fileURLToPath(new URL('guests/', import.meta.url));
const OUT = join(tmpdir(), 'wardian-fuel-bench');
const WASM = 'wasm32-unknown-unknown';

function run(program: string, arguments_: readonly string[], cwd: string, env = {}): string {
  return execFileSync(program, arguments_, {
    cwd, env: { ...process.env, ...env }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 2 ** 26,
  });
}

function read(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(path));
}

const onPath = (name: string): string[] => [
  ...(process.env['PATH'] ?? '').split(':').filter((folder) => folder !== ''), '/usr/bin',
].map((folder) => join(folder, name)).filter((path) => existsSync(path));

/** A rustc that has the target, and the cargo beside it. */
function rust(): { rustc: string; cargo: string } {
  for (const rustc of [...(process.env['RUSTC'] ?? '').split(':'), ...onPath('rustc')]) {
    const cargo = join(rustc, '..', 'cargo');
    if (rustc === '' || !existsSync(cargo)) continue;
    const folder = run(rustc, ['--print', 'target-libdir', '--target', WASM], SOURCES).trim();
    if (existsSync(folder)) return { rustc, cargo };
  }
  throw new Error(`no rustc with the target ${WASM} is installed`);
}

/** The sources of all crates; an older cargo needs a switch for the sparse index. */
function vendored(cargo: string): string {
  const folder = join(OUT, 'crates');
  if (existsSync(join(folder, 'libquickjs-sys'))) return folder;
  const minor = Number(/^cargo 1\.(\d+)/.exec(run(cargo, ['--version'], SOURCES))?.[1]);
  const older = minor < 70;
  run(cargo, ['vendor', ...(older ? ['-Z', 'sparse-registry'] : []), '--locked', folder],
    join(SOURCES, 'rust'),
    older ? { RUSTC_BOOTSTRAP: '1', CARGO_REGISTRIES_CRATES_IO_PROTOCOL: 'sparse' } : {});
  return folder;
}

function compileRust(): void {
  const { rustc, cargo } = rust();
  const crates = vendored(cargo);
  run(cargo, ['build', '--release', '--locked', '--offline', '--target', WASM,
    '--target-dir', join(OUT, 'target'), '--config', 'source.crates-io.replace-with="fetched"',
    '--config', `source.fetched.directory=${JSON.stringify(crates)}`], join(SOURCES, 'rust'),
  { RUSTC: rustc });
}

function buildRust(): BenchGuest[] {
  if (!reuse) compileRust();
  const bytes = read(join(OUT, 'target', WASM, 'release', 'bench_guests.wasm'));
  return [
    ['sha256', 24], ['json', 6], ['regex', 2], ['markdown', 12], ['compression', 4],
  ].map(([name, rounds]) => ({
    name: name as string, language: 'Rust', run: name as string, rounds: rounds as number, bytes,
  }));
}

function clang(sources: readonly string[], out: string, flags: readonly string[]): void {
  if (reuse) return;
  run('clang', ['-O2', '-w', ...flags, '-o', out, ...sources], join(SOURCES, 'c'));
}

function buildC(): BenchGuest[] {
  return [['nbody', 60], ['resize', 8], ['recursion', 60]].map(([name, rounds]) => {
    const out = join(OUT, `${name}.wasm`);
    clang([`${name}.c`], out, ['--target=wasm32', '-nostdlib', '-Wl,--no-entry']);
    return {
      name: name as string, language: 'C', run: name as string, rounds: rounds as number,
      bytes: read(out),
    };
  });
}

/** QuickJS needs wasi-libc, and the rounding modes that it lacks. */
function buildQuickJs(): BenchGuest[] {
  const crates = reuse ? OUT : vendored(rust().cargo);
  const folder = join(crates, 'libquickjs-sys', 'embed', 'quickjs');
  const files = ['quickjs', 'libregexp', 'libunicode', 'cutils', 'libbf'];
  const out = join(OUT, 'quickjs.wasm');
  clang(['quickjs.c', ...files.map((file) => join(folder, `${file}.c`))], out, [
    '--target=wasm32-wasi', '-mexec-model=reactor', '-D_GNU_SOURCE', '-DCONFIG_VERSION="0"',
    '-DFE_DOWNWARD=0', '-DFE_UPWARD=0', '-DEMSCRIPTEN', '-D_WASI_EMULATED_PROCESS_CLOCKS',
    `-I${folder}`, '-I.', '-lwasi-emulated-process-clocks', '-Wl,-z,stack-size=1048576',
  ]);
  return [{ name: 'quickjs', language: 'C', run: 'quickjs', rounds: 3, bytes: read(out) }];
}

function buildAssemblyScript(): BenchGuest[] {
  const compiler = fileURLToPath(new URL('../../node_modules/assemblyscript/bin/asc.js',
    import.meta.url));
  const out = join(OUT, 'assemblyscript.wasm');
  const flags = ['-O3', '--runtime', 'incremental', '-o', out];
  if (!reuse) {
    run(process.execPath, [compiler, 'guest.ts', ...flags], join(SOURCES, 'assemblyscript'));
  }
  const bytes = read(out);
  return [['words', 6], ['mandelbrot', 8]].map(([name, rounds]) => ({
    name: name as string, language: 'AssemblyScript', run: name as string,
    rounds: rounds as number, bytes,
  }));
}

/** With `compile: false`, what an earlier call left in the folder is taken as it is. */
export function buildGuests(compile = true): Built {
  reuse = !compile;
  mkdirSync(OUT, { recursive: true });
  const built: Built = { guests: [], missing: [] };
  for (const build of [buildRust, buildC, buildQuickJs, buildAssemblyScript]) {
    try {
      built.guests.push(...build());
    } catch (error) {
      const { stderr } = error as { stderr?: string };
      const reason = (stderr ?? String(error)).trim().split('\n').slice(-3).join(' ');
      built.missing.push(`${build.name}: ${reason}`);
    }
  }
  return built;
}
