/**
 * Backups while the store is written to: whole, consistent, for their owner alone.
 */

import { copyFileSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';

import { openStore } from '../../../daemon/store/store.ts';
import { WorkerPort, bytes, deployed, testStore, text } from './support.ts';

t.test('a backup taken under writes is one moment of the store', async (t) => {
  const folder = t.testdir({ data: {}, restored: {} });
  const store = await openStore({ dataFolder: join(folder, 'data'), durability: 'process' });
  const { app, version } = await deployed(store, 'hello');
  const worker = new WorkerPort(store);
  // Two keys that always change together in one commit of one writer are never apart by more than
  // the one change that was under way.
  const stopped = new AbortController();
  const writing = (async () => {
    for (let n = 0; !stopped.signal.aborted; n += 1) {
      await worker.put(app.id, 'first', `${n}`);
      await worker.put(app.id, 'second', `${n}`);
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const target = join(folder, 'backup.db');
  const byteLength = await store.backup(target);
  stopped.abort();
  await writing;
  t.equal(statSync(target).size, byteLength);
  t.equal(statSync(target).mode & 0o777, 0o600);
  const before = readdirSync(folder);
  t.same(before.toSorted(), ['backup.db', 'data', 'restored'], 'nothing but the backup');
  await t.rejects(store.backup(target), { code: 'store_failed', message: /EEXIST/ });
  await t.rejects(store.backup(join(folder, 'no', 'where')), { code: 'store_failed' });
  t.same(readdirSync(folder), before, 'nothing is left behind, and the first one is there still');
  worker.close();
  await store.close();

  const check = new DatabaseSync(target);
  t.equal(check.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok');
  check.close();
  copyFileSync(target, join(folder, 'restored', 'wardian.db'));
  const restored = await openStore({ dataFolder: join(folder, 'restored') });
  t.teardown(() => restored.close());
  t.match(restored.loadRoutes(), [{ route: { versionId: version.id } }]);
  const [first, second] = ['first', 'second'].map((key) =>
    Number(text(restored.namespaces.read(app.id, bytes(key))?.value ?? null)));
  t.ok(first === second || first === (second ?? 0) + 1, `${first} and ${second}`);
});

t.test('a backup that cannot be written is an error', async (t) => {
  const store = await testStore(t);
  mkdirSync(join(store.databasePath, '..', 'folder'));
  const target = join(store.databasePath, '..', 'folder');
  await t.rejects(store.backup(target), { code: 'store_failed' });
  await store.ensureTenant('still-works');
});
