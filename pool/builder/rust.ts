/**
 * Rust to a module, with the operator's cargo: a single file becomes a crate that depends on our
 * `http_guest`, a project is built as it is. Cargo works offline with the crates of our SDK; only
 * a project that needs others has them fetched. Build scripts and procedural macros run here with
 * the daemon's rights, which is why Rust must be turned on by the operator.
 */

import { existsSync } from 'node:fs';
import {
  copyFile, cp, readdir, readFile, rename, rm, writeFile,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { join as joinUploaded, normalize } from 'node:path/posix';

import { BuildError } from '../../contract/build.ts';
import type { BuildFile, BuildJob, BuildTools } from '../../contract/build.ts';
import { findToolchain, homeOf, sdkCrates, toolchainKey, vendor } from './rust-toolchain.ts';
import type { Toolchain } from './rust-toolchain.ts';
import { requireSuccess, runTool } from './tools.ts';
import type { ToolRun } from './tools.ts';

const TARGET_FOLDER = '.wardian-target';
const CRATES_FOLDER = '.wardian-crates';
const SDK_COPY = '.wardian-sdk';
const ROOTS = ['lib.rs', 'src/lib.rs', 'main.rs', 'src/main.rs'];
/** Where sources written for Terrarium take the crate from; they use `http` 0.1. */
const TERRARIUM_CRATE = 'https://github.com/fastly/terrarium-rust-guest';
/** What cargo says when a crate is not in its cache. */
const NOT_CACHED = /offline|no matching package|failed to (?:download|get|load source)/;

/** Sources of 2018 and 2019, known by where their `http_guest` or their `http` comes from. */
function isTerrarium(manifest: string): boolean {
  return manifest.includes(TERRARIUM_CRATE) || /^\s*http\s*=\s*"[~^=]?0\.1\b/m.test(manifest);
}

/** The folder of our crate: as it is, or a copy whose types are those of `http` 0.1. */
async function sdkFolder(manifest: string, tools: BuildTools): Promise<string> {
  const crate = join(tools.guestsFolder, 'rust', 'http_guest');
  if (!isTerrarium(manifest)) return crate;
  const copy = resolve(SDK_COPY);
  await cp(crate, copy, { recursive: true });
  const path = join(copy, 'Cargo.toml');
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(/^default = .*$/m, 'default = ["http-0-1"]'));
  return copy;
}

/** A manifest for sources that came without one. */
function manifestFor(root: string, sdk: string): string {
  return [
    '[package]', 'name = "guest"', 'version = "0.0.0"', 'edition = "2021"',
    '[lib]', 'crate-type = ["cdylib"]', `path = ${JSON.stringify(root)}`,
    '[dependencies]', `http_guest = { path = ${JSON.stringify(sdk)} }`,
    '[profile.release]', 'opt-level = "s"', 'lto = true', 'codegen-units = 1', 'panic = "abort"',
    '[workspace]', '',
  ].join('\n');
}

function rootOf(files: readonly BuildFile[]): string {
  const sources = files.map((file) => file.path).filter((path) => /\.rs$/i.test(path));
  const root = sources.length === 1 ? sources[0] : ROOTS.find((name) => sources.includes(name));
  if (root !== undefined) return root;
  throw new BuildError('build_failed', 'there is no Cargo.toml, and none of the .rs files is '
    + `called ${ROOTS.join(', ')}`);
}

interface Crate {
  readonly manifestPath: string;
  /** Cargo's flags that put our crate in the place of the one that is asked for. */
  readonly patches: readonly string[];
}

function pathFlag(key: string, path: string): string[] {
  return ['--config', `${key}=${JSON.stringify(path)}`];
}

/** A dependency on our crate, from wherever it is, means the crate of this node. */
async function adoptProject(path: string, job: BuildJob): Promise<Crate> {
  const text = await readFile(path, 'utf8');
  const sdk = await sdkFolder(text, job.tools);
  const uploaded = new Set(job.files.map((file) => file.path));
  const line = /^(\s*http_guest\s*=\s*\{[^}\n]*?)\bpath\s*=\s*"([^"\n]*)"/m;
  const adopted = text.replace(line, (whole, before: string, target: string) => {
    const manifest = normalize(joinUploaded(dirname(path), target, 'Cargo.toml'));
    return uploaded.has(manifest) ? whole : `${before}path = ${JSON.stringify(sdk)}`;
  });
  if (adopted !== text) await writeFile(path, adopted);
  const patches: string[] = [];
  if (/^\s*http_guest\s*=\s*(?:"|\{[^}\n]*\bversion\b)/m.test(adopted)) {
    patches.push(...pathFlag('patch.crates-io.http_guest.path', sdk));
  }
  if (adopted.includes(TERRARIUM_CRATE)) {
    patches.push(...pathFlag(`patch."${TERRARIUM_CRATE}".http_guest.path`, sdk));
  }
  return { manifestPath: path, patches };
}

/** The crate of an upload without a manifest. */
async function makeCrate(root: string, tools: BuildTools): Promise<Crate> {
  const sdk = await sdkFolder('', tools);
  await writeFile('Cargo.toml', manifestFor(root, sdk), { flag: 'wx' });
  await copyFile(join(tools.guestsFolder, 'Cargo.lock'), 'Cargo.lock');
  return { manifestPath: 'Cargo.toml', patches: [] };
}

function manifestOf(files: readonly BuildFile[]): string | undefined {
  return files.map((file) => file.path)
    .filter((name) => name === 'Cargo.toml' || name.endsWith('/Cargo.toml'))
    .toSorted((a, b) => a.split('/').length - b.split('/').length)[0];
}

/**
 * rustc gives a guest 1 MiB of stack, which the host must zero between two requests. 128 KiB is
 * plenty for a request, and with the stack first an overflow traps instead of writing over data.
 */
const STACK_FLAGS = ['-Clink-arg=-zstack-size=131072', '-Clink-arg=--stack-first'];

/**
 * Paths of this machine would otherwise be in the module, in the messages of its panics. Those of
 * the upload are relative already; and flags that differ would keep cargo from using what it has
 * compiled before.
 */
function remapFlags(crates: string, tools: BuildTools): string {
  const cargoHome = homeOf('.cargo', tools.cargoHome);
  const mapped = [
    [crates, '/crates'], [tools.guestsFolder, '/wardian'],
    ...(cargoHome === '' ? [] : [[cargoHome, '/cargo']]),
  ];
  const paths = mapped.map(([path, name]) => `--remap-path-prefix=${path}=${name}`);
  return [...paths, ...STACK_FLAGS].join('\x1f');
}

interface Compilation {
  readonly toolchain: Toolchain;
  readonly crates: string;
  readonly tools: BuildTools;
  readonly option: string | null;
}

function compile(compilation: Compilation, crate: Crate): Promise<ToolRun> {
  const { toolchain, crates, tools, option } = compilation;
  const level: Record<string, string> = option === null ? {}
    : { CARGO_PROFILE_RELEASE_OPT_LEVEL: option.slice('-O'.length) };
  // Failure reports name lines of the source.
  level['CARGO_PROFILE_RELEASE_DEBUG'] = '1';
  return runTool(toolchain.cargo, [
    'build', '--release', '--offline', '--target', toolchain.target,
    '--target-dir', TARGET_FOLDER, '--manifest-path', crate.manifestPath,
    '--config', 'source.crates-io.replace-with="fetched"',
    ...pathFlag('source.fetched.directory', crates), ...crate.patches,
  ], tools, {
    ...toolchain.environment, ...level, CARGO_ENCODED_RUSTFLAGS: remapFlags(crates, tools),
  });
}

/**
 * A single file: with our SDK compiled ahead, which saves 6 of 8 seconds. What the first such
 * build of a node has compiled besides the file itself is kept and copied by the next ones.
 */
async function compileFile(compilation: Compilation, root: string): Promise<ToolRun> {
  const { tools, toolchain } = compilation;
  const crate = await makeCrate(root, tools);
  const kept = tools.cacheFolder === '' ? '' : join(tools.cacheFolder,
    `rust-lines-${await toolchainKey(toolchain, tools)}${compilation.option ?? ''}`);
  if (kept !== '' && existsSync(kept)) {
    await cp(kept, TARGET_FOLDER, { recursive: true, preserveTimestamps: true });
    return compile(compilation, crate);
  }
  const run = await compile(compilation, crate);
  if (run.exitCode === 0 && kept !== '') await keepTarget(kept);
  return run;
}

/** Without the products of the guest itself: they are the deployer's, not the node's. */
async function keepTarget(kept: string): Promise<void> {
  const unfinished = `${kept}.${process.pid}`;
  const isGuest = (path: string): boolean => /(?:^|[/\\])(?:lib)?guest[.-][^/\\]*$/.test(path);
  await cp(TARGET_FOLDER, unfinished, {
    recursive: true, preserveTimestamps: true, filter: (path) => !isGuest(path),
  });
  try {
    await rename(unfinished, kept);
  } catch (error) {
    // Another build was faster; what it kept is as good.
    if (!existsSync(kept)) throw error;
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** With the crates of our SDK if they are enough, with those that the project names otherwise. */
async function compileProject(
  compilation: Compilation, path: string, job: BuildJob,
): Promise<ToolRun> {
  const crate = await adoptProject(path, job);
  const run = await compile(compilation, crate);
  if (run.exitCode === 0 || !NOT_CACHED.test(run.output)) return run;
  const crates = resolve(CRATES_FOLDER);
  const fetched = await vendor(compilation.toolchain, job.tools,
    [...crate.patches, '--manifest-path', crate.manifestPath], crates);
  return fetched.exitCode === 0 ? compile({ ...compilation, crates }, crate) : fetched;
}

/** Throws `missing_tool`, `build_failed`. */
export async function compileRust(job: BuildJob): Promise<Uint8Array> {
  const { tools, option, files } = job;
  const toolchain = await findToolchain(tools);
  const crates = await sdkCrates(toolchain, tools);
  const compilation = { toolchain, crates, tools, option };
  const manifest = manifestOf(files);
  const run = manifest === undefined ? await compileFile(compilation, rootOf(files))
    : await compileProject(compilation, manifest, job);
  requireSuccess(run, 'cargo');
  const folder = join(TARGET_FOLDER, toolchain.target, 'release');
  const modules = (await readdir(folder)).filter((name) => name.endsWith('.wasm'));
  const [module] = modules;
  if (module === undefined || modules.length > 1) {
    throw new BuildError('build_failed', `the crate builds ${modules.length} modules where one is `
      + 'wanted; Cargo.toml needs [lib] crate-type = ["cdylib"]');
  }
  return readFile(join(folder, module));
}
