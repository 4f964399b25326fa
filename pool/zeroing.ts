/**
 * Cleans a memory by looking first: most of what a guest may touch it never does, and reading is
 * cheaper than writing, which also takes a page of the machine for every page that was never
 * touched. In wasm, because there a step of 256 bytes is sixteen loads and one comparison; the text
 * is in `test/pool/zeroing.test.ts`.
 *
 * Measured with a tenth of the memory dirty: 4.0 µs instead of 5.4 for 256 KiB, 17 instead of 26
 * for 1.1 MiB; with all of it dirty, 27 instead of 24.5.
 */

/** `(length)`: every byte below it is 0 afterwards. A multiple of 4,096, at least one. */
export type Zero = (length: number) => void;

/** Imports the memory and exports the function, both under the empty name. */
export const ZEROING_MODULE: Uint8Array<ArrayBuffer> = Uint8Array.from(Buffer.from(
  'AGFzbQEAAAABBQFgAX8AAgYBAAACAAADAgEABwQBAAAACs0BAcoBAQJ/A0AgAUGAIGohAgJAAkADQCAB/QAEACAB'
  + '/QAEEP1QIAH9AAQgIAH9AAQw/VD9UCAB/QAEQCAB/QAEUP1QIAH9AARgIAH9AARw/VD9UP1QIAH9AASAASAB/QAE'
  + 'kAH9UCAB/QAEoAEgAf0ABLAB/VD9UCAB/QAEwAEgAf0ABNAB/VAgAf0ABOABIAH9AATwAf1Q/VD9UP1Q/VMNASAB'
  + 'QYACaiEBIAEgAkkNAAsMAQsgAUEAIAIgAWv8CwAgAiEBCyABIABJDQALCw==',
  'base64',
));

let compiled: WebAssembly.Module | null = null;

/** The function for this memory, whatever it grows to. */
export function zeroing(memory: WebAssembly.Memory): Zero {
  compiled ??= new WebAssembly.Module(ZEROING_MODULE);
  const { exports } = new WebAssembly.Instance(compiled, { '': { '': memory } });
  return exports[''] as Zero;
}
