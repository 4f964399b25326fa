/**
 * Rows of modules and artifacts: which are looked at before they are removed, and what becomes of
 * those whose bytes SQLite cannot get at.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { Test } from 'tap';

import { REQUEST_LIMITS_DEFAULT } from '../../../contract/limits.ts';
import { SELECT_SERVED_VERSION } from '../../../contract/schema.ts';

import { removeBlob } from '../../../daemon/store/blobs.ts';
import { replaceArtifact, saveDeploy } from '../../../daemon/store/deploys.ts';
import { Query } from '../../../daemon/store/query.ts';
import { StoreReader } from '../../../daemon/store/reader.ts';
import { openStore } from '../../../daemon/store/store.ts';
import type { Deploy, Deployed } from '../../../daemon/store/store.ts';
import { deployed, deployOf, FACTS } from './support.ts';

t.test('a row that something needs stays, and is not read for it', async (t) => {
  const store = await openStore({ dataFolder: t.testdir() });
  const { version } = await deployed(store, 'one');
  await deployed(store, 'two');
  await store.close();
  const database = new DatabaseSync(store.databasePath);
  t.teardown(() => database.close());
  const read: string[] = [];
  const probe = {
    isBroken(table: string) {
      read.push(table);
      return false;
    },
  };
  const remove = (table: 'module' | 'artifact', hash: string): number =>
    removeBlob(database, probe, table, hash);
  t.equal(remove('artifact', version.artifactHash), 0);
  t.equal(remove('module', version.moduleHash), 0);
  database.exec('UPDATE app SET active_version_id = NULL; DELETE FROM version');
  t.equal(remove('module', version.moduleHash), 0, 'an artifact was made of it');
  t.same(read, []);
  t.equal(remove('artifact', version.artifactHash), 1);
  t.equal(remove('module', version.moduleHash), 1);
  t.same(read, ['artifact', 'module']);
});

const LARGE = new Uint8Array(40_000).fill(0x5a);

/** A store whose one artifact has a page that leads nowhere, and what was deployed. */
async function broken(t: Test): Promise<{
  readonly database: DatabaseSync; readonly deploy: Deploy; readonly first: Deployed;
}> {
  const store = await openStore({ dataFolder: t.testdir() });
  const { id } = await store.ensureTenant('acme');
  const plain = deployOf(id, 'app', 'module');
  const deploy: Deploy = { ...plain, artifact: { bytes: LARGE, facts: FACTS } };
  const first = await store.saveDeploy(deploy);
  await store.close();
  const file = readFileSync(store.databasePath);
  const chain: number[] = [];
  for (let page = 0; page < file.length; page += 4_096) {
    if (file.subarray(page + 4, page + 4_096).every((byte) => byte === 0x5a)) chain.push(page);
  }
  file.writeUInt32BE(0xeeeeeeee, chain[2] ?? Number.NaN);
  writeFileSync(store.databasePath, file);
  const database = new DatabaseSync(store.databasePath);
  t.teardown(() => database.close());
  t.throws(() => database.prepare('SELECT created_at_ms FROM artifact').get(), /malformed/);
  return { database, deploy, first };
}

const readerOf = (database: DatabaseSync): StoreReader =>
  new StoreReader(new Query(database, 'wardian.db'), REQUEST_LIMITS_DEFAULT);

function inTransaction<T>(database: DatabaseSync, run: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  const result = run();
  database.exec('COMMIT');
  return result;
}

t.test('a mended artifact has the key and the facts of who mended it', async (t) => {
  const { database, first } = await broken(t);
  const context = { database, limits: REQUEST_LIMITS_DEFAULT, nowMs: Date.now() };
  const { artifactHash: hash, moduleHash } = first.version;
  const facts = { ...FACTS, tableEntries: 7, streamsBody: true };
  inTransaction(database, () => replaceArtifact(context, {
    op: 'replace_artifact', hash, moduleHash, rewriteKey: 'rewriter 2',
    artifact: { bytes: LARGE, facts },
  }));
  const reader = readerOf(database);
  t.equal(reader.readArtifactKey(hash), 'rewriter 2');
  t.same(reader.listOutdatedArtifacts('rewriter 2', 10), [], 'it is not built again');
  t.equal(reader.findArtifact(moduleHash, 'rewriter 1'), null);
  t.same(reader.findArtifact(moduleHash, 'rewriter 2'), { hash, facts, byteLength: LARGE.length });
  const served = database.prepare(SELECT_SERVED_VERSION).get(first.version.id);
  t.same(JSON.parse(String(served?.['facts'])), facts, 'a worker reads these');
});

t.test('a broken artifact under the same key does not fail a deploy of another', async (t) => {
  const { database, deploy, first } = await broken(t);
  const context = { database, limits: REQUEST_LIMITS_DEFAULT, nowMs: Date.now() };
  const other = { bytes: new Uint8Array(9_000).fill(1), facts: FACTS };
  for (let turn = 0; turn < 2; turn += 1) {
    const { version } = inTransaction(database, () =>
      saveDeploy(context, { ...deploy, artifact: other }));
    t.not(version.artifactHash, first.version.artifactHash);
    const reader = readerOf(database);
    const { moduleHash, artifactHash } = version;
    t.equal(reader.findArtifact(moduleHash, deploy.rewriteKey)?.hash, artifactHash);
    t.equal(reader.readArtifactKey(artifactHash), deploy.rewriteKey);
    t.match(reader.readArtifactKey(first.version.artifactHash), /^replaced:/);
  }
  const again = inTransaction(database, () => saveDeploy(context, deploy));
  t.equal(again.version.artifactHash, first.version.artifactHash, 'and is mended like any');
  const row = database.prepare(SELECT_SERVED_VERSION).get(again.version.id);
  t.ok(Buffer.from(row?.['bytes'] as Uint8Array).equals(LARGE));
});
