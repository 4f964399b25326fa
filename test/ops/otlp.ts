/** A collector for tests: takes OTLP over HTTP and reads its protobuf, as far as spans need it. */

import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { gunzipSync } from 'node:zlib';

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly statusCode: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

type Field = bigint | Buffer;

/** Fields of a message by number: https://protobuf.dev/programming-guides/encoding/. */
function fieldsOf(bytes: Buffer): Map<number, Field[]> {
  const fields = new Map<number, Field[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('protobuf: cut off');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('protobuf: cut off');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const type = key & 7;
    let value: Field;
    if (type === 0) value = varint();
    else if (type === 1) value = take(8).readBigUInt64LE();
    else if (type === 2) value = take(Number(varint()));
    else if (type === 5) value = BigInt(take(4).readUInt32LE());
    else throw new Error(`protobuf: wire type ${type}`);
    fields.set(key >> 3, [...fields.get(key >> 3) ?? [], value]);
  }
  return fields;
}

type Message = Map<number, Field[]>;
const messages = (message: Message, field: number): Message[] =>
  (message.get(field) ?? []).map((value) => fieldsOf(value as Buffer));
const bytesAt = (message: Message, field: number): Buffer =>
  (message.get(field)?.[0] ?? Buffer.alloc(0)) as Buffer;
const numberAt = (message: Message, field: number): bigint =>
  (message.get(field)?.[0] ?? 0n) as bigint;

function valueOf(message: Message): string | number | boolean {
  if (message.has(1)) return bytesAt(message, 1).toString();
  if (message.has(2)) return numberAt(message, 2) !== 0n;
  if (message.has(3)) return Number(BigInt.asIntN(64, numberAt(message, 3)));
  const bits = Buffer.alloc(8);
  bits.writeBigUInt64LE(numberAt(message, 4));
  return bits.readDoubleLE();
}

const attributesOf = (message: Message, field: number): CollectedSpan['attributes'] =>
  Object.fromEntries(messages(message, field).map((pair) =>
    [bytesAt(pair, 1).toString(), valueOf(messages(pair, 2)[0] ?? new Map())]));

function spansOf(body: Buffer): CollectedSpan[] {
  const spans: CollectedSpan[] = [];
  for (const group of messages(fieldsOf(body), 1)) {
    const resource = attributesOf(messages(group, 1)[0] ?? new Map(), 1);
    for (const span of messages(group, 2).flatMap((scope) => messages(scope, 2))) {
      spans.push({
        traceId: bytesAt(span, 1).toString('hex'), spanId: bytesAt(span, 2).toString('hex'),
        parentId: bytesAt(span, 4).toString('hex'), name: bytesAt(span, 5).toString(),
        kind: Number(numberAt(span, 6)), startNs: numberAt(span, 7), endNs: numberAt(span, 8),
        attributes: attributesOf(span, 9), resource,
        statusCode: Number(numberAt(messages(span, 15)[0] ?? new Map(), 3)),
      });
    }
  }
  return spans;
}

export interface Collector {
  readonly url: string;
  readonly spans: CollectedSpan[];
  readonly asked: { readonly path: string; readonly headers: IncomingHttpHeaders }[];
  /** What it answers. */
  status: number;
}

export async function startCollector(t: Test): Promise<Collector> {
  const collector = {
    url: '', spans: [] as CollectedSpan[], asked: [] as Collector['asked'], status: 200,
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      collector.asked.push({ path: request.url ?? '', headers: request.headers });
      const body = Buffer.concat(chunks);
      const plain = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
      if (collector.status === 200) collector.spans.push(...spansOf(plain));
      response.writeHead(collector.status, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((done) => { server.once('listening', done); });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  collector.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return collector;
}
