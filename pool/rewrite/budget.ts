/**
 * Memory and tables share the tenant's bytes. Tables are counted by what they may grow to: only a
 * table that some instruction grows can pass its initial size, and all of those together get at
 * most an eighth of the bytes to grow.
 */
import { WardianError } from '../../contract/errors.ts';
import {
  TABLE_ENTRIES_MAX, TABLE_ENTRY_BYTES, WASM_PAGE_BYTES,
} from '../../contract/limits.ts';
import type { Module } from './module.ts';

export interface Budget {
  /** Of each table, in their order; null where an imported one keeps what it declares. */
  tableMaxima: (number | null)[];
  tableEntries: number;
  maximumPages: number;
}

const GROWTH_SHARE = 8;

export function budget(
  module: Module, memoryBytesMax: number, tableEntriesMax: number | undefined,
): Budget {
  const entriesMax = Math.min(TABLE_ENTRIES_MAX,
    tableEntriesMax ?? Math.floor(memoryBytesMax / TABLE_ENTRY_BYTES));
  let initial = module.passiveEntries;
  for (const table of module.tables) if (!table.imported) initial += table.initial;
  if (initial > entriesMax) {
    throw new WardianError('module_limit', 'table section: tables and passive element segments '
      + `have ${initial} entries together, the limit is ${entriesMax}`);
  }
  const minimumBytes = (module.memory?.initialPages ?? 0) * WASM_PAGE_BYTES;
  const needed = minimumBytes + initial * TABLE_ENTRY_BYTES;
  if (needed > memoryBytesMax) {
    throw new WardianError('module_limit', 'memory section: out of memory: the module needs '
      + `${needed} bytes of memory and tables to begin with, the limit is ${memoryBytesMax}`);
  }
  const growthBytes = Math.min(memoryBytesMax / GROWTH_SHARE, memoryBytesMax - needed);
  let growth = Math.min(entriesMax - initial, Math.floor(growthBytes / TABLE_ENTRY_BYTES));
  let growing = module.tables.filter((table) => table.grows).length;
  let entries = initial;
  const tableMaxima = module.tables.map((table) => {
    if (table.imported) return null;
    if (!table.grows) return table.initial;
    const wanted = Math.max(table.maximum ?? TABLE_ENTRIES_MAX, table.initial);
    const added = Math.min(wanted - table.initial, Math.floor(growth / growing--));
    growth -= added;
    entries += added;
    return table.initial + added;
  });
  const left = Math.floor((memoryBytesMax - entries * TABLE_ENTRY_BYTES) / WASM_PAGE_BYTES);
  const maximumPages = Math.min(module.memory?.maximumPages ?? 65_536, left, 65_536);
  return { tableMaxima, tableEntries: entries, maximumPages };
}
