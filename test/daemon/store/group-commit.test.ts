/**
 * The commit loop by itself, on a database in this thread: what shares a transaction, what happens
 * when it fails, and whose turn it is.
 */

import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';

import type { WardianError } from '../../../contract/errors.ts';
import {
  REQUEST_LIMITS_DEFAULT, STORE_BATCH_COMMANDS_MAX, STORE_PENDING_TENANT_BYTES_MAX,
} from '../../../contract/limits.ts';
import type { ControlCommand } from '../../../daemon/store/commands.ts';
import { openForWriting } from '../../../daemon/store/database.ts';
import { FairQueue } from '../../../daemon/store/fair-queue.ts';
import { GroupCommit } from '../../../daemon/store/group-commit.ts';
import { bytes } from './support.ts';

function harness(t: { testdir(): string; teardown(end: () => void): void }) {
  const databasePath = join(t.testdir(), 'wardian.db');
  const database = openForWriting(databasePath, 'process');
  t.teardown(() => database.close());
  database.exec(`
    INSERT INTO tenant (id, name, created_at_ms) VALUES (1, 'one', 0), (2, 'two', 0);
    INSERT INTO kv_store (id, tenant_id, created_at_ms) VALUES (10, 1, 0), (11, 1, 0), (20, 2, 0)`);
  const commit = new GroupCommit({
    database, databasePath, limits: REQUEST_LIMITS_DEFAULT, freeBytesMin: 0, drain: () => {},
    // The machine may be busy: how much fits one commit must not depend on it.
    now: () => 0,
  });
  const log: string[] = [];
  const put = (storeId: number, key: string, value: string | Uint8Array = 'v'): void => {
    commit.add({
      kind: 'kv',
      command: {
        op: 'kv_put', storeId, key: bytes(key), mode: 'always',
        value: typeof value === 'string' ? bytes(value) : value,
      },
      done: () => {
        assertCommitted(database.isTransaction);
        log.push(key);
      },
      failed: (error: WardianError) => log.push(`${key}: ${error.code}`),
    });
  };
  const control = (command: ControlCommand): void => {
    commit.add({
      kind: 'control',
      command,
      done: () => log.push(command.op),
      failed: (error: WardianError) => log.push(`${command.op}: ${error.code}`),
    });
  };
  const keys = (): string[] => database.prepare('SELECT key FROM kv ORDER BY rowid').all()
    .map((row) => Buffer.from(row.key as Uint8Array).toString());
  return { commit, database, log, put, control, keys };
}

function assertCommitted(inTransaction: boolean): void {
  if (inTransaction) throw new Error('answered before the commit');
}

t.test('what arrives in one turn shares one commit and is answered after it', async (t) => {
  const { commit, log, put } = harness(t);
  for (let n = 0; n < 50; n += 1) put(10, `k${n}`);
  t.same(log, [], 'nothing is answered before the commit');
  await turn();
  t.equal(log.length, 50);
  t.match(commit.stats, { commits: 1, commands: 50, largestCommit: 50, pending: 0 });
});

t.test('a refused command leaves the others of its commit alone', async (t) => {
  const { commit, database, log, put, control, keys } = harness(t);
  put(10, 'a');
  control({ op: 'ensure_tenant', name: 'NOT A NAME' });
  control({ op: 'delete_app', appId: 999 });
  put(10, 'b');
  control({ op: 'ensure_tenant', name: 'three' });
  await turn();
  t.same(log.toSorted(), [
    'a', 'b', 'delete_app: not_found', 'ensure_tenant', 'ensure_tenant: bad_name',
  ]);
  t.equal(commit.stats.commits, 1);
  t.equal(commit.stats.refusals, 2);
  t.same(keys(), ['a', 'b']);
  t.match(database.prepare('SELECT keys, bytes FROM kv_store WHERE id = 10').get(),
    { keys: 2, bytes: 4 });
});

t.test('a command that makes SQLite fail fails alone', async (t) => {
  const { database, log, put, keys } = harness(t);
  database.exec(`CREATE TEMP TRIGGER poison BEFORE INSERT ON kv WHEN NEW.key = x'70' BEGIN
    SELECT RAISE(ROLLBACK, 'as a full disk does: the whole transaction is gone'); END`);
  for (const key of ['a', 'b', 'p', 'c', 'd', 'e']) put(10, key);
  while (log.length < 6) await turn();
  t.same(log, ['a', 'b', 'p: conflict', 'c', 'd', 'e']);
  t.same(keys(), ['a', 'b', 'c', 'd', 'e']);
  t.match(database.prepare('SELECT keys, bytes FROM kv_store WHERE id = 10').get(),
    { keys: 5, bytes: 10 }, 'usage counts what was done, once');
});

t.test('a full database refuses with disk_full, keeps what it has and recovers', async (t) => {
  const { commit, database, log, put, keys } = harness(t);
  put(10, 'before');
  await turn();
  const pages = Number(database.prepare('PRAGMA page_count').get()?.page_count);
  database.exec(`PRAGMA max_page_count = ${pages + 4}`);
  put(10, 'small');
  put(10, 'huge', new Uint8Array(1_000_000));
  put(20, 'other');
  while (log.length < 4) await turn();
  t.same(log.toSorted(), ['before', 'huge: disk_full', 'other', 'small']);
  t.equal(commit.stats.failures, 1);
  t.same(keys().toSorted(), ['before', 'other', 'small']);
  t.equal(database.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok');
  database.exec('PRAGMA max_page_count = 1000000');
  put(10, 'huge', new Uint8Array(1_000_000));
  await turn();
  t.equal(log.at(-1), 'huge');
  t.match(database.prepare('SELECT keys, bytes FROM kv_store WHERE id = 10').get(),
    { keys: 3, bytes: 6 + 1 + 5 + 1 + 4 + 1_000_000 });
});

t.test('tenants take turns: one write is not behind a thousand of another', async (t) => {
  const { log, put } = harness(t);
  for (let n = 0; n < 3_000; n += 1) put(n % 2 === 0 ? 10 : 11, `k${n}`);
  put(20, 'urgent');
  await turn();
  t.ok(log.indexOf('urgent') >= 0 && log.indexOf('urgent') <= 2, 'second at most');
  t.ok(log.length <= STORE_BATCH_COMMANDS_MAX, 'a commit is bounded');
  while (log.length < 3_001) await turn();
  t.same(log.filter((key) => key !== 'urgent'), Array.from({ length: 3_000 }, (_, n) => `k${n}`),
    'a tenant\'s own commands stay in order');
});

t.test('waiting bytes are bounded for each tenant', async (t) => {
  const { commit, log, put } = harness(t);
  const large = new Uint8Array(8 * 1024 * 1024 - 8);
  const fits = STORE_PENDING_TENANT_BYTES_MAX / (8 * 1024 * 1024);
  for (let n = 0; n < fits + 2; n += 1) put(10, `k${n}`, large);
  put(20, 'other');
  t.same(log, [`k${fits}: tenant_overloaded`, `k${fits + 1}: tenant_overloaded`]);
  commit.finish();
  t.equal(log.length, fits + 3, 'the others were done');
  put(10, 'late');
  t.equal(log.at(-1), 'late: store_failed', 'nothing is taken after the end');
});

t.test('the fair queue: turns between owners, order within one', async (t) => {
  const queue = new FairQueue<string>((item) => item.length);
  for (const item of ['a1', 'a2', 'a3']) queue.push(1, item);
  queue.push(2, 'b1');
  t.equal(queue.count, 4);
  t.equal(queue.bytes, 8);
  t.equal(queue.bytesOf(1), 6);
  t.equal(queue.take(), 'a1');
  t.equal(queue.take(), 'b1');
  queue.push(2, 'b2');
  t.same([queue.take(), queue.take(), queue.take(), queue.take()], ['a2', 'b2', 'a3', undefined]);
  t.equal(queue.count + queue.bytes + queue.bytesOf(1), 0);
  for (let n = 0; n < 5_000; n += 1) queue.push(3, `${n}`);
  for (let n = 0; n < 5_000; n += 1) {
    if (queue.take() !== `${n}`) t.fail(`out of order at ${n}`);
  }
  t.equal(queue.count, 0);
});
