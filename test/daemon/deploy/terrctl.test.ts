/** The Terrarium deploy protocol, spoken as the public client speaks it. */

import { pack } from 'tar-stream';
import t from 'tap';
import type { Test } from 'tap';

import { TERRCTL_MESSAGE_BYTES_MAX } from '../../../contract/limits.ts';
import { startExpiry } from '../../../daemon/deploy/expiry.ts';
import { healthAnswer, Terrctl } from '../../../daemon/deploy/terrctl.ts';
import type { TerrctlAnswer, TerrctlParts } from '../../../daemon/deploy/terrctl.ts';
import { WORDS } from '../../../daemon/deploy/words.ts';
import { createParts, guest, text } from './parts.ts';
import type { Parts } from './parts.ts';

const ID = /^[a-z]{3,10}(?:-[a-z]{3,10}){3}$/;

interface Sandbox extends Parts {
  readonly terrctl: Terrctl;
  readonly faults: unknown[];
  ask(method: string, target: string, body?: unknown, address?: string): Promise<Reply>;
  /** What the client does: uploads, then asks until it is done. Every message that changed. */
  run(upload: unknown): Promise<{ id: string; messages: string[]; last: Reply['json'] }>;
}

interface Reply {
  readonly status: number;
  readonly json: {
    id: string; success: boolean; message: string; status: string; done: boolean;
  };
}

/** The client reads no more than this, and takes whatever is JSON. */
function read(t: Test, answer: TerrctlAnswer): Reply {
  t.ok(Buffer.byteLength(answer.body) <= TERRCTL_MESSAGE_BYTES_MAX);
  return { status: answer.status, json: JSON.parse(answer.body) };
}

async function createSandbox(t: Test, changes: Partial<TerrctlParts> = {}): Promise<Sandbox> {
  const parts = await createParts({ builders: { idleMs: 60_000 } });
  t.teardown(() => parts.close());
  const tenant = await parts.store.ensureTenant('sandbox');
  const faults: unknown[] = [];
  const terrctl = new Terrctl({
    store: parts.store, pipeline: parts.pipeline, tenant: () => tenant,
    urlOf: (label) => `http://${label}.localhost:8080/`,
    onFault: (error) => faults.push(error), ...changes,
  });
  const ask: Sandbox['ask'] = async (method, target, body, clientAddress = '192.0.2.1') => {
    const bytes = body === undefined ? null
      : body instanceof Uint8Array ? body : text(JSON.stringify(body));
    const answer = await terrctl.handle({
      method, target, headers: ['host', 'localhost'], body: bytes, clientAddress,
    });
    if (answer === null) throw new Error('not a request of the protocol');
    return read(t, answer);
  };
  return {
    ...parts, terrctl, faults, ask,
    async run(upload) {
      const { json: { id } } = await ask('POST', '/deploy', upload);
      const messages: string[] = [];
      for (;;) {
        const { json } = await ask('GET', `/status/${encodeURIComponent(id)}`);
        if (json.message !== messages.at(-1)) messages.push(json.message);
        if (json.done || !json.success) return { id, messages, last: json };
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
  };
}

/** As Go's `archive/tar` and `RawStdEncoding` make it: no folders, no padding. */
async function upload(
  lang: string, files: Record<string, string | Uint8Array>, options: string[] | null = null,
): Promise<Record<string, unknown>> {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) {
    archive.entry({ name, mode: 0o600, mtime: new Date() }, Buffer.from(content as Uint8Array));
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return { lang, options, tar: Buffer.concat(chunks).toString('base64').replace(/=+$/, '') };
}

t.test('a module is deployed and told of as the client expects', async (t) => {
  const sandbox = await createSandbox(t);
  const first = await sandbox.ask('POST', '/deploy', await upload('wasm', {
    '/home/me/hello.wasm': await guest(1),
  }));
  t.match(first, { status: 200, json: {
    id: ID, success: true, message: 'Upload complete, waiting for build...',
  } });
  t.same(Object.keys(first.json), ['id', 'success', 'message']);

  const { id, messages, last } = await sandbox.run(await upload('wasm', {
    'module.wasm': await guest(2), 'other.wasm': await guest(3),
  }));
  t.match(id, ID);
  t.same(last, {
    status: 'done', message: `Deploy complete: http://${id}.localhost:8080/`, success: true,
    done: true,
  });
  const known = [
    'Upload complete, waiting for build...', 'Building...', 'Generating machine code...',
    'Deploying...', last.message,
  ];
  t.same(messages, known.filter((message) => messages.includes(message)), 'in order');
  t.equal(sandbox.router.find(`${id}.localhost`)?.tenantName, 'sandbox');
  t.equal(sandbox.store.getApp(id)?.tenantId, sandbox.store.getTenant('sandbox')?.id);
});

t.test('sources, with the name of their language', async (t) => {
  const sandbox = await createSandbox(t);
  for (const [lang, files] of [
    ['wat', { 'a.wat': '(module (func (export "run")))' }],
    ['auto', { 'src/a.wat': '(module (func (export "run")))', 'README.md': 'x' }],
    ['assemblyscript', { 'index.ts': 'export function run(): void {}' }],
  ] as const) {
    const { last } = await sandbox.run(await upload(lang, files));
    t.match(last, { success: true, done: true }, lang);
  }
});

t.test('a refused upload has an id under which the reason is found', async (t) => {
  const sandbox = await createSandbox(t);
  const reason = async (body: unknown): Promise<string> => {
    const posted = await sandbox.ask('POST', '/deploy', body);
    t.match(posted.json, { id: ID, success: false });
    const { json } = await sandbox.ask('GET', `/status/${posted.json.id}`);
    t.match(json, { success: false, done: true, message: posted.json.message });
    return json.message;
  };
  t.match(await reason(text('{')), /malformed upload: the body is not JSON/);
  t.match(await reason(new Uint8Array([0xff])), /the body is not JSON/);
  t.match(await reason(undefined), /the body is not JSON/);
  t.match(await reason({ lang: 'c' }), /"tar": /);
  t.match(await reason({ lang: 7, tar: '' }), /"lang": /);
  t.match(await reason({ lang: 'c', tar: '%%%%' }), /"tar" is not base64/);
  t.match(await reason({ lang: 'c', tar: 'AAAA' }), /not a tar archive/);
  t.match(await reason(await upload('cobol', { a: 'b', c: 'd' })), /"cobol"/);
  t.match(await reason(await upload('c', { '../a.c': '', 'b.c': '' })), /leads out of the upload/);
  t.match(await reason(await upload('wat', { 'a.wat': '' }, ['--evil'])), /options are -O0/);
  t.same(sandbox.faults, []);
});

t.test('a failed build ends with what the compiler said, cut to fit', async (t) => {
  const sandbox = await createSandbox(t);
  const lines = Array.from({ length: 500 }, (_, line) => `(call $no${line}) ;; 😀 "`).join('\n');
  const source = `(module (func\n${lines}\n))`;
  const { last } = await sandbox.run(await upload('wat', { 'a.wat': source }));
  t.match(last, { status: 'build_failed', success: false, done: true });
  t.match(last.message, /^the source does not build: a\.wat is not valid WebAssembly text\na\.wat/);
  t.match(last.message, /\[\.\.\.\]$/);
  t.ok(last.message.length > 1_000, 'cut no more than needed');
  const { last: missing } = await sandbox.run(await upload('wat', { 'a.wat': '(module)' }));
  t.match(missing.message, /^the module lacks an export that is needed: there is no export "run"/);
});

t.test('requests that are not of the protocol', async (t) => {
  const sandbox = await createSandbox(t);
  const ask = (method: string, target: string) =>
    sandbox.terrctl.handle({
      method, target, headers: [], body: null, clientAddress: '',
    });
  for (const target of ['/', '/deploys', '/deploy/x', '/statuses', '/x/status/y']) {
    t.equal(ask('GET', target), null, target);
  }
  t.match(await sandbox.ask('GET', '/deploy'), { status: 405, json: { message: 'use POST' } });
  t.match(await sandbox.ask('DELETE', '/status/x'), { status: 405, json: { done: true } });
  for (const id of ['', 'nothing', 'a-b-c-d', '%00', '../x']) {
    t.match(await sandbox.ask('GET', `/status/${id}`), {
      status: 404, json: { success: false, done: true, message: /no such deployment/ },
    }, id);
  }
  t.match(healthAnswer('GET', '/__health'), { status: 200, body: 'ok\n' });
  t.match(healthAnswer('HEAD', '/__health?x'), { status: 200 });
  for (const [method, target] of [['POST', '/__health'], ['GET', '/__healthy'], ['GET', '/']]) {
    t.equal(healthAnswer(method ?? '', target ?? ''), null);
  }
});

t.test('a daemon that was started again still knows what lives', async (t) => {
  const sandbox = await createSandbox(t);
  const { id } = await sandbox.run(await upload('wasm', { 'a.wasm': await guest(1) }));
  const tenant = sandbox.store.getTenant('sandbox');
  const again = new Terrctl({
    ...sandbox, tenant: () => tenant ?? sandbox.tenant, urlOf: () => 'https://again.example.com/',
    onFault: () => {},
  });
  const answer = await again.handle({
    method: 'GET', target: `/status/${id}`, headers: [], body: null, clientAddress: '',
  });
  t.match(JSON.parse(answer?.body ?? ''), {
    success: true, done: true, message: 'Deploy complete: https://again.example.com/',
  });
  await sandbox.pipeline.deploy({
    tenant: sandbox.tenant, label: 'one-two-three-four', language: 'auto',
    files: [{ path: 'a.wasm', bytes: await guest(1) }],
  }, () => {});
  t.equal((await sandbox.ask('GET', '/status/one-two-three-four')).status, 404,
    'nobody else\'s apps are told of');
});

t.test('what anyone can make us hold is bounded', async (t) => {
  const sandbox = await createSandbox(t, { liveMax: 2, deploysPerMinuteMax: 4 });
  const body = await upload('wasm', { 'a.wasm': await guest(1) });
  for (const _ of [1, 2]) t.equal((await sandbox.run(body)).last.success, true);
  t.match((await sandbox.ask('POST', '/deploy', body)).json, {
    success: false, message: /2 sandboxes live already/,
  });
  await sandbox.ask('POST', '/deploy', body);
  t.match((await sandbox.ask('POST', '/deploy', body)).json, {
    success: false, message: /more than 4 deploys in a minute/,
  });
  t.match((await sandbox.ask('POST', '/deploy', body, '192.0.2.9')).json, {
    message: /sandboxes live already/,
  }, 'another address has a count of its own');
});

t.test('a sandbox goes when its time has come', async (t) => {
  const sandbox = await createSandbox(t, { lifeMs: 300 });
  const { id } = await sandbox.run(await upload('wasm', { 'a.wasm': await guest(1) }));
  const removed: string[] = [];
  const expiry = startExpiry({
    store: sandbox.store, intervalMs: 20, onFault: (error) => t.fail(String(error)),
    onRemove: ({ label, appId }) => {
      sandbox.router.remove(appId);
      removed.push(label);
    },
  });
  t.teardown(() => expiry.stop());
  while (removed.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  t.same(removed, [id]);
  t.equal(sandbox.router.find(`${id}.localhost`), undefined);
  while ((await sandbox.ask('GET', `/status/${id}`)).status !== 404) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

t.test('ids are four of many words', async (t) => {
  t.equal(new Set(WORDS).size, WORDS.length, 'no word twice');
  t.ok(WORDS.length ** 4 >= 2 ** 44);
  for (const word of WORDS) if (!/^[a-z]{3,10}$/.test(word)) t.fail(word);
});

t.test('a web page cannot make a browser deploy', async (t) => {
  const sandbox = await createSandbox(t);
  const body = text(JSON.stringify(await upload('wasm', { 'hello.wasm': await guest(1) })));
  for (const origin of ['https://example.com', 'null', 'http://localhost:8080']) {
    const answer = await sandbox.terrctl.handle({
      method: 'POST', target: '/deploy', headers: ['host', 'localhost:8080', 'origin', origin],
      body, clientAddress: '127.0.0.1',
    });
    if (answer === null) throw new Error('not a request of the protocol');
    const { status, json } = read(t, answer);
    t.equal(status, 403);
    t.match(json, { success: false, done: true });
  }
  t.equal(sandbox.store.listApps((await sandbox.store.ensureTenant('sandbox')).id).length, 0);
});
