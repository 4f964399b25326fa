/**
 * Databases as releases left them on disks, with some of everything in them: each is migrated to
 * this schema, every row is there as it was, and the store works with it. The fixtures are written
 * by `fixtures/dump-schema.ts`, once for each schema that is released.
 */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { Test } from 'tap';

import { MIGRATIONS } from '../../../contract/schema.ts';
import { openForWriting } from '../../../daemon/store/database.ts';
import { openStore } from '../../../daemon/store/store.ts';
import type { Store } from '../../../daemon/store/store.ts';
import { FIXTURE_KEY, FIXTURE_TOKEN, LATER_MS } from './released.ts';
import { bytes, deployOf, text } from './support.ts';

const FOLDER = new URL('./fixtures/', import.meta.url);
/** The schemas that were released and those that the first release grew from. */
const SCHEMAS = readdirSync(FOLDER).map((name) => /^schema-(\d+)\.sql$/.exec(name)?.[1])
  .filter((number) => number !== undefined).map(Number).toSorted((a, b) => a - b);

/** The fixture as a file. */
function write(path: string, schema: number): void {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
  database.exec(readFileSync(new URL(`schema-${schema}.sql`, FOLDER), 'utf8'));
  database.close();
}

/** Table → columns. */
function tablesOf(database: DatabaseSync): Map<string, string[]> {
  const names = database.prepare(
    `SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).all();
  return new Map(names.map(({ name }) => [
    String(name),
    database.prepare('SELECT name FROM pragma_table_info(?) ORDER BY name').all(String(name))
      .map((row) => String(row['name'])),
  ]));
}

/** All rows of all those columns, in an order that only they decide. */
function rowsOf(
  database: DatabaseSync, tables: ReadonlyMap<string, readonly string[]>,
): Record<string, unknown[]> {
  return Object.fromEntries([...tables].map(([table, columns]) => [
    table,
    database.prepare(`SELECT ${columns.join(', ')} FROM ${table} ORDER BY ${columns.join(', ')}`)
      .all().map((row) => ({ ...row })),
  ]));
}

/** What the fixtures hold, as the store tells it. Later schemas have more than the first. */
function checkContent(t: Test, store: Store, schema: number): void {
  const acme = store.getTenant('acme');
  t.match(acme, { suspended: false, limits: { fuel: 500 } });
  t.match(store.getTenant('rival'), { suspended: true });
  const shop = store.getApp('shop');
  t.match(shop, { tenantId: acme?.id, settings: { debug: true, sticky: { name: 'x-user' } } });
  t.equal(store.getApp('brief')?.expiresAtMs, LATER_MS);
  const id = shop?.id ?? 0;
  t.same(store.listVersions(id).map(({ number }) => number), [1, 2, 3]);
  const { route, customHosts } = store.routeOf(id);
  t.match(route, { versionNumber: 2, limits: { fuel: 400 }, debug: true });
  t.same(customHosts, ['shop.example.com', 'www.example.com']);
  const read = (storeId: number, key: string): string | null =>
    text(store.namespaces.read(storeId, bytes(key))?.value ?? null);
  t.equal(read(id, 'greeting'), 'hello again');
  t.same(store.namespaces.read(id, Uint8Array.of(0, 255, 10))?.value, Uint8Array.of(0, 1, 254));
  t.equal(read(id, 'empty'), null, 'it has expired');
  const vault = store.namespaces.get(acme?.id ?? 0, 'vault')?.id ?? 0;
  t.equal(read(vault, 'count'), '42');
  t.equal(store.namespaces.read(vault, bytes('lives'))?.expiresAtMs, LATER_MS);
  if (schema < 2) return;
  t.match(store.tenants.quotas(acme?.id ?? 0), { apps: 7, storeKeys: 1_000 });
  t.match(store.tenants.authenticate(FIXTURE_TOKEN), { name: 'ci', scope: 'deploy' });
  t.same(route?.split?.map(({ versionNumber, weight }) => [versionNumber, weight]),
    [[1, 10], [2, 90]]);
  t.same(store.environment.env(id), new Map([['COLOR', 'green'], ['EMPTY', ''], ['UMLAUT', 'ä']]));
  t.equal(text(store.environment.secret(id, 'PASSWORD')), 'now');
  t.equal(text(store.environment.secret(id, 'PASSWORD', LATER_MS)), 'later');
  t.same(store.namespaces.bindings(id), new Map([['BOX', vault]]));
}

t.test('there is a fixture of the first release\'s schema', async (t) => {
  t.ok(SCHEMAS.includes(2));
  t.ok(SCHEMAS.every((schema) => schema >= 1 && schema <= MIGRATIONS.length));
});

for (const schema of SCHEMAS) {
  t.test(`schema ${schema}, with all that it holds`, async (t) => {
    const dataFolder = t.testdir();
    const path = join(dataFolder, 'wardian.db');
    write(path, schema);
    const before = new DatabaseSync(path);
    t.equal(before.prepare('PRAGMA user_version').get()?.user_version, schema);
    const tables = tablesOf(before);
    const rows = rowsOf(before, tables);
    before.close();
    for (const [table, found] of Object.entries(rows)) {
      t.ok(found.length > 0, `the fixture has ${found.length} rows of ${table}`);
    }

    const migrated = openForWriting(path, 'process');
    t.equal(migrated.prepare('PRAGMA user_version').get()?.user_version, MIGRATIONS.length);
    t.equal(migrated.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok');
    t.same(migrated.prepare('PRAGMA foreign_key_check').all(), []);
    t.same(rowsOf(migrated, tables), rows, 'every row is as it was');
    const fresh = openForWriting(join(dataFolder, 'fresh.db'), 'process');
    t.same(tablesOf(migrated), tablesOf(fresh), 'the tables are those of a new database');
    fresh.close();
    migrated.close();

    const store = await openStore({ dataFolder, secretKeys: [FIXTURE_KEY] });
    t.teardown(() => store.close());
    checkContent(t, store, schema);
    const acme = store.getTenant('acme')?.id ?? 0;
    const { version, app } = await store.saveDeploy(deployOf(acme, 'shop', 'module 4'));
    t.equal(version.number, 4, 'it goes on from there');
    t.equal(app.activeVersionId, version.id);
    const made = await store.saveDeploy(deployOf(acme, 'new', 'module 1'));
    t.ok(made.app.id > 5, 'ids are not used twice');
    const put = await store.namespaces.write({
      op: 'kv_put', storeId: app.id, key: bytes('greeting'), value: bytes('!'), mode: 'append',
    });
    t.equal(put.absent, false);
    t.equal(text(store.namespaces.read(app.id, bytes('greeting'))?.value ?? null), 'hello again!');
  });
}
