/**
 * Namespaces end to end: the store's writer, worker threads, and guests that share a namespace or
 * must not.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { ModuleFacts } from '../../contract/deployment.ts';
import { MIB, REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import type { ReplyMessage } from '../../contract/messages.ts';
import { openStore } from '../../daemon/store/store.ts';
import type { Deployed } from '../../daemon/store/store.ts';
import { HOSTCALL_NUMBERS } from '../../hostcalls/numbers.ts';
import { inspectModule } from '../../hostcalls/index.ts';
import { createPool } from '../../pool/pool.ts';
import { rewrite } from '../../pool/rewrite/index.ts';
import { assemble, dueIn } from './world.ts';

/**
 * Adds 1 to `key` of the namespace `counts` and answers the number; 404 without the binding. With
 * a body, the store is whatever handle its first byte says.
 */
const COUNTING = `(module
  (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
  (import "env" "hostcall_req_get_body" (func $sent (param i32 i32 i32)))
  (import "env" "hostcall_kv_open" (func $open (param i32 i32) (result i32)))
  (import "env" "hostcall_kv_increment"
    (func $increment (param i32 i32 i32 i32 i64) (result i32)))
  (import "env" "hostcall_kv_get" (func $get (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
  (memory 1) (data (i32.const 16) "countskey")
  (table 3 funcref) (elem (i32.const 1) $malloc $free)
  (func $malloc (param i32) (result i32) (i32.const 1024)) (func $free (param i32))
  (func (export "run") (local $store i32)
    (call $init (i32.const 1) (i32.const 2))
    (call $sent (i32.const 0) (i32.const 4) (i32.const 0))
    (local.set $store (if (result i32) (i32.load (i32.const 4))
      (then (i32.load8_u (i32.load (i32.const 0))))
      (else (call $open (i32.const 16) (i32.const 6)))))
    (if (i32.lt_s (call $increment (i32.const 0) (local.get $store) (i32.const 22) (i32.const 3)
        (i64.const 1)) (i32.const 0))
      (then (drop (call $status (i32.const 0) (i32.const 404))) (return)))
    (drop (call $get (i32.const 0) (i32.const 4) (i32.const 8) (local.get $store) (i32.const 22)
      (i32.const 3)))
    (drop (call $body (i32.const 0) (i32.load (i32.const 0)) (i32.load (i32.const 4))))))`;

const module = assemble(COUNTING);
const rewritten = rewrite(module, {
  memoryBytesMax: 128 * MIB, numbers: HOSTCALL_NUMBERS,
});
const { abi, entry, suspends } = inspectModule(rewritten.imports, rewritten.exports);
const facts: ModuleFacts = { ...rewritten, abi, entry, suspends };

async function start() {
  const dataFolder = mkdtempSync(join(tmpdir(), 'wardian-namespaces-'));
  const store = await openStore({ dataFolder, durability: 'process' });
  const internalErrors: string[] = [];
  const pool = await createPool({
    settings: {
      databasePath: store.databasePath, limits: REQUEST_LIMITS_DEFAULT, threads: 2,
      moduleCacheBytesMax: 64 * MIB, memoryPoolBytesMax: 64 * MIB, guestsPerWorkerMax: 1_000,
      niceness: 0,
      egressAllow: [], dnsServers: [],
    },
    onStorePort: (port) => store.attachWorker(port),
    onLogs: () => {},
    onWorkerLost: (reason) => internalErrors.push(reason),
    onInternalError: (text) => internalErrors.push(text),
  });
  t.teardown(async () => {
    await pool.close();
    await store.close();
    rmSync(dataFolder, { recursive: true });
  });
  const deploy = (tenantId: number, label: string): Promise<Deployed> => store.saveDeploy({
    tenantId, label, language: 'wat', module, rewriteKey: 'key',
    artifact: { bytes: rewritten.bytes, facts },
  });
  let sequence = 0;
  const ask = async (deployed: Deployed, handle?: number): Promise<ReplyMessage> => pool.run({
    sequence: ++sequence, requestId: `request-${sequence}`, versionId: deployed.version.id,
    generation: store.getApp(deployed.app.label)?.generation ?? 0, method: 'GET', target: '/',
    host: 'app.localhost', headers: [],
    body: handle === undefined ? null : new Uint8Array([handle]), clientAddress: '127.0.0.1',
    secure: false, deadlineAt: dueIn(20_000), streamed: false,
  });
  return { store, deploy, ask, internalErrors };
}

const text = ({ status, body }: ReplyMessage): string =>
  `${status} ${Buffer.from(body ?? []).toString()}`;

t.test('apps of a tenant share a namespace, another tenant\'s does not see it', async (t) => {
  const { store, deploy, ask, internalErrors } = await start();
  const { id: acme } = await store.ensureTenant('acme');
  const { id: rival } = await store.ensureTenant('rival');
  const [one, two, other] = [
    await deploy(acme, 'one'), await deploy(acme, 'two'), await deploy(rival, 'other'),
  ];
  t.equal(text(await ask(one)), '404 ', 'without a binding there is none');
  const { id: shared } = await store.namespaces.create(acme, 'shared');
  const { id: own } = await store.namespaces.create(rival, 'shared');
  await store.namespaces.bind(one.appId, 'counts', shared);
  await store.namespaces.bind(two.appId, 'counts', shared);
  await store.namespaces.bind(other.appId, 'counts', own);
  await t.rejects(store.namespaces.bind(other.appId, 'more', shared), { code: 'not_found' });
  t.equal(text(await ask(one)), '200 1');
  t.equal(text(await ask(two)), '200 2');
  t.equal(text(await ask(other)), '200 1');
  t.equal(text(await ask(one, 0)), '200 1', 'its own store is another');
  for (const handle of [1, shared, own, two.appId, 255]) {
    t.equal(text(await ask(other, handle)), '404 ', `the handle ${handle} was not given`);
  }
  await Promise.all(Array.from({ length: 100 }, (_, turn) => ask(turn % 2 === 0 ? one : two)));
  t.equal(text(await ask(one)), '200 103', 'no increment is lost');
  await store.namespaces.unbind(two.appId, 'counts');
  t.equal(text(await ask(two)), '404 ');
  await store.namespaces.delete(shared);
  t.equal(text(await ask(one)), '404 ');
  t.equal(text(await ask(other)), '200 2');
  t.strictSame(internalErrors, []);
});
