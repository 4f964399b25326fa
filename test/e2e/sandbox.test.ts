/**
 * The Terrarium deploy protocol on a started daemon, step by step as `terrctl` takes it: upload,
 * status once and again until done, health, then the guest itself.
 */

import { readFileSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import { pack } from 'tar-stream';

import type { Daemon, HttpAnswer } from '../harness/daemon.ts';
import { assemble, startFor, textGuest, until } from './world.ts';

const ANSWER_BYTES_MAX = 4_096;
const ID = /^[a-z]+-[a-z]+-[a-z]+-[a-z]+$/;

interface Status {
  readonly status: string;
  readonly message: string;
  readonly success: boolean;
  readonly done: boolean;
}

/** A tar as base64 without padding, as Go writes it. */
async function tarOf(files: Readonly<Record<string, Uint8Array>>): Promise<string> {
  const archive = pack();
  for (const [name, bytes] of Object.entries(files)) {
    archive.entry({ name, mode: 0o644 }, Buffer.from(bytes));
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('base64').replace(/=+$/, '');
}

async function upload(daemon: Daemon, lang: string, tar: string): Promise<HttpAnswer> {
  const answer = await daemon.ask(`localhost:${daemon.port}`, '/deploy', {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ lang, options: null, tar }),
  });
  if (answer.body.length > ANSWER_BYTES_MAX) throw new Error('the client reads 4,096 bytes');
  return answer;
}

/** Asks for the status until it is done; answers each different message in order. */
async function follow(daemon: Daemon, id: string): Promise<{ told: string[]; last: Status }> {
  const told: string[] = [];
  let last: Status = { status: '', message: '', success: true, done: false };
  await until('the deploy is done', async () => {
    const answer = await daemon.ask(`localhost:${daemon.port}`, `/status/${id}`);
    if (answer.body.length > ANSWER_BYTES_MAX) throw new Error('the client reads 4,096 bytes');
    last = JSON.parse(answer.text) as Status;
    if (told.at(-1) !== last.message) told.push(last.message);
    return last.done;
  });
  return { told, last };
}

async function deploys(
  t: Test, daemon: Daemon, lang: string, files: Readonly<Record<string, Uint8Array>>,
): Promise<string> {
  const answer = await upload(daemon, lang, await tarOf(files));
  t.equal(answer.status, 200);
  const { id, success } = JSON.parse(answer.text) as { id: string; success: boolean };
  t.match(id, ID);
  t.equal(success, true);
  const { told, last } = await follow(daemon, id);
  t.equal(last.success, true, last.message);
  t.match(last.message, new RegExp(`^Deploy complete: http://${id}\\.localhost:`));
  const known = [
    'Upload complete, waiting for build...', 'Building...', 'Generating machine code...',
    'Deploying...', last.message,
  ];
  t.strictSame(told, known.filter((message) => told.includes(message)), 'in this order');
  const health = await daemon.ask(`${id}.localhost`, '/__health', {
    headers: { 'user-agent': 'terrctl' },
  });
  t.equal(health.status, 200);
  t.ok(Number(health.headers['content-length']) > 0);
  return (await daemon.ask(`${id}.localhost`)).text;
}

const example = (path: string): Buffer =>
  readFileSync(new URL(`../../guests/examples/${path}`, import.meta.url));

t.test('the deploy protocol', async (t) => {
  const daemon = await startFor(t, { command: 'start' });
  t.equal(await deploys(t, daemon, 'wasm', { 'module.wasm': textGuest('one') }), 'one');
  t.equal(await deploys(t, daemon, 'wasm', { './build/guest.wasm': textGuest('two') }), 'two');
  t.equal(await deploys(t, daemon, 'assemblyscript', {
    'index.ts': example('hello-as/index.ts'), 'package.json': example('hello-as/package.json'),
  }), 'Hello from AssemblyScript\n');

  const bad = await upload(daemon, 'wasm',
    await tarOf({ 'module.wasm': assemble('(module (import "sea" "swim" (func)))') }));
  const { id } = JSON.parse(bad.text) as { id: string };
  const { last } = await follow(daemon, id);
  t.equal(last.success, false);
  t.match(last.message, /"sea" "swim"/, 'the error is the message');
  t.equal((await daemon.ask(`${id}.localhost`)).status, 404);

  const broken = await upload(daemon, 'assemblyscript', await tarOf({
    'index.ts': Buffer.from('export function run(): void { wrong }\n'.repeat(500)),
  }));
  const failed = await follow(daemon, (JSON.parse(broken.text) as { id: string }).id);
  t.equal(failed.last.success, false);
  t.match(failed.last.message, /ERROR/, 'with what the compiler said, cut to fit');

  const nonsense = await upload(daemon, 'wasm', '!!!!');
  t.ok(nonsense.status >= 400);
  const told = JSON.parse(nonsense.text) as { id: string; success: boolean };
  t.equal(told.success, false);
  t.equal((await follow(daemon, told.id)).last.success, false, 'the client looks here');
  t.equal(await daemon.stop(), 0);
});
