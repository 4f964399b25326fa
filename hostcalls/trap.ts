/**
 * Genuine traps. V8 lets a guest's `catch_all` or `try_table` catch every JavaScript error that a
 * hostcall throws, but not the error objects that it made itself for a trap; so what has to end a
 * guest is such an object, thrown from a module of one function that does nothing else. It is made
 * afresh each time: its stack then names the guest's frames.
 */

import { demangled } from './demangle.ts';

/** `(module (func (export "trap") unreachable))` */
const TRAP_MODULE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version 1
  0x01, 0x04, 0x01, 0x60, 0x00, 0x00, // type: () -> ()
  0x03, 0x02, 0x01, 0x00, // one function of that type
  0x07, 0x08, 0x01, 0x04, 0x74, 0x72, 0x61, 0x70, 0x00, 0x00, // exported as "trap"
  0x0a, 0x05, 0x01, 0x03, 0x00, 0x00, 0x0b, // unreachable
]);

/** Frames kept of a guest's stack, innermost first. */
const FRAMES_MAX = 32;

const trapFunction = new WebAssembly.Instance(new WebAssembly.Module(TRAP_MODULE), {})
  .exports['trap'] as () => void;

/**
 * A trap that no guest handler can catch, whether thrown by a hostcall or as the reason of a
 * rejection.
 */
export function genuineTrap(): WebAssembly.RuntimeError {
  const limitBefore = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES_MAX + 8;
  try {
    trapFunction();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) return error;
    // The host's own stack is used up: V8 gives an error of its own, which guests cannot catch
    // either.
    throw error;
  } finally {
    Error.stackTraceLimit = limitBefore;
  }
  throw new Error('unreachable returned');
}

/** `at name (wasm://wasm/hash:wasm-function[index]:0xoffset)`; without a name, no parentheses. */
const WASM_FRAME = /^\s+at (?:(.*) \()?wasm:\/\/wasm\/\S*?wasm-function\[(\d+)\]:0x([0-9a-f]+)\)?$/;

/**
 * The guest's frames of an error's stack, innermost first, as `name@offset` (offset in the
 * rewritten module, hex) or `function[index]@offset` where the module has no names; Rust's names as
 * in the source. `skip` leaves out that many innermost wasm frames.
 */
export function guestFrames(error: Error, skip = 0): string[] {
  const frames: string[] = [];
  for (const line of (error.stack ?? '').split('\n')) {
    const match = WASM_FRAME.exec(line);
    if (match === null) continue;
    const [, name, index, offset] = match;
    // V8 writes `module.function` where the module has a name.
    frames.push(`${name === undefined ? `function[${index}]` : demangled(name)}@0x${offset}`);
    if (frames.length === FRAMES_MAX + skip) break;
  }
  return frames.slice(skip);
}
