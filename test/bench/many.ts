/** Guests in number and size: what benches deploy when one hello is not enough. */

import { readFileSync } from 'node:fs';
import type { Daemon } from '../harness/daemon.ts';
import { assemble } from '../pool/world.ts';

const CONCURRENT_DEPLOYS = 4;
const CUSTOM_SECTION = 0;
const SECTION_NAME = 'nonce';

function leb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return bytes;
}

/** The same guest with a custom section of its own: another module, compiled and kept apart. */
export function variant(wasm: Uint8Array, number: number): Uint8Array {
  const text = new TextEncoder().encode(`${SECTION_NAME}${number}`);
  const content = [...leb(SECTION_NAME.length), ...text];
  return Buffer.concat([wasm, Buffer.from([CUSTOM_SECTION, ...leb(content.length), ...content])]);
}

/** Deploys variants of an example as `app-0`, `app-1`, …; answers their hosts. */
export function deployMany(daemon: Daemon, example: string, count: number): Promise<string[]> {
  const wasm = readFileSync(
    new URL(`../../guests/examples/${example}/${example}.wasm`, import.meta.url));
  return deployEach(daemon, count, (number) => variant(wasm, number));
}

/** Deploys what `make` makes of 0, 1, … as `app-0`, `app-1`, …; answers their hosts. */
export async function deployEach(
  daemon: Daemon, count: number, make: (number: number) => Uint8Array,
): Promise<string[]> {
  let next = 0;
  await Promise.all(Array.from({ length: CONCURRENT_DEPLOYS }, async () => {
    while (next < count) {
      const number = next++;
      await daemon.deploy(`app-${number}`, make(number));
    }
  }));
  return Array.from({ length: count }, (_, number) => `app-${number}.localhost`);
}

const FUNCTION_TURNS = 24;

function filler(index: number): string {
  const steps = Array.from({ length: FUNCTION_TURNS }, (_, turn) =>
    `(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const ${1_000 + index * 31 + turn}))`
    + ' (i32.rotl (local.get 0) (i32.const 7))))');
  return `(func $f${index} (param i32) (result i32) ${steps.join(' ')} (local.get 0))`;
}

const RUNS_A_TENTH = 10;

/**
 * A module of about so many bytes, all of it code, of which a request runs one function in `step`;
 * `number` makes it another module.
 */
export function largeModule(bytes: number, number: number, step = RUNS_A_TENTH): Uint8Array {
  const BYTES_PER_FUNCTION = 17 * FUNCTION_TURNS;
  const count = Math.ceil(bytes / BYTES_PER_FUNCTION);
  const calls = Array.from({ length: Math.ceil(count / step) }, (_, index) =>
    `(local.set 0 (call $f${index * step} (local.get 0)))`);
  return assemble(`(module
    (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
    (memory 17 64)
    ${Array.from({ length: count }, (_, index) => filler(index + number * count)
      .replace(`$f${index + number * count} `, `$f${index} `)).join('\n')}
    (func (export "run") (local i32)
      ${calls.join('\n')}
      (i32.store (i32.const 0) (local.get 0))
      (drop (call $status (i32.const 0) (i32.const 200)))))`);
}
