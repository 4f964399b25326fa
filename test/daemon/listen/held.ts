/**
 * Conformance: what the bodies of all requests together may take, and that all of it is given back.
 */

import type { BodyPlan, IncomingRequest } from '../../../daemon/listen/listener.ts';
import { hashOf, MIB, noise, until } from './bulk.ts';
import { header, pause } from './raw.ts';
import { readEcho, respondEcho, stage } from './suite.ts';
import type { Case, Stage, Suite, Test } from './suite.ts';
import { chunk, chunkedHead, put, sourceOf, STREAM, tell } from './uploads.ts';

async function allTogether(t: Test, suite: Suite): Promise<void> {
  const { open, refusals } = await stage(t, suite, {}, undefined, { gatheredBytes: 150_000 });
  const first = await open();
  first.socket.write(put('/', 100_000));
  first.socket.write(Buffer.alloc(99_999, 'x'));
  await pause(50);
  const second = await open();
  second.socket.write(put('/', 100_000));
  second.socket.write(Buffer.alloc(100_000, 'x'));
  const refused = await second.response();
  t.equal(refused.status, 503);
  t.equal(header(refused, 'wardian-error'), 'bodies_exhausted');
  t.equal(header(refused, 'retry-after'), '1');
  t.equal(refusals.at(-1)?.code, 'bodies_exhausted');
  first.write('x');
  t.equal(readEcho(await first.response()).body?.length, 100_000);
  for (let turn = 0; turn < 3; turn += 1) {
    const next = await open();
    next.socket.write(put('/', 100_000));
    next.socket.write(Buffer.alloc(100_000, 'x'));
    t.equal(readEcho(await next.response()).body?.length, 100_000, 'an answer gives it back');
  }
  const gone = await open();
  gone.socket.write(put('/', 100_000));
  gone.socket.write(Buffer.alloc(90_000, 'x'));
  await pause(50);
  gone.destroy();
  await pause(50);
  const last = await open();
  last.socket.write(put('/', 100_000));
  last.socket.write(Buffer.alloc(100_000, 'x'));
  t.equal(readEcho(await last.response()).body?.length, 100_000, 'and so does leaving');
}

const ROOM = 200_000;

/** A body that takes all the room has it: nothing else is held. */
async function hasAllRoom(t: Test, { open }: Stage, after: string): Promise<void> {
  const client = await open();
  client.socket.write(put('/gather', ROOM));
  client.socket.write(Buffer.alloc(ROOM, 'x'));
  const response = await client.response();
  t.equal(response.status, 200, `${after}: ${header(response, 'wardian-error') ?? 'all is back'}`);
  client.destroy();
}

/** Answers, or begins to, without having taken the body. */
function deaf(request: IncomingRequest): void {
  const [, when, how] = request.target.split('/');
  if (when === 'gather') return respondEcho(request);
  if (when === 'asked') {
    const source = sourceOf(request);
    source.onPiece = () => {};
    source.grant(1);
  }
  setTimeout(() => {
    if (how === 'respond') {
      request.respond({ status: 200, headers: [], body: 'deaf' });
    } else if (how === 'refused') {
      request.respondStream({ status: 99, headers: [], contentLength: null });
    } else {
      const contentLength = how === 'known' ? 4 : null;
      const stream = request.respondStream({ status: 200, headers: [], contentLength });
      stream?.write(Buffer.from('deaf'));
      stream?.end();
    }
  }, when === 'now' ? 0 : 50);
}

/** What was kept of a body that nobody took, whole or not, is let go with the answer. */
async function givenBack(t: Test, suite: Suite): Promise<void> {
  const onHead = ({ target }: IncomingRequest): BodyPlan =>
    target === '/gather' ? 'gather' : STREAM;
  const staged = await stage(t, suite, {}, deaf, { onHead, gatheredBytes: ROOM });
  for (const when of ['now', 'late', 'asked']) {
    for (const how of ['respond', 'refused', 'known', 'unknown']) {
      for (const isWhole of [true, false]) {
        const client = await staged.open();
        const target = `/${when}/${how}`;
        client.write(isWhole ? chunkedHead(target) : put(target, MIB));
        // In two pieces: the second comes when the first was perhaps handed on.
        for (const bytes of isWhole ? [30_000, 30_000] : [30_000, 90_000]) {
          client.socket.write(isWhole ? chunk(noise(bytes)) : noise(bytes));
          await pause(10);
        }
        if (isWhole) client.write('0\r\n\r\n');
        const response = await client.response();
        t.equal(response.status, how === 'refused' ? 500 : 200);
        if (!isWhole) client.socket.write(noise(90_000));
        await hasAllRoom(t, staged, `${when}, ${how}, ${isWhole ? 'whole' : 'in part'}`);
        client.destroy();
      }
    }
  }
  await until('they are gone', () => staged.listener.connections() === 0);
}

/** With no room at all, what flows is slower: it is neither refused nor cut. */
async function flowsOn(t: Test, suite: Suite): Promise<void> {
  const sleeping: IncomingRequest[] = [];
  const { open, refusals } = await stage(t, suite, {}, (request) => {
    if (request.target === '/sleep') sleeping.push(request);
    else tell(request);
  }, { onHead: () => STREAM, gatheredBytes: 50_000 });
  for (let n = 1; n <= 3; n += 1) {
    const client = await open();
    client.socket.write(put('/sleep', MIB));
    client.socket.write(noise(MIB));
    await until('it sleeps on its body', () => (sleeping[n - 1]?.received ?? 0) > 0);
  }
  const client = await open();
  const body = noise(2 * MIB);
  client.write(chunkedHead('/tell'));
  for (let at = 0; at < body.length; at += 3_000) {
    client.socket.write(chunk(body.subarray(at, at + 3_000)));
  }
  client.write('0\r\n\r\n');
  const response = await client.response();
  t.equal(response.status, 200);
  t.equal((JSON.parse(response.body.toString()) as { hash: string }).hash, hashOf(body));
  t.same(refusals, []);
}

export const heldCases: readonly Case[] = [
  { name: 'all bodies together', run: allTogether },
  { name: 'bodies that nobody took', run: givenBack },
  { name: 'bodies that flow on while too much is held', run: flowsOn },
];
