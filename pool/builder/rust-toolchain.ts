/**
 * The Rust toolchain of the operator: a rustc that has a WebAssembly target installed, its cargo,
 * and the sources of the crates that our SDK needs, kept for all builds.
 */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';

import { BuildError } from '../../contract/build.ts';
import type { BuildTools } from '../../contract/build.ts';
import { findPrograms, runTool } from './tools.ts';
import type { ToolRun } from './tools.ts';

const TARGETS = ['wasm32-unknown-unknown', 'wasm32-wasip1', 'wasm32-wasi'];
/** From this minor version of cargo 1 on, the sparse index of crates.io needs no switch. */
const CARGO_SPARSE_STABLE = 70;

export interface Toolchain {
  readonly cargo: string;
  readonly target: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** As cargo and rustup find their homes themselves, but for `HOME`, which is the build's folder. */
export function homeOf(name: string, told: string): string {
  if (told !== '') return told;
  const folder = join(userInfo().homedir, name);
  return existsSync(folder) ? folder : '';
}

/** A toolchain knows every target by name; only an installed one has libraries. */
async function holdsCore(folder: string): Promise<boolean> {
  if (!existsSync(folder)) return false;
  return (await readdir(folder)).some((name) => name.startsWith('libcore-'));
}

/** The first rustc that has a WebAssembly target installed, with the cargo beside it. */
export async function findToolchain(tools: BuildTools): Promise<Toolchain> {
  const compilers = findPrograms(tools.searchPath, ['rustc']);
  const cargos = findPrograms(tools.searchPath, ['cargo']);
  const environment: Record<string, string> = {};
  const cargoHome = homeOf('.cargo', tools.cargoHome);
  const rustupHome = homeOf('.rustup', tools.rustupHome);
  if (cargoHome !== '') environment['CARGO_HOME'] = cargoHome;
  if (rustupHome !== '') environment['RUSTUP_HOME'] = rustupHome;
  const missing = compilers.length === 0 ? 'rustc' : 'cargo';
  if (compilers.length === 0 || cargos.length === 0) {
    throw new BuildError('missing_tool', `Rust needs ${missing}, which is not installed on this `
      + 'node (https://rustup.rs, or on Debian and Ubuntu: apt install cargo '
      + 'libstd-rust-dev-wasm32)');
  }
  for (const target of TARGETS) {
    for (const rustc of compilers) {
      const libraries = await runTool(
        rustc, ['--print', 'target-libdir', '--target', target], tools, environment);
      if (libraries.exitCode !== 0 || !await holdsCore(libraries.printed.trim())) continue;
      const beside = join(dirname(rustc), 'cargo');
      const cargo = cargos.includes(beside) ? beside : cargos[0] as string;
      return { cargo, target, environment: { ...environment, RUSTC: rustc } };
    }
  }
  throw new BuildError('missing_tool', 'the rustc of this node has no WebAssembly target '
    + '(rustup target add wasm32-unknown-unknown, or on Debian and Ubuntu: '
    + 'apt install libstd-rust-dev-wasm32)');
}

/**
 * Makes an older cargo read the sparse index: it knows crates.io otherwise only as a clone of a
 * git repository of hundreds of megabytes. `RUSTC_BOOTSTRAP` lets it take an unstable switch; it is
 * set while fetching, never while compiling.
 */
async function sparseIndex(
  toolchain: Toolchain, tools: BuildTools,
): Promise<{ args: string[]; environment: Record<string, string> }> {
  const version = await runTool(toolchain.cargo, ['--version'], tools, toolchain.environment);
  const minor = Number(/^cargo 1\.(\d+)\./.exec(version.printed)?.[1] ?? Number.NaN);
  if (!(minor < CARGO_SPARSE_STABLE)) return { args: [], environment: {} };
  return {
    args: ['-Z', 'sparse-registry'],
    environment: { RUSTC_BOOTSTRAP: '1', CARGO_REGISTRIES_CRATES_IO_PROTOCOL: 'sparse' },
  };
}

/** Copies the sources of every crate of a workspace into a folder; from cargo's cache if it can. */
export async function vendor(
  toolchain: Toolchain, tools: BuildTools, args: readonly string[], folder: string,
): Promise<ToolRun> {
  const sparse = await sparseIndex(toolchain, tools);
  const environment = {
    ...toolchain.environment, ...sparse.environment, CARGO_NET_RETRY: '1',
  };
  const run = (more: readonly string[]): Promise<ToolRun> => runTool(
    toolchain.cargo, ['vendor', ...sparse.args, ...args, ...more, folder], tools, environment);
  const offline = await run(['--offline']);
  return offline.exitCode === 0 ? offline : run([]);
}

/** The folder with the crates of our SDK; fetched by the first Rust build of a node. */
export async function sdkCrates(toolchain: Toolchain, tools: BuildTools): Promise<string> {
  const lock = await readFile(join(tools.guestsFolder, 'Cargo.lock'));
  const hash = createHash('sha256').update(lock).digest('hex').slice(0, 16);
  const parent = tools.cacheFolder === '' ? process.cwd() : tools.cacheFolder;
  const folder = join(parent, `crates-${hash}`);
  if (existsSync(folder)) return folder;
  await mkdir(parent, { recursive: true });
  const unfinished = `${folder}.${process.pid}`;
  const manifest = join(tools.guestsFolder, 'Cargo.toml');
  const fetched = await vendor(
    toolchain, tools, ['--locked', '--manifest-path', manifest], unfinished);
  if (fetched.exitCode !== 0) {
    await rm(unfinished, { recursive: true, force: true });
    throw new BuildError('build_failed', 'the first Rust build of a node fetches the crates that '
      + 'http_guest needs, and they cannot be had', fetched.output);
  }
  try {
    await rename(unfinished, folder);
  } catch (error) {
    // Another build was faster; its copy is as good.
    if (!existsSync(folder)) throw error;
    await rm(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** Changes with the compiler, and with everything of our SDK that is compiled. */
export async function toolchainKey(toolchain: Toolchain, tools: BuildTools): Promise<string> {
  const hash = createHash('sha256');
  const rustc = toolchain.environment['RUSTC'] ?? 'rustc';
  hash.update((await runTool(rustc, ['-vV'], tools, toolchain.environment)).printed);
  hash.update(toolchain.target);
  const sdk = join(tools.guestsFolder, 'rust', 'http_guest');
  const names = await readdir(sdk, { recursive: true, withFileTypes: true });
  const paths = names.filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name)).toSorted();
  for (const path of [join(tools.guestsFolder, 'Cargo.lock'), ...paths]) {
    hash.update(path).update(await readFile(path));
  }
  return hash.digest('hex').slice(0, 16);
}
