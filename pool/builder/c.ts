/**
 * C to a module, with the operator's clang: against wasi-libc where it is installed, freestanding
 * otherwise. Our header folder is on the include path, `run` is exported, hostcalls that the
 * source declares by itself are imported from `env`.
 */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { BuildError } from '../../contract/build.ts';
import type { BuildJob, BuildTools } from '../../contract/build.ts';
import { findPrograms, requireSuccess, runTool } from './tools.ts';

const OUTPUT = '.wardian-module.wasm';
const VERSIONS_NEWEST = 30;
const VERSIONS_OLDEST = 8;
/** Where distributions and the wasi-sdk put wasi-libc: [folder of headers, folder of libraries]. */
const SYSROOTS: readonly (readonly [string, string])[] = [
  ['/usr/include/wasm32-wasi', '/usr/lib/wasm32-wasi'],
  ['/opt/wasi-sdk/share/wasi-sysroot/include', '/opt/wasi-sdk/share/wasi-sysroot/lib/wasm32-wasi'],
  ['/usr/share/wasi-sysroot/include', '/usr/share/wasi-sysroot/lib/wasm32-wasi'],
  ['/opt/homebrew/share/wasi-sysroot/include', '/opt/homebrew/share/wasi-sysroot/lib/wasm32-wasi'],
];

function clangNames(): string[] {
  const names = ['clang'];
  for (let version = VERSIONS_NEWEST; version >= VERSIONS_OLDEST; version -= 1) {
    names.push(`clang-${version}`);
  }
  return names;
}

async function findClang(tools: BuildTools): Promise<string> {
  const candidates = findPrograms(tools.searchPath, clangNames());
  if (candidates.length === 0) {
    throw new BuildError('missing_tool', 'C needs clang, which is not installed on this node '
      + '(Debian and Ubuntu: apt install clang lld wasi-libc libclang-rt-dev-wasm32)');
  }
  for (const clang of candidates) {
    // Apple's clang has no WebAssembly back end, and says so only here.
    const targets = await runTool(clang, ['--print-targets'], tools);
    if (targets.exitCode !== 0 || targets.output.includes('wasm32')) return clang;
  }
  throw new BuildError('missing_tool', 'the clang of this node cannot compile to wasm32');
}

function targetFlags(): string[] {
  for (const [headers, libraries] of SYSROOTS) {
    if (!existsSync(join(libraries, 'libc.a'))) continue;
    return ['--target=wasm32-wasi', '-isystem', headers, '-L', libraries];
  }
  return ['--target=wasm32-unknown-unknown', '-ffreestanding', '-nostdlib'];
}

/**
 * Throws `missing_tool`, `build_failed`. No start file is linked: `run` is the entry, and the
 * linker calls constructors at its beginning.
 */
export async function compileC(job: BuildJob): Promise<Uint8Array> {
  const sources = job.files.map((file) => file.path).filter((path) => /\.c$/i.test(path));
  if (sources.length === 0) throw new BuildError('build_failed', 'there is no .c file');
  const clang = await findClang(job.tools);
  const target = targetFlags();
  const objects: string[] = [];
  for (const [index, path] of sources.entries()) {
    const object = `.wardian-${index}.o`;
    const compiled = await runTool(clang, [
      ...target, '-c', job.option ?? '-O2', '-fno-strict-aliasing',
      // Failure reports name lines of the source, and no path of this machine.
      '-gline-tables-only', `-ffile-prefix-map=${process.cwd()}=.`,
      `-ffile-prefix-map=${job.tools.guestsFolder}=/wardian`,
      '-I', join(job.tools.guestsFolder, 'c'), '-I', '.', '-o', object, `./${path}`,
    ], job.tools);
    requireSuccess(compiled, 'clang');
    objects.push(object);
  }
  // Without an optimisation level: clang would have wasm-opt rewrite the code where it finds one,
  // which leaves the line table behind, and what a source builds to would depend on the node.
  const linked = await runTool(clang, [
    ...target, '-nostartfiles', '-Wl,--no-entry', '-Wl,--export=run', '-Wl,--allow-undefined',
    '-Wl,--gc-sections', '-Wl,-z,stack-size=1048576', '-Wl,--stack-first', '-o', OUTPUT, ...objects,
  ], job.tools);
  requireSuccess(linked, 'clang');
  return readFile(OUTPUT);
}
