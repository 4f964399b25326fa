/**
 * `kill -9` at random points of whatever changes the store: deploys, promotions, splits, settings,
 * environment, secrets, tenants, namespaces and every key-value command, from many clients. Then
 * the store is opened again: every acknowledged change is there, nothing is half done. Rounds come
 * from WARDIAN_CRASH_ROUNDS (default 20), the seed of the moments from WARDIAN_CRASH_SEED; both are
 * printed.
 */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { DATABASE_FILE } from '../../../contract/schema.ts';
import { openStore } from '../../../daemon/store/store.ts';
import type { Store } from '../../../daemon/store/store.ts';
import { Ledger, SECRET_KEYS, stateOf } from './ledger.ts';
import type { Line } from './ledger.ts';
import { WorkerPort, bytes, deployOf } from './support.ts';

const ROUNDS = Number(process.env.WARDIAN_CRASH_ROUNDS ?? 20);
const SEED = Number(process.env.WARDIAN_CRASH_SEED ?? Date.now() % 1_000_000);
const CHILD = fileURLToPath(new URL('./fixtures/crash-child.ts', import.meta.url));
/** Long enough to be killed anywhere between the first page of the file and hundreds of commits. */
const LIFE_MS_MAX = 400;
/** Then a new one: the check reads all of it. */
const ROUNDS_PER_FOLDER = 25;

let state = SEED;
function random(): number {
  state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
  return state / 2_147_483_648;
}

/** Runs the child until its first line and some time more; what it had said by then. */
async function runUntilKilled(dataFolder: string, round: number): Promise<Line[]> {
  const child = spawn(process.execPath, [CHILD, dataFolder, 'work', `${round}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  const started = new Promise((resolve) => child.stdout.once('data', resolve));
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const closed = new Promise<NodeJS.Signals | null>((resolve) => {
    child.once('close', (_code, signal) => resolve(signal));
  });
  // Every fourth round is killed while it starts, at whatever it is doing.
  if (round % 4 !== 3) await Promise.race([started, closed]);
  await new Promise((resolve) => setTimeout(resolve, random() * LIFE_MS_MAX));
  child.kill('SIGKILL');
  if (await closed !== 'SIGKILL') throw new Error('the child ended by itself');
  // A last line without its end was being written when the child died.
  return output.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Line);
}

/** Everything of the file itself: sound, and no half of anything. Returns what is wrong. */
function findings(path: string): string[] {
  const database = new DatabaseSync(path);
  const wrong: string[] = [];
  const check = String(database.prepare('PRAGMA integrity_check').get()?.integrity_check);
  if (check !== 'ok') wrong.push(check);
  if (database.prepare('PRAGMA foreign_key_check').all().length > 0) wrong.push('orphans');
  const must = (reason: string, sql: string): void => {
    if (Number(database.prepare(sql).get()?.n) > 0) wrong.push(reason);
  };
  must('an app without an active version',
    'SELECT count(*) AS n FROM app WHERE active_version_id IS NULL');
  must('an app whose numbers do not fit its versions', `
    SELECT count(*) AS n FROM app WHERE last_number <>
      (SELECT count(*) FROM version WHERE app_id = app.id)`);
  must('an app without a store',
    'SELECT count(*) AS n FROM app WHERE id NOT IN (SELECT id FROM kv_store)');
  must('an artifact of no version', `SELECT count(*) AS n FROM artifact
    WHERE hash NOT IN (SELECT artifact_hash FROM version)`);
  must('entries of no store', `SELECT count(*) AS n FROM kv
    WHERE store_id NOT IN (SELECT id FROM kv_store UNION SELECT store_id FROM kv_garbage)`);
  must('a split that is not whole', `SELECT count(*) AS n
    FROM (SELECT app_id FROM split GROUP BY app_id HAVING sum(weight) <> 100)`);
  must('usage that is not exact', `
    SELECT count(*) AS n FROM kv_store WHERE (keys, bytes) <> (
      SELECT count(*), coalesce(sum(length(key) + length(value)), 0)
      FROM kv WHERE store_id = kv_store.id)`);
  for (const table of ['module', 'artifact']) {
    for (const row of database.prepare(`SELECT hash, bytes FROM ${table}`).iterate()) {
      const hash = createHash('sha256').update(row.bytes as Uint8Array).digest('hex');
      if (hash !== row.hash) wrong.push(`${table} ${String(row.hash)} is not its hash`);
    }
  }
  database.close();
  return wrong;
}

const open = (dataFolder: string): Promise<Store> =>
  openStore({ dataFolder, secretKeys: SECRET_KEYS });

t.setTimeout(120_000 + ROUNDS * 5_000);

t.test(`${ROUNDS} rounds of kill -9, seed ${SEED}`, async (t) => {
  let dataFolder = '';
  let ledger = new Ledger();
  const kinds = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round += 1) {
    if (round % ROUNDS_PER_FOLDER === 0) {
      dataFolder = t.testdir({ [`from-${round}`]: {} }) + `/from-${round}`;
      ledger = new Ledger();
    }
    const lines = await runUntilKilled(dataFolder, round);
    ledger.learn(lines);
    const store = await open(dataFolder);
    const wrong = ledger.differences(store);
    await store.close();
    t.same(wrong, [], `round ${round}: what ${lines.length} lines said is kept`);
    t.same(findings(`${dataFolder}/${DATABASE_FILE}`), [], `round ${round}: nothing is half done`);
    for (const { cell } of lines.filter((line) => 'done' in line)) {
      const [kind = ''] = cell.split(' ');
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
  }
  t.comment(`acknowledged: ${[...kinds].map(([kind, n]) => `${n} of ${kind}`).join(', ')}`);
  for (const kind of ['app', 'env', 'secret', 'namespace', 'tenant', 'kv', 'sum']) {
    t.ok((kinds.get(kind) ?? 0) > ROUNDS / 2, `${kind}: changes were acknowledged`);
  }
});

/** One of each kind, as clients leave it. Answers with the cells. */
async function oneOfEach(store: Store): Promise<string[]> {
  const { id } = await store.ensureTenant('acme');
  await store.tenants.createToken({ tenantId: id, name: 'ci', scope: 'read', expiresAtMs: null });
  for (const label of ['one', 'two']) {
    for (const n of [1, 2, 3]) await store.saveDeploy(deployOf(id, label, `${label} ${n}`));
  }
  const [one = 0, two = 0] = ['one', 'two'].map((label) => store.getApp(label)?.id);
  const [first, , third] = store.listVersions(one).map((version) => version.id);
  await store.setSplit(one, [
    { versionId: first ?? 0, weight: 10 }, { versionId: third ?? 0, weight: 90 },
  ]);
  await store.addHost(one, 'one.example');
  await store.environment.setEnv(one, { COLOR: 'green' });
  await store.environment.putSecret(one, 'PASSWORD', bytes('old'));
  await store.environment.putSecret(one, 'PASSWORD', bytes('new'));
  const { id: brief } = await store.namespaces.create(id, 'brief');
  await store.namespaces.bind(one, 'BOX', brief);
  const worker = new WorkerPort(store);
  const put = { op: 'kv_put', storeId: two, mode: 'always', value: bytes('value') } as const;
  await worker.send({ ...put, key: bytes('plain') });
  await worker.send({ ...put, key: bytes('short'), ttlMs: 86_400_000 });
  await worker.send({ ...put, key: bytes('gone') });
  await worker.delete(two, 'gone');
  worker.close();
  return [
    'app one', 'app two', 'env one', 'secret one PASSWORD', 'namespace brief', 'tenant acme',
    'kv two plain', 'kv two short', 'kv two gone',
  ];
}

/** What a store that loses changes would leave, and the cell in which it must be noticed. */
const LOSSES: Readonly<Record<string, readonly [cell: string, sql: string]>> = {
  'a promotion': ['app two', `UPDATE app SET active_version_id =
    (SELECT min(id) FROM version WHERE app_id = app.id) WHERE label = 'two'`],
  'a split': ['app one', 'DELETE FROM split'],
  'half a split': ['app one', 'DELETE FROM split WHERE weight = 10'],
  'a version': ['app two', `
    UPDATE app SET active_version_id = (SELECT min(id) FROM version WHERE app_id = app.id)
    WHERE label = 'two';
    DELETE FROM version WHERE number = 3 AND app_id = (SELECT id FROM app WHERE label = 'two')`],
  'a host': ['app one', 'DELETE FROM host'],
  'a variable': ['env one', 'DELETE FROM env'],
  'the newest value of a secret': ['secret one PASSWORD', 'DELETE FROM secret WHERE number = 2'],
  'a binding': ['namespace brief', 'DELETE FROM binding'],
  'a token': ['tenant acme', 'DELETE FROM token'],
  'a put': ['kv two plain', `UPDATE kv SET value = x'00' WHERE key = CAST('plain' AS BLOB)`],
  'a revision': [
    'kv two plain', `UPDATE kv SET revision = revision - 1 WHERE key = CAST('plain' AS BLOB)`],
  'a time to live': ['kv two short', 'UPDATE kv SET expires_at_ms = NULL'],
  'a delete': ['kv two gone', `INSERT INTO kv (store_id, key, revision, value)
    SELECT id, CAST('gone' AS BLOB), 3, x'00' FROM app WHERE label = 'two'`],
};

t.test('a store that had lost something would be noticed', async (t) => {
  const root = t.testdir({ whole: {} });
  const store = await open(join(root, 'whole'));
  const lines = (await oneOfEach(store)).map((cell): Line => {
    const { state, exact } = stateOf(store, cell);
    return { cell, done: state, ...(exact === null ? {} : { exact }) };
  });
  await store.close();
  const differences = async (folder: string, sql: string): Promise<string[]> => {
    mkdirSync(folder);
    const path = join(folder, DATABASE_FILE);
    copyFileSync(join(root, 'whole', DATABASE_FILE), path);
    const database = new DatabaseSync(path);
    database.exec(sql);
    database.close();
    const ledger = new Ledger();
    ledger.learn(lines);
    const again = await open(folder);
    const found = ledger.differences(again);
    await again.close();
    return found;
  };
  t.same(await differences(join(root, 'nothing'), ''), [], 'nothing is missed without a loss');
  for (const [what, [cell, sql]] of Object.entries(LOSSES)) {
    const wrong = await differences(join(root, what), sql);
    t.equal(wrong.length, 1, `${what}: ${wrong.join('; ')}`);
    t.ok(wrong[0]?.startsWith(`${cell} is `), `${what} is missed in ${cell}`);
  }
});
