/**
 * Every hostcall tried by one tenant's guest with what is another's: handles of a guest that waits
 * in the same thread at that time, ids of its stores, names of its bindings, variables, secrets and
 * keys. The hostcalls come from the table that guests are given: one without a sample here fails.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';

import type { ModuleFacts } from '../../contract/deployment.ts';
import { KeyRing } from '../../contract/key-ring.ts';
import { MIB, REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import type { GuestLogLine, ReplyMessage, RequestMessage } from '../../contract/messages.ts';
import { openStore } from '../../daemon/store/store.ts';
import type { Deployed } from '../../daemon/store/store.ts';
import { HOSTCALL_NUMBERS } from '../../hostcalls/numbers.ts';
import { inspectModule } from '../../hostcalls/index.ts';
import { HOSTCALLS } from '../../hostcalls/tables.ts';
import { createPool } from '../../pool/pool.ts';
import { rewrite } from '../../pool/rewrite/index.ts';
import { openUpstream, until } from '../e2e/world.ts';
import { attack, victim } from './isolation-guests.ts';
import { SAMPLES, isForged, nameOf } from './isolation-samples.ts';

/** What is in everything of the victim's, and in nothing of the attacker's. */
const MARK = /mark-\w+/;
const KEY = new Uint8Array(32).fill(3);
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

interface World {
  readonly store: Awaited<ReturnType<typeof openStore>>;
  readonly logs: GuestLogLine[];
  readonly internalErrors: string[];
  deploy(tenantId: number, label: string, module: Uint8Array): Promise<Deployed>;
  ask(deployed: Deployed, request?: Partial<RequestMessage>): Promise<ReplyMessage>;
}

/** A store and a pool of one thread: all guests are in it. */
async function start(t: Test): Promise<World> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'wardian-isolation-'));
  const store = await openStore({ dataFolder, durability: 'process', secretKeys: [KEY] });
  const logs: GuestLogLine[] = [];
  const internalErrors: string[] = [];
  const pool = await createPool({
    settings: {
      databasePath: store.databasePath, limits: REQUEST_LIMITS_DEFAULT, threads: 1,
      moduleCacheBytesMax: 64 * MIB, memoryPoolBytesMax: 64 * MIB, guestsPerWorkerMax: 1_000,
      niceness: 0,
      egressAllow: ['127.0.0.0/8'], dnsServers: ['127.0.0.1:9'],
      secretKeys: KeyRing.of([KEY]).memory,
    },
    onStorePort: (port) => store.attachWorker(port),
    onLogs: (lines) => logs.push(...lines),
    onWorkerLost: (reason) => internalErrors.push(reason),
    onInternalError: (text) => internalErrors.push(text),
  });
  t.teardown(async () => {
    await pool.close();
    await store.close();
    rmSync(dataFolder, { recursive: true });
  });
  let sequence = 0;
  return {
    store, logs, internalErrors,
    deploy(tenantId, label, module) {
      const rewritten = rewrite(module, {
        memoryBytesMax: 128 * MIB, numbers: HOSTCALL_NUMBERS,
      });
      const { abi, entry, suspends } = inspectModule(rewritten.imports, rewritten.exports);
      const facts: ModuleFacts = { ...rewritten, abi, entry, suspends };
      return store.saveDeploy({
        tenantId, label, language: 'wat', module, rewriteKey: 'key',
        artifact: { bytes: rewritten.bytes, facts },
      });
    },
    ask: (deployed, request = {}) => pool.run({
      sequence: ++sequence, requestId: `request-${sequence}`, versionId: deployed.version.id,
      generation: store.getApp(deployed.app.label)?.generation ?? 0, method: 'GET', target: '/',
      host: 'app.localhost', headers: [], body: null, clientAddress: '127.0.0.1', secure: false,
      deadlineAt: performance.timeOrigin + performance.now() + 60_000, streamed: false,
      ...request,
    }),
  };
}

/** A tenant with an app and one of everything that a guest can reach. Answers with all the ids. */
async function settle({ store, deploy }: World, module: Uint8Array): Promise<{
  app: Deployed; storeIds: number[];
}> {
  const { id } = await store.ensureTenant('mark-tenant');
  const app = await deploy(id, 'mark-app', module);
  await store.environment.setEnv(app.appId, { COLOR: 'mark-env' });
  await store.environment.putSecret(app.appId, 'PASSWORD', bytes('mark-secret'));
  const { id: vault } = await store.namespaces.create(id, 'vault');
  await store.namespaces.bind(app.appId, 'BOX', vault);
  for (const [storeId, value] of [[app.appId, 'mark-own'], [vault, 'mark-vault']] as const) {
    for (const key of ['greeting', 'mark-key']) {
      await store.namespaces.write({
        op: 'kv_put', storeId, key: bytes(key), value: bytes(value), mode: 'always',
      });
    }
  }
  return { app, storeIds: [app.appId, vault] };
}

/** All that the victim has in the store. */
function stateOf({ store }: World, app: Deployed, storeIds: readonly number[]): unknown {
  const text = (value?: Uint8Array | null): string => Buffer.from(value ?? []).toString();
  return [
    store.getApp(app.app.label), [...store.environment.env(app.appId)],
    [...store.namespaces.bindings(app.appId)],
    text(store.environment.secret(app.appId, 'PASSWORD')),
    storeIds.map((id) => store.namespaces.keys(id, bytes('')).keys.map(({ key, revision }) =>
      [text(key), revision, text(store.namespaces.read(id, key)?.value)])),
  ];
}

t.test('every hostcall has a sample', async (t) => {
  const names = [...HOSTCALLS].flatMap(([module, hostcalls]) =>
    [...hostcalls.keys()].map((name) => nameOf(module, name)));
  t.same(Object.keys(SAMPLES).toSorted(), names.toSorted());
  const handles = new Set(['req', 'resp', 'p', 'ps', 'store', 'fd']);
  for (const [module, hostcalls] of HOSTCALLS) {
    for (const [name, { parameters }] of hostcalls) {
      const samples = SAMPLES[nameOf(module, name)] ?? [];
      for (const { args } of samples) {
        t.equal(args.length, parameters.length, `${name} is given all its arguments`);
      }
      if (!parameters.some((parameter) => handles.has(parameter.name))) continue;
      t.ok(samples.some(isForged), `${name} is given forged handles`);
    }
  }
});

t.test('no hostcall reaches what is another tenant\'s', async (t) => {
  const world = await start(t);
  const { store, deploy, ask, logs } = world;
  const at = await openUpstream(t, 'mark-upstream');
  at.release();
  const held = await openUpstream(t, 'mark-later');
  const { app, storeIds } = await settle(world, victim(at.url, held.url));
  const before = stateOf(world, app, storeIds);
  const waiting = ask(app, {
    target: '/mark-path', headers: ['x-secret', 'mark-header'], body: bytes('mark-body'),
  });
  await until('the victim waits', () => held.held() === 1);

  const { id: rival } = await store.ensureTenant('rival');
  await store.namespaces.create(rival, 'vault');
  // The victim's handles are 1 to 6: see its guest.
  const forged = [...new Set([1, 2, 3, 4, 5, 6, ...storeIds, rival, 99, -1, 2 ** 31 - 1])];
  let tried = 0;
  for (const [module, hostcalls] of HOSTCALLS) {
    for (const [name, called] of hostcalls) {
      for (const [n, sample] of (SAMPLES[nameOf(module, name)] ?? []).entries()) {
        const label = `rival-${name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-')}-${n}`;
        const guest = await deploy(rival, label, attack(module, called, sample.args, at.url));
        const least = sample.least ?? 0;
        const handles = isForged(sample)
          ? forged.filter((handle) => handle < 0 || handle >= least) : [0];
        for (const handle of handles) {
          const body = new Uint8Array(Int32Array.of(handle).buffer);
          const reply = await ask(guest, { body });
          tried += 1;
          const what = `${nameOf(module, name)} with ${handle}`;
          const memory = Buffer.from(reply.body ?? []);
          const shown = JSON.stringify([reply.failure, reply.headers]) + memory.toString('latin1');
          t.notMatch(shown, MARK, `${what} shows nothing`);
          if (sample.is === 'own') continue;
          const result = memory.length < 24 ? reply.failure : memory.readInt32LE(16);
          if (sample.is === 'ended') t.equal(reply.failure?.code, 'bad_hostcall', what);
          else t.equal(result, sample.is, what);
        }
      }
    }
  }
  t.ok(tried > 300, `${tried} attempts`);
  t.equal(held.held(), 1, 'the victim has been there all the time');
  held.release();
  const { status, body, failure } = await waiting;
  t.same([status, failure], [201, null]);
  const seen = Buffer.from(body ?? []).toString('latin1');
  for (const own of ['mark-vault', 'mark-upstream', 'mark-later', 'mark-body', 'mark-path']) {
    t.ok(seen.includes(own), `the victim has its own ${own}`);
  }
  t.notMatch(seen, /stolen/);
  t.same(stateOf(world, app, storeIds), before, 'and all that it stored is as it was');
  await until('logs have come', () => logs.some(({ text }) => text.includes('stolen')));
  t.notOk(logs.some((line) => line.versionId === app.version.id), 'nothing in the victim\'s log');
  t.same(world.internalErrors, []);
});
