/**
 * Builds the AssemblyScript examples with the `assemblyscript` package, each in a folder laid out
 * as `npm install` would: the sources, and our package under `node_modules`.
 */

import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { BuildFailed, GUESTS, MissingTool, sourceFolder, stem } from './example.ts';
import type { Example } from './example.ts';
import { run } from './tools.ts';

function findCompiler(): string {
  try {
    return fileURLToPath(new URL('../bin/asc.js', import.meta.resolve('assemblyscript/asc')));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new MissingTool(
      'assemblyscript is not installed (npm install assemblyscript)', { cause });
  }
}

/**
 * Compiles the project of a folder, whose asconfig.json names the module `<stem>.wasm`. Throws
 * MissingTool, BuildFailed.
 */
export async function compileProject(project: string, name: string, out: string): Promise<void> {
  const compiler = findCompiler();
  const folder = mkdtempSync(join(tmpdir(), 'wardian-asc-'));
  try {
    cpSync(project, folder, {
      recursive: true,
      filter: (path) => !path.endsWith('.wasm') && basename(path) !== 'node_modules',
    });
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(join(GUESTS, 'assemblyscript'), join(folder, 'node_modules', 'http_guest'));
    const args = [compiler, '--config', 'asconfig.json'];
    const built = await run(process.execPath, args, { cwd: folder });
    if (!built.ok) throw new BuildFailed(built.output);
    copyFileSync(join(folder, `${name}.wasm`), out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Puts `<name>.wasm` for every example into `out`. Throws MissingTool, BuildFailed. */
export async function buildAssemblyScript(
  examples: readonly Example[],
  out: string,
): Promise<void> {
  for (const example of examples) {
    const module = join(out, `${example.name}.wasm`);
    await compileProject(sourceFolder(example), stem(example), module);
  }
}
