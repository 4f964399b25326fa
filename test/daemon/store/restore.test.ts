/** Restoring a backup: into a new folder, over a database, and every way in which it is refused. */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { restore } from '../../../daemon/store/restore.ts';
import { openStore } from '../../../daemon/store/store.ts';
import { skipWithout } from '../../harness/tools.ts';
import { bytes, deployed, deployOf, text } from './support.ts';

const KEY = new Uint8Array(32).fill(5);
const RESTORE = fileURLToPath(new URL('../../../daemon/store/restore.ts', import.meta.url));
const STRACE = { skip: skipWithout('strace') };

async function backedUp(t: { testdir(): string }) {
  const folder = join(t.testdir(), 'data');
  const backup = join(folder, 'backup.db');
  const store = await openStore({ dataFolder: folder, durability: 'process', secretKeys: [KEY] });
  const { app } = await deployed(store, 'hello');
  await store.environment.putSecret(app.id, 'KEY', bytes('one'));
  await store.namespaces.write({
    op: 'kv_put', storeId: app.id, key: bytes('a'), value: bytes('of the backup'), mode: 'always',
  });
  await store.backup(backup);
  return { folder, backup, store, app };
}

t.test('into a new folder', async (t) => {
  const { folder, backup, store, app } = await backedUp(t);
  await store.close();
  const target = join(folder, '..', 'new');
  t.match(restore(backup, target), { apps: 1, tenants: 1, kept: null });
  t.equal(statSync(join(target, 'wardian.db')).mode & 0o777, 0o600);
  const restored = await openStore({ dataFolder: target });
  t.equal(restored.getApp('hello')?.id, app.id);
  t.equal(text(restored.namespaces.read(app.id, bytes('a'))?.value ?? null), 'of the backup');
  await restored.close();
});

t.test('over a database: it stays beside, and no id is given out twice', async (t) => {
  const { folder, backup, store, app } = await backedUp(t);
  const { id: tenantId } = await store.ensureTenant('acme');
  const later = await store.saveDeploy(deployOf(tenantId, 'later', 'made since'));
  const second = await store.saveDeploy(deployOf(tenantId, 'hello', 'a second version'));
  const token = await store.tenants.createToken({
    tenantId, name: 'since', scope: 'read', expiresAtMs: null,
  });
  const put = await store.namespaces.write({
    op: 'kv_put', storeId: app.id, key: bytes('a'), value: bytes('newer'), mode: 'always',
  });
  await store.environment.putSecret(app.id, 'KEY', bytes('two'));
  await store.close();

  const { kept, warnings } = restore(backup, folder);
  t.same(warnings, []);
  t.ok(kept !== null && existsSync(kept), 'what was there is still there');
  const left = readdirSync(folder).filter((name) => /^restore-|-wal$|-shm$/.test(name));
  t.same(left, [], 'nothing is left');
  const restored = await openStore({ dataFolder: folder, secretKeys: [KEY] });
  t.equal(restored.getApp('later'), null);
  t.equal(restored.tenants.authenticate(token.secret), null);
  t.equal(text(restored.namespaces.read(app.id, bytes('a'))?.value ?? null), 'of the backup');
  const fresh = await restored.saveDeploy(deployOf(tenantId, 'fresh', 'after the restore'));
  t.ok(fresh.app.id > later.app.id, 'ids of apps go on');
  t.ok(fresh.version.id > second.version.id, 'ids of versions go on');
  const third = await restored.saveDeploy(deployOf(tenantId, 'hello', 'a third version'));
  t.equal(third.version.number, second.version.number + 1, 'numbers of versions go on');
  const newer = await restored.namespaces.write({
    op: 'kv_put', storeId: app.id, key: bytes('a'), value: bytes('again'), mode: 'always',
  });
  t.ok(newer.revision > put.revision, 'revisions go on');
  const next = await restored.tenants.createToken({
    tenantId, name: 'next', scope: 'read', expiresAtMs: null,
  });
  t.ok(next.token.id > token.token.id, 'ids of tokens go on');
  const secret = await restored.environment.putSecret(app.id, 'KEY', bytes('three'));
  t.equal(secret.version.number, 3, 'numbers of secrets go on');
  await restored.close();
});

t.test('at every moment there is a database under its name', STRACE, async (t) => {
  const { folder, backup, store } = await backedUp(t);
  await store.close();
  const trace = join(folder, '..', 'trace');
  const source = `import { restore } from ${JSON.stringify(RESTORE)};
    restore(${JSON.stringify(backup)}, ${JSON.stringify(folder)});`;
  const { status, stderr } = spawnSync('strace', [
    '-f', '-o', trace, '-e', 'trace=rename,renameat,renameat2,link,linkat,unlink,unlinkat',
    process.execPath, '--input-type=module', '-e', source,
  ], { encoding: 'utf8', timeout: 60_000 });
  t.equal(status, 0, stderr);
  const name = JSON.stringify(join(folder, 'wardian.db'));
  const calls = readFileSync(trace, 'utf8').split('\n').filter((line) => line.includes(name));
  t.equal(calls.length, 2, calls.join('\n'));
  t.match(calls[0], /link(at)?\(/, 'it has a second name');
  t.match(calls[1], /rename\w*\(.*restore-[^"]*\.db".*wardian\.db"/, 'the new one takes its place');
});

t.test('in place of a database that cannot be read', async (t) => {
  const { folder, backup, store } = await backedUp(t);
  await store.close();
  writeFileSync(join(folder, 'wardian.db'), 'no database at all'.repeat(1_000));
  t.match(restore(backup, folder), { apps: 1, warnings: [/cannot be read/] });
  await (await openStore({ dataFolder: folder })).close();
});

/** The first pages that hold rows of the table, other than its root, are no pages any more. */
function damageLeaf(path: string, table: string): void {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE');
  const size = Number(database.prepare('PRAGMA page_size').get()?.['page_size']);
  const root = Number(database.prepare(
    'SELECT rootpage FROM sqlite_schema WHERE name = ?').get(table)?.['rootpage']);
  database.close();
  const file = readFileSync(path);
  const at = (root - 1) * size;
  // https://sqlite.org/fileformat.html: 5 is an interior page of a table, 13 a leaf.
  const page = file[at] === 5 ? file.readUInt32BE(at + file.readUInt16BE(at + 12)) : root;
  file.fill(0xee, (page - 1) * size, (page - 1) * size + 64);
  writeFileSync(path, file);
}

for (const table of ['app', 'secret', 'kv_store', 'sqlite_sequence']) {
  t.test(`in place of a database whose ${table} is damaged`, async (t) => {
    const { folder, backup, store, app } = await backedUp(t);
    let last = app;
    for (let index = 0; index < 60; index += 1) {
      last = (await store.saveDeploy(deployOf(app.tenantId, `app-${index}`, `m${index}`))).app;
    }
    for (let index = 0; index < 40; index += 1) {
      await store.environment.putSecret(app.id, 'KEY', bytes('two'.repeat(500)));
    }
    const { number } = (await store.environment.putSecret(app.id, 'KEY', bytes('x'))).version;
    const put = await store.namespaces.write({
      op: 'kv_put', storeId: app.id, key: bytes('a'), value: bytes('newer'), mode: 'always',
    });
    await store.close();
    damageLeaf(join(folder, 'wardian.db'), table);

    const { apps, warnings } = restore(backup, folder);
    t.equal(apps, 1);
    t.same(warnings.filter((warning) => !warning.includes(`table ${table} `)), []);
    if (table !== 'secret') t.ok(warnings.length > 0, 'it says so');
    const restored = await openStore({ dataFolder: folder, secretKeys: [KEY] });
    const fresh = await restored.saveDeploy(deployOf(app.tenantId, 'fresh', 'since'));
    t.ok(fresh.app.id > last.id, 'ids go on');
    const secret = await restored.environment.putSecret(app.id, 'KEY', bytes('y'));
    t.ok(secret.version.number > number, 'numbers of secrets go on');
    const again = await restored.namespaces.write({
      op: 'kv_put', storeId: app.id, key: bytes('a'), value: bytes('again'), mode: 'always',
    });
    if (table !== 'kv_store') t.ok(again.revision > put.revision, 'revisions go on');
    await restored.close();
  });
}

t.test('refused, and the folder is as it was', async (t) => {
  const { folder, backup, store } = await backedUp(t);
  t.throws(() => restore(backup, folder), { code: 'store_failed', message: /in use by process/ });
  await store.close();
  const before = readdirSync(folder).toSorted();
  const refuse = (file: string, expected: RegExp): void => {
    t.throws(() => restore(join(folder, file), folder), {
      code: 'store_failed', message: expected,
    });
  };
  const good = readFileSync(backup);
  writeFileSync(join(folder, 'words'), 'these are only words, a good many of them'.repeat(100));
  writeFileSync(join(folder, 'cut'), good.subarray(0, good.length / 2));
  writeFileSync(join(folder, 'flipped'), good.map((byte, at) => (at > 8_192 && at < 40_000
    ? byte ^ 0xff : byte)));
  new DatabaseSync(join(folder, 'foreign')).exec('CREATE TABLE other (a)');
  const newer = join(folder, 'newer');
  writeFileSync(newer, good);
  const database = new DatabaseSync(newer);
  database.exec('PRAGMA user_version = 999');
  database.close();
  refuse('words', /damaged|not a database/);
  refuse('cut', /damaged/);
  refuse('flipped', /damaged/);
  refuse('foreign', /not a Wardian database/);
  refuse('newer', /newer Wardian/);
  refuse('absent', /cannot be opened: ENOENT/);
  const more = ['words', 'cut', 'flipped', 'foreign', 'newer'];
  t.same(readdirSync(folder).toSorted(), [...before, ...more].toSorted());
  const same = await openStore({ dataFolder: folder });
  t.not(same.getApp('hello'), null, 'it still serves');
  await same.close();
});
