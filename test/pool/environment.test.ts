/** Environment, secrets and bindings on their way to a guest, through real worker threads. */

import t from 'tap';
import { secretKeyId, sealSecret } from '../../contract/sealed.ts';
import { World, startPool } from './world.ts';

const world = new World();
t.teardown(() => world.remove());
const KEY = new Uint8Array(Buffer.alloc(32, 7));

/** Answers with what `get` gives for the name `NAME`; 404 without. */
function giving(hostcall: string): string {
  return `(module
    (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
    (import "env" "${hostcall}" (func $get (param i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
    (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
    (memory 1) (data (i32.const 16) "NAME") (table 3 funcref) (elem (i32.const 1) $malloc $free)
    (func $malloc (param i32) (result i32) (i32.const 1024)) (func $free (param i32))
    (func (export "run")
      (call $init (i32.const 1) (i32.const 2))
      (if (call $get (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 4))
        (then (drop (call $body (i32.const 0) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
        (else (drop (call $status (i32.const 0) (i32.const 404)))))))`;
}

/** Answers 200 + the handle of the binding `NAME`. */
const OPENING = `(module
  (import "env" "hostcall_kv_open" (func $open (param i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
  (memory 1) (data (i32.const 16) "NAME")
  (func (export "run") (drop (call $status (i32.const 0)
    (i32.add (i32.const 201) (call $open (i32.const 16) (i32.const 4)))))))`;

const text = (body: Uint8Array | null): string => Buffer.from(body ?? []).toString();

t.test('a variable comes with its generation', async (t) => {
  const { ask } = await startPool(t, world, { threads: 2 });
  const deployed = world.deploy(giving('hostcall_env_get'));
  const other = world.deploy(giving('hostcall_env_get'));
  t.equal((await ask(deployed)).status, 404);
  for (const value of ['one', 'zwei Ä', '']) {
    world.database.prepare('INSERT OR REPLACE INTO env VALUES (?, ?, ?)')
      .run(deployed.versionId, 'NAME', value);
    const generation = world.change(deployed.versionId, {});
    for (let turn = 0; turn < 4; turn += 1) {
      const reply = await ask(deployed, { generation });
      t.equal(reply.status, 200);
      t.equal(text(reply.body), value);
    }
  }
  t.equal((await ask(other)).status, 404, 'apps do not see each other\'s');
});

t.test('a binding comes with its generation', async (t) => {
  const { ask } = await startPool(t, world);
  const deployed = world.deploy(OPENING);
  t.equal((await ask(deployed)).status, 200);
  const { lastInsertRowid } = world.database.prepare(
    "INSERT INTO kv_store (tenant_id, name, created_at_ms) VALUES (1, 'space', 0)").run();
  world.database.prepare('INSERT INTO binding VALUES (?, ?, ?)')
    .run(deployed.versionId, 'NAME', lastInsertRowid);
  const generation = world.change(deployed.versionId, {});
  t.equal((await ask(deployed, { generation })).status, 202);
});

t.test('a secret is opened in the worker, and only for its app', async (t) => {
  const { ask, logs, internalErrors } = await startPool(t, world, { secretKeys: [KEY] });
  const deployed = world.deploy(giving('hostcall_secret_get'));
  const other = world.deploy(giving('hostcall_secret_get'));
  const put = (appId: number, key: Uint8Array, value: string): void => {
    world.database.prepare(`
      INSERT INTO secret (app_id, name, number, key_id, sealed, effective_at_ms, created_at_ms)
      VALUES (?, 'NAME', (SELECT count(*) + 1 FROM secret), ?, ?,
        (SELECT count(*) FROM secret), 0)`,
    ).run(appId, secretKeyId(key), sealSecret(key, appId, 'NAME', Buffer.from(value)));
  };
  t.equal((await ask(deployed)).status, 404);
  put(deployed.versionId, KEY, 'hush');
  t.equal(text((await ask(deployed)).body), 'hush');
  t.equal((await ask(other)).status, 404);
  put(deployed.versionId, KEY, 'hush hush');
  t.equal(text((await ask(deployed)).body), 'hush hush');
  put(deployed.versionId, new Uint8Array(32), 'of a key that is gone');
  const { failure } = await ask(deployed);
  t.equal(failure?.code, 'store_failed');
  t.notMatch(JSON.stringify([failure, logs, internalErrors]), /hush/);
});
