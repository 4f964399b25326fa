/** Builds the C examples with clang, with wasi-libc for those that want a C library. */

import { existsSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';

import { BuildFailed, GUESTS, MissingTool, sourceFolder, stem } from './example.ts';
import type { Example } from './example.ts';
import { findPrograms, run } from './tools.ts';

/** Where wasi-libc's headers and libraries are installed. */
const WASI_LIBC: readonly (readonly [string, string])[] = [
  ['/usr/include/wasm32-wasi', '/usr/lib/wasm32-wasi'],
  ['/opt/wasi-sdk/share/wasi-sysroot/include', '/opt/wasi-sdk/share/wasi-sysroot/lib/wasm32-wasi'],
];

async function findClang(): Promise<string> {
  for (const clang of findPrograms('clang')) {
    const targets = await run(clang, ['--print-targets'], { cwd: GUESTS });
    if (targets.ok && /\bwasm32\b/.test(targets.stdout)) return clang;
  }
  throw new MissingTool('no clang that compiles to wasm32 is installed (apt install clang lld)');
}

function targetFlags(builder: 'clang' | 'clang-wasi'): string[] {
  if (builder === 'clang') return ['--target=wasm32', '-ffreestanding', '-nostdlib'];
  const libc = WASI_LIBC.find(([, libraries]) => existsSync(join(libraries, 'libc.a')));
  if (libc === undefined) {
    throw new MissingTool(
      'wasi-libc is not installed (apt install wasi-libc libclang-rt-dev-wasm32)',
    );
  }
  return ['--target=wasm32-wasi', '-isystem', libc[0], '-L', libc[1], '-nostartfiles'];
}

/**
 * clang runs `wasm-opt` when it finds it on the PATH, which drops the names of functions: npm puts
 * the one that comes with AssemblyScript there, and a build would differ by how it was started.
 */
function pathWithoutNpm(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.filter((folder) => !folder.includes('node_modules')).join(delimiter);
}

/** Compiles one source file. Throws MissingTool, BuildFailed. */
export async function compileC(
  builder: 'clang' | 'clang-wasi',
  folder: string,
  source: string,
  out: string,
): Promise<void> {
  const args = [
    ...targetFlags(builder), '-Os', '-Wall', '-Wextra', '-Wpedantic', '-Werror',
    `-ffile-prefix-map=${GUESTS}=/guests`, '-I', relative(folder, join(GUESTS, 'c')),
    '-Wl,--no-entry', '-Wl,--strip-debug', '-o', out, source,
  ];
  const env = { PATH: pathWithoutNpm() };
  const built = await run(await findClang(), args, { cwd: folder, env });
  if (!built.ok) throw new BuildFailed(built.output);
}

/** Puts `<name>.wasm` for every example into `out`. Throws MissingTool, BuildFailed. */
export async function buildC(examples: readonly Example[], out: string): Promise<void> {
  for (const example of examples) {
    const builder = example.builder === 'clang-wasi' ? 'clang-wasi' : 'clang';
    const module = join(out, `${example.name}.wasm`);
    await compileC(builder, sourceFolder(example), `${stem(example)}.c`, module);
  }
}
