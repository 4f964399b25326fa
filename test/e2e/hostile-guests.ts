/**
 * Hostile guests written byte by byte: those that use exceptions and functions as values, which the
 * tests' assembler does not know, and those that are too large for it.
 */

import { Writer } from '../../pool/rewrite/writer.ts';

const EMPTY = [0x60, 0, 0];
const EXNREF = 0x69;
const V128 = 0x7b;
const END = 0x0b;
/** `try_table (catch_all_ref $label)`, without a value of its own. */
const tryTable = (label: number): number[] => [0x1f, 0x40, 1, 3, label];
const LOOP = [0x03, 0x40];
const BLOCK_EXNREF = [0x02, EXNREF];
const again = (label: number): number[] => [0x0c, label];

interface Parts {
  /** Types, the first of which has neither parameters nor results: it is `run`'s. */
  readonly types?: readonly (readonly number[])[];
  /** One function that the host provides: its module, its name, its type. */
  readonly hostcall?: readonly [module: string, name: string, type: number];
  /** The type of the one tag. */
  readonly tag?: number;
  /** Bytes of data at address 0; with them there is a memory of a page. */
  readonly data?: readonly number[];
  readonly locals?: readonly number[];
  readonly code: readonly number[];
}

/** A module of one function, `run`, whose index is 1 behind a hostcall and 0 without. */
function moduleOf(parts: Parts): Uint8Array {
  const { types = [EMPTY], hostcall, tag, data, locals = [], code } = parts;
  const out = new Writer();
  out.list([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  const section = (id: number, ...bytes: number[]): void => {
    const content = new Writer();
    content.list(bytes);
    out.u8(id);
    out.sized(content);
  };
  const text = (name: string): number[] => [name.length, ...Buffer.from(name)];
  section(1, types.length, ...types.flat());
  if (hostcall !== undefined) {
    const [module, name, type] = hostcall;
    section(2, 1, ...text(module), ...text(name), 0, type);
  }
  section(3, 1, 0);
  if (data !== undefined) section(5, 1, 0, 1);
  if (tag !== undefined) section(13, 1, 0, tag);
  section(7, 1, ...text('run'), 0, hostcall === undefined ? 0 : 1);
  const body = new Writer();
  body.list([locals.length, ...locals.flatMap((type) => [1, type]), ...code, END]);
  const functions = new Writer();
  functions.u8(1);
  functions.sized(body);
  out.u8(10);
  out.sized(functions);
  if (data !== undefined) section(11, 1, 0, 0x41, 0, END, data.length, ...data);
  return out.take();
}

/** `loop (block $h exnref) (try_table (catch_all_ref $h) BODY) ... br`: what comes is dropped. */
const caughtForEver = (body: readonly number[], afterwards: readonly number[]): number[] => [
  ...LOOP, ...BLOCK_EXNREF, ...tryTable(0), ...body, END, ...again(1), END, ...afterwards,
  ...again(0), END,
];
const DROP = [0x1a];

/** Calls a hostcall whose pointer lies outside of memory, and catches what comes of it. */
export const FAILING_HOSTCALL = moduleOf({
  types: [EMPTY, [0x60, 2, 0x7f, 0x7f, 0]],
  hostcall: ['env', 'hostcall_debug', 1],
  data: [0],
  code: caughtForEver([0x41, 0x78, 0x41, 16, 0x10, 0], DROP),
});

/** Waits in the host until its deadline and catches the end of the wait. */
export const KILLED_IN_WAIT = moduleOf({
  types: [EMPTY, [0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f]],
  hostcall: ['wasi_snapshot_preview1', 'poll_oneoff', 1],
  data: [...Array<number>(24).fill(0), ...Array<number>(7).fill(0xff), 0x3f],
  code: caughtForEver([0x41, 0, 0x41, 0xc0, 0, 0x41, 1, 0x41, 0x80, 1, 0x10, 0, 0x1a],
    DROP),
});

const PAYLOAD = Array.from({ length: 16 }, () => [0xfd, 0x0c, ...Array<number>(16).fill(1)]);
const CARRYING = [0x60, 16, ...Array<number>(16).fill(V128), 0];

/** Throws exceptions of 16 vectors, and holds one in a local of each of its activations. */
export const HELD_EXCEPTIONS = moduleOf({
  types: [EMPTY, CARRYING],
  tag: 1,
  locals: [EXNREF],
  code: [
    ...BLOCK_EXNREF, ...tryTable(0), ...PAYLOAD.flat(), 0x08, 0, END, 0x00, END,
    0x21, 0, 0x10, 0,
  ],
});

/** The same, and each is given up as soon as it is caught. */
export const DROPPED_EXCEPTIONS = moduleOf({
  types: [EMPTY, CARRYING],
  tag: 1,
  code: caughtForEver([...PAYLOAD.flat(), 0x08, 0], DROP),
});

/** An exception that carries the one before: a list without end on the heap. */
export const CHAINED_EXCEPTIONS = moduleOf({
  types: [EMPTY, [0x60, 1, EXNREF, 0]],
  tag: 1,
  locals: [EXNREF],
  code: caughtForEver([0x20, 0, 0x08, 0], [0x21, 0]),
});

/** Throws once, and then throws again what it caught, by `throw_ref`. */
export const THROW_REF = moduleOf({
  tag: 0,
  locals: [EXNREF],
  code: [
    ...BLOCK_EXNREF, ...tryTable(0), 0x08, 0, END, 0x00, END, 0x21, 0,
    ...caughtForEver([0x20, 0, 0x0a], [0x21, 0]),
  ],
});

/** Calls itself by `call_ref`, and in the other by `return_call_ref`. */
export const CALL_REF = moduleOf({ code: [0xd2, 0, 0x14, 0] });
export const RETURN_CALL_REF = moduleOf({ code: [0xd2, 0, 0x15, 0] });

/** A module of one function `run` with the body that `fill` writes. */
function binary(fill: (body: Writer) => void): Uint8Array {
  const out = new Writer();
  out.list([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0]);
  out.list([7, 7, 1, 3, 0x72, 0x75, 0x6e, 0, 0]);
  const body = new Writer();
  fill(body);
  const section = new Writer();
  section.u32(1);
  section.sized(body);
  out.u8(10);
  out.sized(section);
  return out.take();
}

export function localsTimesIfs(locals: number, ifs: number): Uint8Array {
  return binary((body) => {
    body.u32(1);
    body.u32(locals);
    body.u8(0x7e);
    for (let i = 0; i < ifs; i += 1) body.list([0x41, 0x00, 0x04, 0x40, 0x0b]);
    body.u8(0x0b);
  });
}

/** Each branch makes the compilers merge the states of all locals. */
export function localsTimesBranches(locals: number, branches: number): Uint8Array {
  return binary((body) => {
    body.u32(1);
    body.u32(locals);
    body.u8(0x7f);
    for (let i = 0; i < branches; i += 1) body.list([0x20, 0x00, 0x0d, 0x00]);
    body.u8(0x0b);
  });
}

export function branchTable(targets: number): Uint8Array {
  return binary((body) => {
    body.u8(0);
    body.list([0x41, 0x00, 0x0e]);
    body.u32(targets);
    for (let i = 0; i <= targets; i += 1) body.u8(0);
    body.u8(0x0b);
  });
}

export function nested(depth: number): Uint8Array {
  return binary((body) => {
    body.u8(0);
    for (let i = 0; i < depth; i += 1) body.list([0x02, 0x40]);
    for (let i = 0; i <= depth; i += 1) body.u8(0x0b);
  });
}
