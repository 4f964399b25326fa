/**
 * The parser of node:net by itself: every byte in every place of a head, chunked bodies cut at
 * every place, gathered bodies, addresses.
 */

import t from 'tap';

import { formatAddress, plainAddress } from '../../../daemon/listen/address.ts';
import { BodyGatherer } from '../../../daemon/listen/body.ts';
import { chooseRequestId, makeRequestId } from '../../../daemon/listen/head.ts';
import {
  ChunkedReader, emptyHead, parseHead, unfinishedFault,
} from '../../../daemon/listen/parser.ts';

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;

/** '' when the head is taken, otherwise its fault. */
function faultOf(text: string): string {
  return parseHead(text, 0, text.length, emptyHead());
}

t.test('every byte in a header name, a value, a method and the version', async (child) => {
  for (let byte = 0; byte < 256; byte += 1) {
    const c = String.fromCharCode(byte);
    const shown = `byte ${byte}`;
    const isToken = TOKEN.test(c);
    const taken = (text: string): boolean => faultOf(text) === '';
    child.equal(
      taken(`GET / HTTP/1.1\r\nx${c}y: 1\r\n\r\n`), isToken || c === ':', `${shown} in a name`);
    child.equal(taken(`GET / HTTP/1.1\r\n${c}: 1\r\n\r\n`), isToken, `${shown} as a name`);
    const isValue = c === '\t' || (byte >= 32 && byte !== 127);
    child.equal(taken(`GET / HTTP/1.1\r\nx: a${c}b\r\n\r\n`), isValue, `${shown} in a value`);
    // A space ends the method; that the target then holds one is the target's fault.
    const isMethod = isToken || c === ' ';
    child.equal(taken(`G${c}T / HTTP/1.1\r\nx: 1\r\n\r\n`), isMethod, `${shown} in a method`);
    child.equal(
      taken(`GET / HTTP/1.${c}\r\nx: 1\r\n\r\n`), c === '0' || c === '1', `${shown} as version`);
  }
});

t.test('a head, parsed', async (child) => {
  const head = emptyHead();
  const before = 'noise';
  const text = `${before}POST /a?b HTTP/1.0\r\nX-A: \t b c\t \r\nx-b:\r\nX-A:2\r\n\r\nbody`;
  child.equal(parseHead(text, before.length, text.length - 4, head), '');
  child.equal(head.method, 'POST');
  child.equal(head.target, '/a?b');
  child.equal(head.minor, 0);
  child.same(head.headers, ['x-a', 'b c', 'x-b', '', 'x-a', '2']);
  child.equal(faultOf('GET / HTTP/1.1\r\n\r\n'), '', 'no headers at all');
  child.match(faultOf('GET / HTTP/1.1\r\nx: 1\r\n y\r\n\r\n'), /folded/);
  child.match(faultOf('POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n'), /HTTP\/1\.0/);
});

t.test('what will never be a head is known early', async (child) => {
  const of = (text: string, from = 0): string => unfinishedFault(Buffer.from(text, 'latin1'), from);
  child.equal(of('GET / HT'), '');
  child.equal(of('GET / HTTP/1.1\r\nx: 1\r'), '');
  child.equal(of('\r'), '');
  child.match(of('\x16\x03\x01'), /request line/);
  child.match(of('\n'), /request line/);
  child.match(of('GET / HTTP/1.1\n'), /LF alone/);
  child.match(of('GET / HTTP/1.1\r\nx: 1\n', 15), /LF alone/);
  child.equal(of('GET / HTTP/1.1\r\nx', 16), '');
});

/** Reads the pieces one by one; null when the body is not over, or not all that there is. */
function readChunked(pieces: readonly Uint8Array[]): string | null {
  const reader = new ChunkedReader();
  const body: Uint8Array[] = [];
  let left = 0;
  for (const piece of pieces) {
    const at = reader.read(piece, 0, (data) => {
      body.push(data);
      return true;
    });
    if (reader.fault !== '') return `fault: ${reader.fault}`;
    left += piece.length - at;
  }
  return reader.isDone && left === 0 ? Buffer.concat(body).toString('latin1') : null;
}

t.test('chunked bodies, cut at every place', async (child) => {
  const bodies: [string, string][] = [
    ['3\r\nabc\r\n0\r\n\r\n', 'abc'],
    ['0\r\n\r\n', ''],
    ['a;x=y;z="q;\t\\"";w\r\n0123456789\r\n00\r\nA: b\r\nC-D:\t e\r\n\r\n', '0123456789'],
    ['1\r\n\r\r\n2;x\r\n\r\n\r\n0\r\n\r\n', '\r\r\n'],
  ];
  for (const [text, expected] of bodies) {
    const bytes = Buffer.from(text, 'latin1');
    for (let i = 0; i <= bytes.length; i += 1) {
      for (let j = i; j <= bytes.length; j += 1) {
        const pieces = [bytes.subarray(0, i), bytes.subarray(i, j), bytes.subarray(j)];
        if (readChunked(pieces) !== expected) child.fail(`${text} cut at ${i} and ${j}`);
      }
    }
    child.equal(readChunked([bytes.subarray(0, -1)]), null, 'unfinished without its last byte');
    child.equal(readChunked([bytes, Buffer.from('x')]), null, 'what follows is left alone');
  }
});

t.test('chunked bodies that are none', async (child) => {
  const bad: [string, RegExp][] = [
    ['1'.repeat(13), /too many digits/],
    [`1;${'x'.repeat(1_100)}`, /extension is too long/],
    [`${`1;${'x'.repeat(900)}\r\na\r\n`.repeat(20)}`, /extensions are too long/],
    ['0\r\nContent-Length: 3\r\n', /trailer tells where the body ends/],
    ['0\r\nTransfer-Encoding: chunked\r\n', /trailer tells where the body ends/],
    [`0\r\n${`x: ${'y'.repeat(900)}\r\n`.repeat(10)}`, /trailers are too long/],
    ['0\r\n: b\r\n', /not a header/],
    ['0\r\nx\r\n', /not a header/],
    ['0\r\n\rx', /CR LF/],
    ['1\r\nab', /CR LF/],
    ['1\rx', /CR LF/],
    ['\r\n', /hexadecimal/],
    ['g', /hexadecimal/],
    ['1,', /hexadecimal/],
    [';', /hexadecimal/],
    ['1;\n', /control/],
    ['1;\r', /malformed/],
    ['1;x=\r', /malformed/],
    ['1;x="\r', /malformed/],
    ['1;x="\\"\r', /malformed/],
    ['1;x="y"z\r', /malformed/],
    ['1; x\r', /malformed/],
    ['1 ;x\r', /hexadecimal/],
    ['1 \r', /hexadecimal/],
  ];
  for (const [text, expected] of bad) {
    const shown = JSON.stringify(text.slice(0, 9));
    child.match(readChunked([Buffer.from(text, 'latin1')]), expected, shown);
  }
});

t.test('a reader that is told to stop does', async (child) => {
  const reader = new ChunkedReader();
  const bytes = Buffer.from('3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n');
  let calls = 0;
  reader.read(bytes, 0, () => {
    calls += 1;
    return false;
  });
  child.equal(calls, 1);
  child.equal(reader.isDone, false);
});

t.test('gathered bodies', async (child) => {
  for (const pieceBytes of [1, 10, 4_096, 5_000]) {
    const gatherer = new BodyGatherer();
    child.equal(gatherer.take(), null, 'nothing is null');
    let text = '';
    for (let i = 0; i < 3_000; i += 1) {
      const piece = `${i},`.repeat(i % 7 === 0 ? pieceBytes : 1);
      gatherer.push(Buffer.from(piece));
      text += piece;
    }
    child.equal(gatherer.length, text.length);
    const whole = gatherer.take();
    child.equal(Buffer.from(whole ?? []).toString(), text);
    child.equal(whole?.byteLength, whole?.buffer.byteLength, 'owns its memory to the last byte');
    child.equal(gatherer.take(), null, 'and is given once');
  }
  const large = Buffer.alloc(8 * 1_024 * 1_024);
  const gatherer = new BodyGatherer();
  const before = process.memoryUsage().arrayBuffers;
  for (let at = 0; at < large.length; at += 60_000) {
    gatherer.push(large.subarray(at, at + 60_000));
  }
  const taken = process.memoryUsage().arrayBuffers - before;
  child.ok(taken < large.length + 2 * 4_096, `${taken} bytes are held for ${large.length}`);
  child.equal(gatherer.take()?.length, large.length);
});

t.test('addresses', async (child) => {
  const format = (hex: string): string => formatAddress(new Uint8Array(Buffer.from(hex, 'hex')));
  child.equal(format('7f000001'), '127.0.0.1');
  child.equal(format(`${'0'.repeat(20)}ffff01020304`), '1.2.3.4');
  child.equal(format(`${'0'.repeat(31)}1`), '::1');
  child.equal(format('20010db8000000000000000000000010'), '2001:db8::10');
  child.equal(format('0102'), '');
  child.equal(plainAddress('::ffff:1.2.3.4'), '1.2.3.4');
  child.equal(plainAddress('2001:db8::10'), '2001:db8::10');
  child.equal(plainAddress(undefined), '');
});

t.test('request ids', async (child) => {
  const made = new Set(Array.from({ length: 10_000 }, makeRequestId));
  child.equal(made.size, 10_000);
  child.equal(chooseRequestId('abc', true), 'abc');
  child.not(chooseRequestId('abc', false), 'abc', 'unless clients are not to choose');
  child.not(chooseRequestId('a\nb', true), 'a\nb');
});
