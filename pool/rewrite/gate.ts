/**
 * The gate: the one import behind which all numbered hostcalls lie. V8 looks up and binds every
 * function import at every instantiation, 0.4 µs each; a guest with eleven hostcalls is ready 5 µs
 * sooner with one.
 *
 *   source      import 0 … n−1 │ functions n …
 *   rewritten   others, gate   │ fillers up to n │ functions n … │ a wrapper for each import
 *
 * Fillers keep the numbers of the guest's own functions; nothing calls them.
 */
import { HOST_MODULE, HOSTCALL_IMPORT, HOSTCALL_PARAMETERS } from '../../contract/reserved.ts';
import type { Module } from './module.ts';
import type { Writer } from './writer.ts';

/** A sized body that fits every type: no locals, unreachable, end. */
export const FILLER: readonly number[] = [0x03, 0x00, 0x00, 0x0b];

const I32 = 0x7f;
const ALL = 2 + HOSTCALL_PARAMETERS;
/** The context, the number, the parameters. */
export const GATE_TYPE: readonly number[] = [0x60, ALL, ...Array<number>(ALL).fill(I32), 1, I32];

/** Numbers of hostcalls by module and name; what is not in it is imported as it is. */
export type HostcallNumbers = ReadonlyMap<string, ReadonlyMap<string, number>>;

export interface Gate {
  /** For each function import its number at the gate, or null: it is imported as it is. */
  readonly numbers: readonly (number | null)[];
  /** For each function import the import that its wrapper calls. */
  readonly targets: readonly number[];
  /** Whether there is a gate. */
  readonly exists: boolean;
  readonly fillers: number;
}

/** One would save nothing. */
const NUMBERED_MIN = 2;

export function gateOf(module: Module, numbers: HostcallNumbers | undefined): Gate {
  const found: (number | null)[] = [];
  for (const entry of module.imports) {
    if (entry.kind !== 'func') continue;
    const number = numbers?.get(entry.module)?.get(entry.name) ?? null;
    found.push(fits(module, entry.typeIndex) ? number : null);
  }
  const numbered = found.filter((number) => number !== null).length;
  if (numbered < NUMBERED_MIN) {
    return {
      numbers: found.map(() => null), targets: found.map((_, i) => i), exists: false, fillers: 0,
    };
  }
  let next = 0;
  const gate = found.length - numbered;
  const targets = found.map((number) => (number === null ? next++ : gate));
  return { numbers: found, targets, exists: true, fillers: numbered - 1 };
}

/** What is imported under another type than the hostcall has is refused elsewhere. */
function fits(module: Module, typeIndex: number): boolean {
  const type = module.types[typeIndex];
  return type !== undefined && type.params.length <= HOSTCALL_PARAMETERS
    && type.params.every((param) => param === 'i32') && type.results.length <= 1
    && type.results.every((result) => result === 'i32');
}

/** Behind all other functions: `targets` count on it. */
export function writeGateImport(writer: Writer, typeIndex: number): void {
  writer.name(HOST_MODULE);
  writer.name(HOSTCALL_IMPORT);
  writer.u8(0x00);
  writer.u32(typeIndex);
}
