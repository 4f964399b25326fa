/**
 * A function table that nothing can change is no table but a list: each `call_indirect` becomes a
 * call of a dispatcher, which branches on the index (`br_table`) to the functions of the type that
 * is wanted and traps for all others. An instance then needs no table, whose making and collecting
 * is what costs most of an instantiation: 15 of 35 µs for a Rust guest with 155 entries.
 *
 * Tables qualify that are defined here, alone, filled by active segments with constant offsets
 * alone, and used by nothing but `call_indirect`. The trap of a wrong index or type is
 * `unreachable` in a function named DISPATCHER_NAME; a guest cannot tell traps apart.
 */
import { DISPATCH_TARGETS_MAX, STATIC_TABLE_ENTRIES_MAX } from '../../contract/limits.ts';
import { DISPATCHER_NAME } from '../../contract/reserved.ts';
import { mapFunction, type Module } from './module.ts';
import { isOneByte, type FuncType } from './valtypes.ts';
import { Writer } from './writer.ts';

/**
 * More parameters than this, handed on once for every entry, would be what `WIDE_VALUES_MAX` bounds
 * in the guest's own code.
 */
const PARAMETERS_HANDED_ON_MAX = 16;
const EMPTY = -1;
const I32 = 0x7f;
const FUNCREF = 0x70;

export interface ActiveSegment {
  readonly table: number;
  /** Null when it is not a plain `i32.const`. */
  readonly offset: number | null;
  /** Function indices of the source. Null when an entry is not a function. */
  readonly functions: readonly number[] | null;
}

interface Dispatcher {
  /** The type of the source that names the parameters and results. */
  readonly typeIndex: number;
  readonly key: string;
}

const keyOf = (type: FuncType): string => `${type.params.join()}>${type.results.join()}`;

/** Types whose parameters are one byte each: those that the dispatcher's type can be made of. */
const isPlain = (type: FuncType): boolean =>
  type.params.every(isOneByte) && type.results.every(isOneByte);

/** The entries of table 0, or null when it has to stay a table. */
export function staticEntries(module: Module): Int32Array | null {
  const [table] = module.tables;
  if (table === undefined || module.tables.length > 1 || table.imported || table.init !== null)
    return null;
  if (table.refType.length !== 1 || table.refType[0] !== FUNCREF) return null;
  if (table.initial > STATIC_TABLE_ENTRIES_MAX || module.otherSegments > 0) return null;
  if (!module.types.every(isPlain)) return null;
  const entries = new Int32Array(table.initial).fill(EMPTY);
  for (const { table: index, offset, functions } of module.activeSegments) {
    if (index !== 0 || offset === null || functions === null) return null;
    if (offset < 0 || offset + functions.length > entries.length) return null;
    entries.set(functions, offset);
  }
  return entries;
}

/** Hands out dispatchers as bodies ask for them, and writes them. */
export class StaticTable {
  readonly entries: Int32Array;
  readonly dispatchers: Dispatcher[] = [];
  readonly #module: Module;
  readonly #source: Uint8Array;
  readonly #firstFunction: number;
  readonly #byKey = new Map<string, number>();
  /** A key is as long as the type; bodies ask for the same few types again and again. */
  readonly #byType = new Map<number, number>();
  #wide = false;

  constructor(module: Module, source: Uint8Array, entries: Int32Array, firstFunction: number) {
    this.entries = entries;
    this.#module = module;
    this.#source = source;
    this.#firstFunction = firstFunction;
  }

  /** True once the dispatchers together would branch to, or hand on, more than is reasonable. */
  get tooLarge(): boolean {
    return this.#wide || this.dispatchers.length * this.entries.length > DISPATCH_TARGETS_MAX;
  }

  /** The function that calls an entry of that type. Types of one shape share one. */
  functionFor(typeIndex: number): number {
    let known = this.#byType.get(typeIndex);
    if (known === undefined) {
      known = this.#dispatcherFor(typeIndex);
      this.#byType.set(typeIndex, known);
    }
    return this.#firstFunction + known;
  }

  #dispatcherFor(typeIndex: number): number {
    const key = keyOf(this.#module.types[typeIndex]!);
    let at = this.#byKey.get(key);
    if (at === undefined) {
      const { params } = this.#module.types[typeIndex]!;
      this.#wide ||= params.length > PARAMETERS_HANDED_ON_MAX;
      at = this.dispatchers.length;
      this.#byKey.set(key, at);
      this.dispatchers.push({ typeIndex, key });
    }
    return at;
  }

  /** The dispatcher through which the host calls `(i32) -> i32` entries, or null without any. */
  hostFunction(): number | null {
    const wanted = this.#module.types.findIndex((type) => keyOf(type) === 'i32>i32');
    if (wanted < 0) return null;
    const has = this.entries.some(
      (index) => index !== EMPTY && this.#keyOfFunction(index) === 'i32>i32',
    );
    return has ? this.functionFor(wanted) : null;
  }

  #keyOfFunction(index: number): string {
    return keyOf(this.#module.types[this.#module.functions[index]!]!);
  }

  /** The type of a dispatcher: the parameters wanted, then the table index. */
  writeType(writer: Writer, { typeIndex }: Dispatcher): void {
    const type = this.#module.types[typeIndex]!;
    const resultsFrom = type.paramsFrom + type.params.length;
    writer.u8(0x60);
    writer.u32(type.params.length + 1);
    writer.copy(this.#source, type.paramsFrom, resultsFrom);
    writer.u8(I32);
    writer.copy(this.#source, resultsFrom, type.to);
  }

  /** Blocks nested one in the other, one for each function that the index may reach. */
  body({ typeIndex, key }: Dispatcher): Writer {
    const parameters = this.#module.types[typeIndex]!.params.length;
    const depths = new Map<number, number>();
    for (const index of this.entries) {
      if (index !== EMPTY && this.#keyOfFunction(index) === key && !depths.has(index)) {
        depths.set(index, depths.size);
      }
    }
    const writer = new Writer(this.entries.length * 2 + depths.size * (parameters * 2 + 8) + 32);
    writer.u8(0x00);
    for (let i = 0; i <= depths.size; i++) writer.list([0x02, 0x40]);
    writer.u8(0x20);
    writer.u32(parameters);
    writer.u8(0x0e);
    writer.u32(this.entries.length);
    for (const index of this.entries) writer.u32(depths.get(index) ?? depths.size);
    writer.u32(depths.size);
    for (const index of depths.keys()) {
      writer.u8(0x0b);
      for (let i = 0; i < parameters; i++) {
        writer.u8(0x20);
        writer.u32(i);
      }
      writer.u8(0x12); // return_call: no frame of ours stays on the guest's stack
      writer.u32(mapFunction(this.#module, index));
    }
    writer.list([0x0b, 0x00, 0x0b]);
    return writer;
  }

  names(): [number, string][] {
    return this.dispatchers.map((_, i) => [this.#firstFunction + i, DISPATCHER_NAME]);
  }
}
