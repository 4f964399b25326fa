/**
 * A worker while a backup takes the database's place: which requests run, and whose store they
 * have. The database itself stays the same here; only the epoch goes on.
 */

import { renameSync } from 'node:fs';
import t from 'tap';
import { STORE_REQUEST_VALUES } from '../../contract/store-wire.ts';
import { StoreEpoch } from '../../contract/store-epoch.ts';
import { answering } from './guests.ts';
import { World, startPool, until } from './world.ts';

const PADDING = '(drop (i32.mul (memory.size) (i32.const 7)))'.repeat(60_000);

/** Writes to its store. Large: other requests have their turn while it is compiled. */
const WRITING = `(module
  (import "env" "hostcall_kv_put" (func $put (param i32 i32 i32 i32 i32 i32 i64) (result i32)))
  (memory 1) (data (i32.const 16) "key")
  (func ${PADDING})
  (func (export "run")
    (drop (call $put (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 3)
      (i32.const 64) (i32.const 100) (i64.const 0)))))`;

function setUp(t: { teardown(handler: () => unknown): void }) {
  const world = new World();
  t.teardown(() => world.remove());
  const epoch = new StoreEpoch();
  return {
    world, epoch,
    start: () => startPool(t, world, { storeEpoch: epoch.memory }),
    replaced() {
      epoch.begin();
      epoch.end();
    },
  };
}

t.test('one whose module took longer than the restore never meets the new store', async (t) => {
  const { world, start, replaced } = setUp(t);
  const { ask, storePorts, internalErrors } = await start();
  const small = world.deploy(answering(201));
  const writing = world.deploy(WRITING);
  t.match(await ask(small, { epoch: 0 }), { status: 201 });
  const writes: unknown[] = [];
  storePorts[0]?.on('message', (wire: unknown[]) => writes.push(...wire));
  const late = ask(writing, { epoch: 0 });
  replaced();
  t.match(await ask(small, { epoch: 2 }), { status: 201, failure: null });
  t.match(await late, {
    failure: { code: 'store_failed', message: /restored from a backup before this request began/ },
  });
  t.same(writes, [], 'nothing was written for it');
  const again = ask(writing, { epoch: 2 });
  await until(() => writes.length === STORE_REQUEST_VALUES, 'of the new epoch it is');
  t.equal(writes.at(-1), 2);
  again.catch(() => {});
  t.same(internalErrors, []);
});

t.test('a worker is of the epoch in which it started, before any request', async (t) => {
  const { world, start, replaced } = setUp(t);
  const { ask } = await start();
  const small = world.deploy(answering(201));
  replaced();
  t.match(await ask(small, { epoch: 0 }), { status: 201 }, 'it was sent before');
  t.match(await ask(small, { epoch: 2 }), { status: 201 });
  t.match(await ask(small, { epoch: 0 }), { failure: { code: 'store_failed' } });
});

t.test('a database that cannot be opened costs requests, not the thread', async (t) => {
  const { world, start, replaced } = setUp(t);
  const { ask, internalErrors, lost } = await start();
  const small = world.deploy(answering(201));
  t.match(await ask(small, { epoch: 0 }), { status: 201 });
  const { databasePath } = world;
  renameSync(databasePath, `${databasePath}.away`);
  replaced();
  t.match(await ask(small, { epoch: 2 }), { failure: { code: 'store_failed' } });
  t.match(await ask(small, { epoch: 0 }), { failure: { code: 'store_failed' } });
  renameSync(`${databasePath}.away`, databasePath);
  t.match(await ask(small, { epoch: 2 }), { status: 201 }, 'the next one tries again');
  t.ok(internalErrors.length >= 1);
  t.same(lost, []);
});
