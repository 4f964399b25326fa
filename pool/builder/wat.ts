/**
 * WebAssembly text to a module, with wabt. Features that the rewriter refuses are left on where
 * wabt knows them, so that the refusal comes from the rewriter and names the feature, instead of
 * from the parser.
 */

import wabt from 'wabt';

import { BuildError } from '../../contract/build.ts';
import type { BuildFile } from '../../contract/build.ts';

const FEATURES = {
  exceptions: true, mutable_globals: true, sat_float_to_int: true, sign_extension: true, simd: true,
  threads: true, function_references: true, multi_value: true, tail_call: true, bulk_memory: true,
  reference_types: true, annotations: true, gc: true, memory64: true, extended_const: true,
  relaxed_simd: true,
};

/** Its types lack the argument, without which half of the features above are invalid. */
interface Validated {
  validate(features: typeof FEATURES): void;
}

/** Names of functions and locals are kept: they are what a trap's backtrace shows. */
const BINARY = { write_debug_names: true };

/** Throws `build_failed` with the parser's messages. */
export async function assembleWat(file: BuildFile): Promise<Uint8Array> {
  const { parseWat } = await wabt();
  const text = new TextDecoder('utf-8', { fatal: true });
  try {
    text.decode(file.bytes);
  } catch (cause) {
    throw new BuildError('build_failed', `${file.path} is not UTF-8 text`, '', { cause });
  }
  try {
    // The bytes and not the text: of a string, wabt takes the low byte of each character. And a
    // copy: of a view, it takes everything up to the end of the buffer.
    const module = parseWat(file.path, new Uint8Array(file.bytes), FEATURES);
    try {
      module.resolveNames();
      (module as unknown as Validated).validate(FEATURES);
      return module.toBinary(BINARY).buffer;
    } finally {
      module.destroy();
    }
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    const output = words.replace(/^(?:parseWat|validate) failed:\n/, '');
    throw new BuildError(
      'build_failed', `${file.path} is not valid WebAssembly text`, output, { cause });
  }
}
