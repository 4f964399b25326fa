/**
 * Builds the Rust examples with cargo: the whole workspace in one go, its dependencies taken from
 * a folder beside the build products. That makes the paths in the modules the same everywhere, and
 * the build work with cargo as old as 1.63, which knows the index of crates.io only as a clone of
 * a large git repository.
 */

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { BuildFailed, GUESTS, MissingTool, stem } from './example.ts';
import type { Example } from './example.ts';
import { findPrograms, run } from './tools.ts';

const TARGET = 'wasm32-unknown-unknown';
/** From this minor version of cargo 1 on, the sparse index needs no switch. */
const CARGO_SPARSE_STABLE = 70;

interface Toolchain {
  readonly cargo: string;
  readonly env: Readonly<Record<string, string>>;
}

async function hasTarget(rustc: string): Promise<boolean> {
  const asked = await run(rustc, ['--print', 'target-libdir', '--target', TARGET], { cwd: GUESTS });
  if (!asked.ok) return false;
  const folder = asked.stdout.trim();
  return existsSync(folder) && readdirSync(folder).some((name) => name.startsWith('libstd-'));
}

/** The first rustc that can build for the target, with the cargo beside it. */
async function findToolchain(): Promise<Toolchain> {
  const chosen = process.env['RUSTC'];
  const compilers = [...(chosen === undefined ? [] : [chosen]), ...findPrograms('rustc')];
  const cargos = findPrograms('cargo');
  if (compilers.length === 0 || cargos.length === 0) {
    throw new MissingTool(
      'rustc and cargo are not installed (https://rustup.rs, or apt install cargo)',
    );
  }
  for (const rustc of compilers) {
    if (!(await hasTarget(rustc))) continue;
    const beside = join(dirname(rustc), 'cargo');
    const cargo = cargos.find((path) => path === beside) ?? cargos[0] ?? 'cargo';
    return { cargo, env: { RUSTC: rustc } };
  }
  throw new MissingTool(
    `rustc has no target ${TARGET} (rustup target add ${TARGET}, ` +
      'or apt install libstd-rust-dev-wasm32)',
  );
}

/**
 * What makes an older cargo read the sparse index. `RUSTC_BOOTSTRAP` lets a stable cargo take an
 * unstable switch; it is set while fetching and not while compiling.
 */
async function sparseIndex(
  cargo: string,
): Promise<{ args: string[]; env: Record<string, string> }> {
  const version = await run(cargo, ['--version'], { cwd: GUESTS });
  const minor = Number(/^cargo 1\.(\d+)\./.exec(version.stdout)?.[1] ?? Number.NaN);
  if (minor >= CARGO_SPARSE_STABLE) return { args: [], env: {} };
  return {
    args: ['-Z', 'sparse-registry'],
    env: { RUSTC_BOOTSTRAP: '1', CARGO_REGISTRIES_CRATES_IO_PROTOCOL: 'sparse' },
  };
}

/** The folder of the dependencies' sources, fetched unless a build with this lock file did it. */
async function dependencies(
  toolchain: Toolchain,
  workspace: string,
  cache: string,
): Promise<string> {
  const lock = readFileSync(join(workspace, 'Cargo.lock'));
  const hash = createHash('sha256').update(lock).digest('hex').slice(0, 16);
  const folder = join(cache, `crates-${hash}`);
  if (existsSync(folder)) return folder;
  const sparse = await sparseIndex(toolchain.cargo);
  const unfinished = `${folder}.${process.pid}`;
  const vendor = (more: readonly string[]) =>
    run(toolchain.cargo, ['vendor', ...sparse.args, '--locked', ...more, unfinished], {
      cwd: workspace,
      env: { ...toolchain.env, ...sparse.env },
    });
  const offline = await vendor(['--offline']);
  const fetched = offline.ok ? offline : await vendor([]);
  if (!fetched.ok) {
    rmSync(unfinished, { recursive: true, force: true });
    throw new MissingTool(`crates.io cannot be reached:\n${fetched.output}`);
  }
  if (existsSync(folder)) rmSync(unfinished, { recursive: true });
  else renameSync(unfinished, folder);
  return folder;
}

/**
 * rustc gives a guest 1 MiB of stack, which the host must zero between two requests. 128 KiB is
 * plenty for a request, and with the stack first an overflow traps instead of writing over data.
 */
const STACK_FLAGS = ['-Clink-arg=-zstack-size=131072', '-Clink-arg=--stack-first'];

/**
 * Builds packages of a workspace, and tells the path of the module of each. Throws MissingTool,
 * BuildFailed.
 */
export async function buildPackages(
  workspace: string,
  packages: readonly string[],
  cache: string,
): Promise<Map<string, string>> {
  const toolchain = await findToolchain();
  mkdirSync(cache, { recursive: true });
  const crates = await dependencies(toolchain, workspace, cache);
  const target = join(cache, 'target');
  const args = [
    'build', '--release', '--locked', '--offline', '--target', TARGET, '--target-dir', target,
    '--config', 'source.crates-io.replace-with="fetched"',
    '--config', `source.fetched.directory=${JSON.stringify(crates)}`,
    ...packages.flatMap((name) => ['--package', name]),
  ];
  // What belongs to the workspace itself, cargo names by relative paths.
  const mapped = [[crates, '/crates'], [GUESTS, '/guests']];
  const flags = [
    ...mapped.map(([path, name]) => `--remap-path-prefix=${path}=${name}`), ...STACK_FLAGS,
  ];
  const env = { ...toolchain.env, CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') };
  const built = await run(toolchain.cargo, args, { cwd: workspace, env });
  if (!built.ok) throw new BuildFailed(built.output);
  const products = join(target, TARGET, 'release');
  const module = (name: string): string => join(products, `${name.replaceAll('-', '_')}.wasm`);
  return new Map(packages.map((name) => [name, module(name)]));
}

/** Puts `<name>.wasm` for every example into `out`. Throws MissingTool, BuildFailed. */
export async function buildRust(
  examples: readonly Example[],
  out: string,
  cache: string,
): Promise<void> {
  const modules = await buildPackages(GUESTS, examples.map(stem), cache);
  for (const example of examples) {
    copyFileSync(modules.get(stem(example)) ?? '', join(out, `${example.name}.wasm`));
  }
}
