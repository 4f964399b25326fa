/**
 * Calls a wasm function with v128 parameters or results, which cannot cross to JavaScript: through
 * a small module that has the arguments as constants and takes the result vectors apart.
 */
import { Writer } from '../../../pool/rewrite/writer.ts';
import { argument, vectorBytes, type Value } from './wast-script.ts';

const TYPE_BYTE: Readonly<Record<string, number>> = {
  i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b,
};

function typeOf(value: Value): string {
  return value.type === 'either' ? typeOf(value.values![0]!) : value.type;
}

export function usesVectors(values: readonly Value[]): boolean {
  return values.some((value) => typeOf(value) === 'v128');
}

function constant(writer: Writer, value: Value): void {
  const view = new DataView(new ArrayBuffer(8));
  switch (value.type) {
    case 'v128':
      writer.list([0xfd, 0x0c, ...vectorBytes(value)]);
      return;
    case 'i32':
      writer.u8(0x41);
      writer.signed(argument(value) as number);
      return;
    case 'f32':
      view.setUint32(0, Number(value.value), true);
      writer.list([0x43, ...new Uint8Array(view.buffer, 0, 4)]);
      return;
    default: // 64 bits, an i64 as a reinterpreted f64
      view.setBigUint64(0, BigInt.asUintN(64, BigInt(value.value as string)), true);
      writer.list([0x44, ...new Uint8Array(view.buffer)]);
      if (value.type === 'i64') writer.u8(0xbd);
  }
}

function section(out: Writer, id: number, fill: (writer: Writer) => void): void {
  const writer = new Writer();
  fill(writer);
  out.u8(id);
  out.sized(writer);
}

/** The results in order; a vector as `v128:` and its bytes in hexadecimal. */
export function callWithVectors(
  callee: (...values: unknown[]) => unknown, parameters: readonly Value[],
  expected: readonly Value[],
): unknown {
  const results = expected.map(typeOf);
  const out = new Writer();
  out.list([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
  section(out, 1, (writer) => {
    writer.list([2, 0x60, parameters.length, ...parameters.map((p) => TYPE_BYTE[p.type]!)]);
    writer.list([results.length, ...results.map((type) => TYPE_BYTE[type]!)]);
    const flat = results.flatMap((type) => (type === 'v128' ? [0x7e, 0x7e] : [TYPE_BYTE[type]!]));
    writer.list([0x60, 0, flat.length, ...flat]);
  });
  section(out, 2, (writer) => {
    writer.list([1, 1, 0x6d, 1, 0x66, 0, 0]);
  });
  section(out, 3, (writer) => writer.list([1, 1]));
  section(out, 7, (writer) => writer.list([1, 1, 0x72, 0, 1]));
  section(out, 10, (writer) => {
    const body = new Writer();
    body.u8(results.length);
    for (const type of results) body.list([1, TYPE_BYTE[type]!]);
    for (const parameter of parameters) constant(body, parameter);
    body.list([0x10, 0]);
    for (let i = results.length - 1; i >= 0; i--) body.list([0x21, i]);
    results.forEach((type, i) => {
      if (type !== 'v128') body.list([0x20, i]);
      else body.list([0x20, i, 0xfd, 0x1d, 0, 0x20, i, 0xfd, 0x1d, 1]);
    });
    body.u8(0x0b);
    writer.u8(1);
    writer.sized(body);
  });
  const module = new WebAssembly.Module(out.take() as Uint8Array<ArrayBuffer>);
  const instance = new WebAssembly.Instance(module, { m: { f: callee as () => void } });
  const found = (instance.exports['r'] as () => unknown)();
  return together(results, Array.isArray(found) ? found : [found]);
}

function together(results: readonly string[], flat: readonly unknown[]): unknown {
  let at = 0;
  const values = results.map((type) => {
    if (type !== 'v128') return flat[at++];
    const bytes = Buffer.alloc(16);
    bytes.writeBigInt64LE(flat[at++] as bigint, 0);
    bytes.writeBigInt64LE(flat[at++] as bigint, 8);
    return `v128:${bytes.toString('hex')}`;
  });
  return values.length === 1 ? values[0] : values;
}
