/** Assembles the WAT examples with wabt, keeping the names, which traps show. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import wabt from 'wabt';

import { BuildFailed, sourceFolder, stem } from './example.ts';
import type { Example } from './example.ts';

/** A module of a text. Throws BuildFailed. */
export async function assemble(name: string, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const { parseWat } = await wabt();
  try {
    const module = parseWat(name, text);
    module.resolveNames();
    module.validate();
    const { buffer } = module.toBinary({ write_debug_names: true });
    module.destroy();
    return new Uint8Array(buffer);
  } catch (cause) {
    throw new BuildFailed(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** Puts `<name>.wasm` for every example into `out`. Throws BuildFailed. */
export async function buildWat(examples: readonly Example[], out: string): Promise<void> {
  for (const example of examples) {
    const file = `${stem(example)}.wat`;
    const text = readFileSync(join(sourceFolder(example), file), 'utf8');
    writeFileSync(join(out, `${example.name}.wasm`), await assemble(file, text));
  }
}
