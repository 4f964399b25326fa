/**
 * What is refused at deploy: each with its code, the section, the offset, and for limits the value
 * and the limit.
 */
import t from 'tap';
import * as limits from '../../../contract/limits.ts';
import { rewrite } from '../../../pool/rewrite/index.ts';
import { Writer } from '../../../pool/rewrite/writer.ts';
import { thrown, wat } from './host.ts';

const MIB = 2 ** 20;
const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

function refused(source: Uint8Array, code: string, message: RegExp, name: string): void {
  const error = thrown(() => rewrite(source, { memoryBytesMax: 64 * MIB }));
  t.match(error, { name: 'WardianError', code, message }, name);
}

interface Section {
  id: number;
  content: (writer: Writer) => void;
}

function binary(...sections: Section[]): Uint8Array {
  const out = new Writer();
  out.list(HEADER);
  for (const { id, content } of sections) {
    const writer = new Writer();
    content(writer);
    out.u8(id);
    out.sized(writer);
  }
  return out.take();
}

/** A section of `count` entries, all alike. */
function repeated(id: number, count: number, entry: readonly number[]): Section {
  return {
    id,
    content: (writer) => {
      writer.u32(count);
      for (let i = 0; i < count; i++) writer.list(entry);
    },
  };
}

const TYPE = repeated(1, 1, [0x60, 0, 0]);
const FUNCTION = repeated(3, 1, [0]);

/** A module with one function of type () -> () and these bytes as its body. */
function withBody(...bytes: readonly (number | readonly number[])[]): Uint8Array {
  return binary(TYPE, FUNCTION, {
    id: 10,
    content: (writer) => {
      const body = new Writer();
      for (const part of bytes) body.list(typeof part === 'number' ? [part] : part);
      writer.u8(1);
      writer.sized(body);
    },
  });
}

refused(new Uint8Array(0), 'not_wasm', /not a WebAssembly module/, 'empty');
refused(Buffer.from('#!/bin/sh'), 'not_wasm', /not a WebAssembly module/, 'a script');
refused(Uint8Array.from(HEADER.slice(0, 6)), 'malformed_module', /header.*offset 6/, 'cut header');
refused(Uint8Array.from([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]), 'unsupported_feature', /component/,
  'a component');
refused(new Uint8Array(limits.MODULE_BYTES_MAX + 1), 'module_too_large',
  new RegExp(`${limits.MODULE_BYTES_MAX + 1}.*limit is ${limits.MODULE_BYTES_MAX}`), 'too large');
refused(Uint8Array.from([...HEADER, 1, 5, 1]), 'malformed_module', /past the end \(offset 8\)/,
  'cut section');
refused(Uint8Array.from([...HEADER, 14, 0]), 'malformed_module', /unknown section 14/, '14');
refused(binary(FUNCTION, TYPE), 'malformed_module', /type/, 'order of sections');
refused(binary(TYPE, FUNCTION), 'malformed_module', /0 bodies for 1 functions/, 'no code');
refused(binary({ id: 1, content: (writer) => writer.list([0, 0]) }), 'malformed_module',
  /type section: bytes behind the content \(offset 11\)/, 'left over bytes');

for (const [name, text, feature] of [
  ['GC struct', '', /GC types are not supported: struct/],
  ['memory64', '(memory i64 1)', /memory64/],
  ['table64', '(table i64 1 funcref)', /memory64/],
  ['shared memory', '(memory 1 2 shared)', /shared memory/],
  ['atomics', '(memory 1) (func (drop (i32.atomic.load (i32.const 0))))', /threads/],
  ['multi-memory', '(memory 1) (memory 1)', /more than one memory/],
  ['imported tag', '(import "env" "t" (tag))', /imported tags/],
] as const) {
  const source = text === '' ? binary(repeated(1, 1, [0x5f, 0])) : null;
  try {
    refused(source ?? wat(`(module ${text})`, false), 'unsupported_feature', feature, name);
  } catch (error) {
    // This wabt does not know the syntax: the same as bytes.
    if (name !== 'table64') throw error;
    refused(binary(repeated(4, 1, [0x70, 4, 1])), 'unsupported_feature', feature, name);
  }
}
for (const [name, body] of [
  ['array.new', [0xfb, 6, 0]], ['ref.eq', [0xd3]], ['ref.null any', [0xd0, 0x6e]],
  ['ref.null none', [0xd0, 0x71]],
] as const) {
  refused(withBody(0, body, 0x0b), 'unsupported_feature', /GC .*are not supported/, name);
}
refused(withBody(0, [0x41, 0, 0x28, 0x42, 1, 0, 0x1a], 0x0b), 'unsupported_feature',
  /code section, function 0: more than one memory/, 'a load with a memory index');

const over = (limit: number): RegExp => new RegExp(`${limit + 1}, the limit is ${limit}`);
for (const [name, limit, source] of [
  ['types', limits.TYPES_MAX, binary(repeated(1, limits.TYPES_MAX + 1, [0x60, 0, 0]))],
  ['functions', limits.FUNCTIONS_MAX, binary(TYPE, repeated(3, limits.FUNCTIONS_MAX + 1, [0]))],
  ['imports', limits.IMPORTS_MAX,
    binary(TYPE, repeated(2, limits.IMPORTS_MAX + 1, [1, 0x65, 1, 0x66, 0, 0]))],
  ['tables', limits.TABLES_MAX, binary(repeated(4, limits.TABLES_MAX + 1, [0x70, 0, 1]))],
  ['globals', limits.GLOBALS_MAX,
    binary(repeated(6, limits.GLOBALS_MAX + 1, [0x7f, 0, 0x41, 0, 0x0b]))],
  ['exports', limits.EXPORTS_MAX,
    binary(repeated(5, 1, [0, 1]), repeated(7, limits.EXPORTS_MAX + 1, [1, 0x61, 2, 0]))],
  ['element segments', limits.SEGMENTS_MAX,
    binary(repeated(9, limits.SEGMENTS_MAX + 1, [1, 0, 0]))],
  ['data segments', limits.SEGMENTS_MAX, binary(repeated(11, limits.SEGMENTS_MAX + 1, [1, 0]))],
  ['parameters', limits.PARAMETERS_MAX, binary({
    id: 1,
    content: (writer) => {
      writer.list([1, 0x60]);
      writer.u32(limits.PARAMETERS_MAX + 1);
      for (let i = 0; i <= limits.PARAMETERS_MAX; i++) writer.u8(0x7f);
      writer.u8(0);
    },
  })],
] as const) {
  refused(source, 'module_limit', over(limit), name);
}

refused(Uint8Array.from([...HEADER, ...Array.from({ length: limits.CUSTOM_SECTIONS_MAX + 1 },
  () => [0, 1, 0]).flat()]), 'module_limit', over(limits.CUSTOM_SECTIONS_MAX), 'custom sections');

const leb = (value: number): number[] => {
  const writer = new Writer();
  writer.u32(value);
  return [...writer.take()];
};

refused(withBody(1, leb(50_001), 0x7f, 0x0b), 'module_limit',
  /function 0: too many locals: 50001, the limit is 19998/, 'locals');
refused(withBody(2, leb(2 ** 32 - 1), 0x7f, leb(2 ** 32 - 1), 0x7f, 0x0b), 'module_limit',
  /too many locals/, 'locals that wrap');
refused(withBody(0, ...Array.from({ length: limits.NESTING_MAX + 1 }, () => [0x02, 0x40]),
  ...Array<number>(limits.NESTING_MAX + 2).fill(0x0b)), 'module_limit', /nested too deep/,
'nesting');
refused(withBody(0, 0x41, 0, 0x0e, leb(limits.BR_TABLE_TARGETS_MAX + 1),
  Array<number>(limits.BR_TABLE_TARGETS_MAX + 2).fill(0), 0x0b), 'module_limit',
over(limits.BR_TABLE_TARGETS_MAX), 'br_table targets');
refused(withBody(0, Array<number>(limits.FUNCTION_BODY_BYTES_MAX).fill(0x01), 0x0b), 'module_limit',
  /function body too large/, 'body size');

const invalid = [
  ['a type error', '(func (result i32))', /code section.*function/],
  ['a missing memory', '(func (drop (memory.size)))', /malformed|section|module/],
  ['an unknown local', '(func (drop (local.get 3)))', /code section/],
  ['the global that will be the fuel', '(func (global.set 0 (i64.const 1)))', /code section/],
  ['the wrapper of an import', '(import "e" "h" (func)) (func (call 2))', /does not exist/],
  ['the local that will hold the fuel', '(func (local i32) (local.set 1 (i64.const 9)))',
    /code section/],
  ['a reserved global in a constant', '(global i32 (global.get 1))', /global section/],
  ['export names twice', '(func (export "a")) (func (export "a"))', /export section/],
] as const;
for (const [name, text, message] of invalid) {
  refused(wat(`(module ${text})`, false), 'malformed_module', message, name);
}
refused(withBody(0, 0xff, 0x0b), 'malformed_module', /unknown opcode 0xff \(offset \d+\)/, '0xff');
refused(withBody(0, 0x0c, 5, 0x0b), 'malformed_module', /label 5 does not exist/, 'label');
refused(withBody(0, 0x10, 5, 0x0b), 'malformed_module', /function 5 does not exist/, 'function');
refused(withBody(0, 0x01), 'malformed_module', /unexpected end/, 'no end');
refused(withBody(0, 0x0b, 0x01), 'malformed_module', /code behind the end/, 'code behind end');
refused(withBody(0, 0x05, 0x0b), 'malformed_module', /else or catch without/, 'else');

const EXCEPTION = [[0x69], [0x63, 0x69], [0x64, 0x69]] as const;
for (const type of EXCEPTION) {
  refused(binary(repeated(1, 1, [0x60, 1, ...type, 0]), repeated(13, 1, [0, 0])),
    'unsupported_feature', /^tag section: exceptions in exceptions are not supported \(offset/,
    `a tag with a parameter of type ${type.join()}`);
}
for (const type of EXCEPTION.slice(0, 2)) {
  refused(binary(TYPE, repeated(4, 1, [...type, 0, 9])), 'unsupported_feature',
    /^table section: tables of exceptions are not supported \(offset/,
    `a table of type ${type.join()}`);
}
refused(binary(repeated(1, 1, [0x60, 17, ...Array<number>(17).fill(0x7b), 0]),
  repeated(13, 1, [0, 0])), 'module_limit',
  new RegExp(`values of an exception: 17, the limit is ${limits.TAG_PARAMETERS_MAX}`),
  'an exception of 17 values');
t.end();
