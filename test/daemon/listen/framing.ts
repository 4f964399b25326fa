/**
 * Conformance: bytes that are no request, or more than one way to read one. Each is answered 400
 * and ends the connection, and nothing of it reaches the handler.
 */

import { readEcho, stage, expectRefusal } from './suite.ts';
import type { Case, Suite, Test } from './suite.ts';

const GET = 'GET / HTTP/1.1\r\nHost: h\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: h\r\n';
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const CODING = 'Transfer-Encoding: chunked\r\n';
const NEXT = 'GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n';

/** Name, bytes. The handler must see none of them. */
const ATTACKS: readonly (readonly [string, string])[] = [
  ['length and coding', `${POST}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX`],
  ['coding and length', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX`],
  ['same length twice', `${POST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`],
  ['two lengths', `${POST}Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc`],
  ['list of lengths', `${POST}Content-Length: 3, 3\r\n\r\nabc`],
  ['negative length', `${POST}Content-Length: -1\r\n\r\n`],
  ['signed length', `${POST}Content-Length: +3\r\n\r\nabc`],
  ['hexadecimal length', `${POST}Content-Length: 0x3\r\n\r\nabc`],
  ['empty length', `${POST}Content-Length:\r\n\r\n`],
  ['length with a space inside', `${POST}Content-Length: 1 2\r\n\r\nabc`],
  ['length beyond numbers', `${POST}Content-Length: 99999999999999999999\r\n\r\n`],
  ['other coding', `${POST}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n`],
  ['two codings', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked twice', `${POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`],
  ['coding lines', `${POST}${CODING}${CODING}\r\n0\r\n\r\n`],
  ['identity coding', `${POST}Transfer-Encoding: identity\r\n\r\n`],
  ['coding with a tail', `${POST}Transfer-Encoding: chunked;x\r\n\r\n0\r\n\r\n`],
  ['tab behind the coding', `${POST}Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n`],
  ['vertical tab before the coding', `${POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
  ['bare LF everywhere', 'GET / HTTP/1.1\nHost: h\n\n'],
  ['bare LF after the request line', 'GET / HTTP/1.1\nHost: h\r\n\r\n'],
  ['bare LF after a header', `GET / HTTP/1.1\r\nHost: h\nX-A: b\r\n\r\n`],
  ['bare LF at the end', `GET / HTTP/1.1\r\nHost: h\r\n\n`],
  ['bare CR in a value', `${GET}X-A: b\rc\r\n\r\n`],
  ['bare CR after a header', 'GET / HTTP/1.1\r\nHost: h\rX-A: b\r\n\r\n'],
  ['CR CR LF', `${GET}X-A: b\r\r\nX-C: d\r\n\r\n`],
  ['folded header, space', `${GET}X-A: b\r\n c\r\n\r\n`],
  ['folded header, tab', `${GET}X-A: b\r\n\tc\r\n\r\n`],
  ['folded first header', 'GET / HTTP/1.1\r\n Host: h\r\n\r\n'],
  ['folded length', `${POST}Content-Length:\r\n 3\r\n\r\nabc`],
  ['space before the colon', `${GET}X-A : b\r\n\r\n`],
  ['space before the colon of a coding', `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
  ['space in a name', `${GET}X A: b\r\n\r\n`],
  ['bracket in a name', `${GET}X(A: b\r\n\r\n`],
  ['high byte in a name', `${GET}X-\xe9: b\r\n\r\n`],
  ['NUL in a name', `${GET}X-\0A: b\r\n\r\n`],
  ['empty name', `${GET}: b\r\n\r\n`],
  ['length hidden by an empty name', `${POST}: b\r\nContent-Length: ${NEXT.length}\r\n\r\n${NEXT}`],
  ['no colon', `${GET}X-A\r\n\r\n`],
  ['NUL in a value', `${GET}X-A: b\0c\r\n\r\n`],
  ['control in a value', `${GET}X-A: b\x01c\r\n\r\n`],
  ['DEL in a value', `${GET}X-A: b\x7fc\r\n\r\n`],
  ['NUL in the target', 'GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['high byte in the target', 'GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['fragment in the target', 'GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['space in the target', 'GET /a b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['tab in the request line', 'GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['two spaces', 'GET  / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['relative target', 'GET a HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['other scheme', 'GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['user in the authority', 'GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['asterisk of a GET', 'GET * HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['no target', 'GET HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['no version', 'GET /\r\nHost: h\r\n\r\n'],
  ['lower-case version', 'GET / http/1.1\r\nHost: h\r\n\r\n'],
  ['later minor version', 'GET / HTTP/1.2\r\nHost: h\r\n\r\n'],
  ['version 2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['version 0.9', 'GET / HTTP/0.9\r\nHost: h\r\n\r\n'],
  ['bad method', 'G@T / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a TLS greeting', '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n'],
  ['a PROXY preamble, text', `PROXY TCP4 9.9.9.9 8.8.8.8 1 2\r\n${GET}\r\n`],
  ['no Host', 'GET / HTTP/1.1\r\nX-A: b\r\n\r\n'],
  ['empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n'],
  ['a Host that is none', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n'],
  ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['a Host with a user', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n'],
  ['chunk size that is none', `${CHUNKED}zz\r\nabc\r\n0\r\n\r\n`],
  ['chunk size G', `${CHUNKED}g\r\n0123456789abcdef\r\n0\r\n\r\n`],
  ['chunk size with 0x', `${CHUNKED}0x3\r\nabc\r\n0\r\n\r\n`],
  ['chunk size with sign', `${CHUNKED}+3\r\nabc\r\n0\r\n\r\n`],
  ['chunk size with space before', `${CHUNKED} 3\r\nabc\r\n0\r\n\r\n`],
  ['no chunk size', `${CHUNKED}\r\nabc\r\n0\r\n\r\n`],
  ['chunk size beyond numbers', `${CHUNKED}fffffffffffffffff\r\nabc\r\n0\r\n\r\n`],
  ['chunk longer than it says', `${CHUNKED}3\r\nabcdef\r\n0\r\n\r\n`],
  ['chunk with bare LF', `${CHUNKED}3\nabc\n0\n\n`],
  ['chunk size with bare LF', `${CHUNKED}3\nabc\r\n0\r\n\r\n`],
  ['chunk data with bare LF', `${CHUNKED}3\r\nabc\n0\r\n\r\n`],
  ['chunk extension with bare LF', `${CHUNKED}3;a\nabc\r\n0\r\n\r\n`],
  ['chunk extension with a control', `${CHUNKED}3;a\x01\r\nabc\r\n0\r\n\r\n`],
  ['trailer that is none', `${CHUNKED}0\r\nX A: b\r\n\r\n`],
  ['trailer with bare LF', `${CHUNKED}0\r\nX-A: b\n\r\n`],
];

async function attack(t: Test, suite: Suite, name: string, bytes: string): Promise<void> {
  const { open, seen, refusals } = await stage(t, suite);
  const client = await open();
  client.write(bytes);
  const differs = suite.differs(`refused: ${name}`);
  if (differs === undefined) {
    const response = await client.response();
    const code = name === 'no Host' || name === 'empty Host' ? 'missing_host' : 'bad_request';
    const text = code === 'missing_host' ? /Host header/ : /^malformed HTTP request: ./;
    await expectRefusal(t, client, response, { status: 400, code, text });
    t.equal(seen.length, 0, 'the handler did not see it');
    t.equal(refusals.length, 1, 'it is reported');
    t.equal(refusals[0]?.code, code);
    t.equal(refusals[0]?.clientAddress, '127.0.0.1');
    return;
  }
  // The engine's own way with it. A request that it thinks unfinished is ended here.
  client.socket.end();
  const rest = (await client.rest()).toString('latin1');
  if (differs === 'silent') t.equal(rest, '', 'the connection ends without an answer');
  else if (differs === 'accepted') t.match(rest, /^HTTP\/1\.1 200 [^]*\n\{/, 'it is served');
  else t.equal(rest.slice(0, 12), `HTTP/1.1 ${differs}`, 'the status of the engine\'s own answer');
}

async function halfRequest(t: Test, suite: Suite): Promise<void> {
  const { open, seen } = await stage(t, suite);
  for (const bytes of ['GET', GET, `${POST}Content-Length: 5\r\n\r\nab`, `${CHUNKED}5\r\nab`]) {
    const client = await open();
    client.write(bytes);
    client.socket.end();
    const rest = (await client.rest()).toString('latin1');
    t.ok(rest === '' || rest.startsWith('HTTP/1.1 400 '), `ended after ${JSON.stringify(bytes)}`);
  }
  t.equal(seen.length, 0);
}

async function afterGoodRequest(t: Test, suite: Suite): Promise<void> {
  let answer = (): void => {};
  const { open } = await stage(t, suite, {}, (request) => {
    answer = () => request.respond({ status: 200, headers: [], body: 'first' });
  });
  const client = await open();
  client.write(`${GET}\r\n`).write('G@T / HTTP/1.1\r\nHost: h\r\n\r\n');
  await new Promise((resolve) => { setTimeout(resolve, 50); });
  answer();
  if (suite.differs('pipelining') === 'closes') {
    t.equal((await client.rest()).length, 0, 'the connection is closed');
    return;
  }
  t.equal((await client.response()).body.toString(), 'first', 'what was sound is answered first');
  const text = /malformed/;
  const response = await client.response();
  await expectRefusal(t, client, response, { status: 400, code: 'bad_request', text });
}

async function emptyLines(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite);
  const client = await open();
  client.write(`\r\n${GET}\r\n`);
  if (suite.differs('empty line before a request') === undefined) {
    t.equal(readEcho(await client.response()).target, '/', 'it is skipped');
  } else {
    client.socket.end();
    t.equal((await client.rest()).length, 0);
  }
}

export const framingCases: readonly Case[] = [
  ...ATTACKS.map(([name, bytes]): Case => ({
    name: `refused: ${name}`, run: (t, suite) => attack(t, suite, name, bytes),
  })),
  { name: 'half a request', run: halfRequest },
  { name: 'a bad request after a good one', run: afterGoodRequest },
  { name: 'an empty line before a request', run: emptyLines },
];
