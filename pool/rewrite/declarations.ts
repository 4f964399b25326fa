/**
 * Decodes the sections that declare: types, imports, functions, tables, memories, tags, globals.
 */
import {
  FUNCTIONS_MAX, GLOBALS_MAX, IMPORTS_MAX, PARAMETERS_MAX, RESULTS_MAX, TABLES_MAX,
  TAG_PARAMETERS_MAX, TYPES_MAX,
} from '../../contract/limits.ts';
import { RESERVED_PREFIX } from '../../contract/reserved.ts';
import { constExpr } from './constexpr.ts';
import type { ExternKind, Module } from './module.ts';
import { Reader } from './reader.ts';
import { isException, refType, valType, type ValType } from './valtypes.ts';
import { Writer } from './writer.ts';

function valTypes(reader: Reader, count: number): ValType[] {
  const types: ValType[] = [];
  for (let i = 0; i < count; i++) types.push(valType(reader));
  return types;
}

export function typeSection(reader: Reader, module: Module): void {
  const count = reader.count('types', TYPES_MAX);
  module.typesFrom = reader.pos;
  for (let i = 0; i < count; i++) {
    const at = reader.pos;
    const form = reader.u8();
    if (form === 0x5e || form === 0x5f || (form >= 0x4c && form <= 0x50)) {
      const name = { 0x5e: 'array', 0x5f: 'struct', 0x4e: 'rec' }[form] ?? 'sub';
      reader.refuse('unsupported_feature', `GC types are not supported: ${name}`, at);
    }
    if (form !== 0x60) reader.fail(`unknown type form 0x${form.toString(16)}`, at);
    const parameters = reader.count('parameters', PARAMETERS_MAX);
    const paramsFrom = reader.pos;
    const params = valTypes(reader, parameters);
    const results = valTypes(reader, reader.count('results', RESULTS_MAX));
    module.types.push({ params, results, paramsFrom, to: reader.pos });
  }
  module.typesTo = reader.pos;
}

function typeIndex(reader: Reader, module: Module): number {
  const at = reader.pos;
  const index = reader.u32();
  if (index >= module.types.length) reader.fail(`type ${index} does not exist`, at);
  return index;
}

const KINDS: readonly ExternKind[] = ['func', 'table', 'memory', 'global', 'tag'];

function reservedFree(reader: Reader, name: string, at: number): void {
  if (!name.startsWith(RESERVED_PREFIX)) return;
  reader.refuse('reserved_name', `the name ${JSON.stringify(name.slice(0, 80))} begins with `
    + `${RESERVED_PREFIX}, which is reserved`, at);
}

export function importSection(reader: Reader, module: Module): void {
  const count = reader.count('imports', IMPORTS_MAX);
  for (let i = 0; i < count; i++) {
    const from = reader.pos;
    const moduleName = reader.name();
    const name = reader.name();
    reservedFree(reader, moduleName, from);
    reservedFree(reader, name, from);
    const kindAt = reader.pos;
    const kind = KINDS[reader.u8()];
    if (kind === undefined) reader.fail('unknown import kind', kindAt);
    const index = importDescription(reader, module, kind);
    module.imports.push({
      module: moduleName, name, kind, typeIndex: index, from, kindAt, to: reader.pos,
    });
  }
}

/** Reads what stands behind an import's kind byte; answers a function's type index, otherwise 0. */
function importDescription(reader: Reader, module: Module, kind: ExternKind): number {
  const at = reader.pos;
  switch (kind) {
    case 'func': {
      const index = typeIndex(reader, module);
      // The context comes in front of the parameters and must fit as well.
      reader.atMost(module.types[index]!.params.length, PARAMETERS_MAX - 1,
        'too many parameters of an imported function');
      module.functions.push(index);
      module.importedFunctions++;
      return index;
    }
    case 'table':
      addTable(reader, module, true);
      return 0;
    case 'memory':
      addMemory(reader, module, true);
      return 0;
    case 'global':
      globalType(reader);
      module.globalCount++;
      return 0;
    case 'tag':
      return reader.refuse('unsupported_feature', 'imported tags are not supported', at);
  }
}

export function functionSection(reader: Reader, module: Module): void {
  const from = reader.pos;
  const count = reader.count('functions', FUNCTIONS_MAX);
  for (let i = 0; i < count; i++) module.functions.push(typeIndex(reader, module));
  module.functionRange = { from, to: reader.pos };
}

export function tableSection(reader: Reader, module: Module): void {
  const count = reader.count('tables', TABLES_MAX);
  for (let i = 0; i < count; i++) addTable(reader, module, false);
}

function addTable(reader: Reader, module: Module, imported: boolean): void {
  let withInit = false;
  if (!imported && reader.bytes[reader.pos] === 0x40 && reader.pos + 1 < reader.end) {
    reader.skip(1);
    if (reader.u8() !== 0) reader.fail('malformed table');
    withInit = true;
  }
  const typeFrom = reader.pos;
  if (isException(refType(reader))) {
    reader.refuse('unsupported_feature', 'tables of exceptions are not supported', typeFrom);
  }
  const typeTo = reader.pos;
  const { initial, maximum } = limits(reader, 'table');
  let init: Uint8Array | null = null;
  if (withInit) {
    const writer = new Writer(16);
    constExpr(reader, writer, module);
    init = writer.take();
  }
  module.tables.push({
    imported, initial, maximum, grows: false, init,
    refType: reader.bytes.subarray(typeFrom, typeTo),
  });
  if (module.tables.length > TABLES_MAX) {
    reader.atMost(module.tables.length, TABLES_MAX, 'too many tables');
  }
}

function limits(reader: Reader, what: string): { initial: number; maximum: number | null } {
  const at = reader.pos;
  const flags = reader.u8();
  if (flags > 7) reader.fail(`unknown ${what} limits 0x${flags.toString(16)}`, at);
  if ((flags & 4) !== 0) reader.refuse('unsupported_feature', 'memory64 is not supported', at);
  if ((flags & 2) !== 0) {
    reader.refuse('unsupported_feature', 'threads and shared memory are not supported', at);
  }
  const initial = reader.u32();
  const maximum = flags === 1 ? reader.u32() : null;
  return { initial, maximum };
}

export function memorySection(reader: Reader, module: Module): void {
  const count = reader.u32();
  for (let i = 0; i < count; i++) addMemory(reader, module, false);
}

function addMemory(reader: Reader, module: Module, imported: boolean): void {
  const at = reader.pos;
  const { initial, maximum } = limits(reader, 'memory');
  if (module.memory !== null) {
    reader.refuse('unsupported_feature', 'more than one memory is not supported', at);
  }
  if (initial > 65536 || (maximum !== null && (maximum > 65536 || maximum < initial))) {
    reader.fail('memory size over 65536 pages, or minimum over maximum', at);
  }
  module.memory = { imported, initialPages: initial, maximumPages: maximum };
}

/**
 * An exception lives on the worker's heap, which no limit of a guest counts. What refers to one is
 * on the guest's stack, whose size bounds how many there are, or in one of `GLOBALS_MAX` globals:
 * exceptions that refer to exceptions, and tables of them, would hold any number.
 */
export function tagSection(reader: Reader, module: Module): void {
  const from = reader.pos;
  const count = reader.count('tags', TYPES_MAX);
  for (let i = 0; i < count; i++) {
    if (reader.u8() !== 0) reader.fail('unknown tag attribute', reader.pos - 1);
    const at = reader.pos;
    const index = typeIndex(reader, module);
    const { params } = module.types[index]!;
    reader.atMost(params.length, TAG_PARAMETERS_MAX, 'too many values of an exception');
    if (params.some(isException)) {
      reader.refuse('unsupported_feature', 'exceptions in exceptions are not supported', at);
    }
    module.tags.push(index);
  }
  module.tagRange = { from, to: reader.pos };
}

function globalType(reader: Reader): void {
  valType(reader);
  const at = reader.pos;
  const flags = reader.u8();
  if (flags > 3) reader.fail('unknown mutability', at);
  if ((flags & 2) !== 0) {
    reader.refuse('unsupported_feature', 'threads and shared globals are not supported', at);
  }
}

export function globalSection(reader: Reader, module: Module): void {
  const count = reader.count('globals', GLOBALS_MAX);
  for (let i = 0; i < count; i++) {
    const from = reader.pos;
    globalType(reader);
    module.globals.copy(reader.bytes, from, reader.pos);
    constExpr(reader, module.globals, module);
    module.globalCount++;
    module.definedGlobals++;
  }
}

export { KINDS, reservedFree };
