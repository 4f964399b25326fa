/**
 * Files that end too early, with and without a log beside them: refused before SQLite has touched
 * them, unless the log holds what is not there.
 */

import {
  copyFileSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { Test } from 'tap';

import { openForWriting } from '../../../daemon/store/database.ts';
import { misshapen } from '../../../daemon/store/shape.ts';

const PAGE_BYTES = 4_096;
const put = (database: DatabaseSync, store: number, count: number): void => {
  const insert = database.prepare(
    'INSERT INTO kv (store_id, key, value) VALUES (?, ?, zeroblob(3000))');
  for (let n = 0; n < count; n += 1) insert.run(store, Buffer.from(`key ${n}`));
};

/**
 * A database of a process that was killed: 20 entries in its file alone, and 40 of which `after`
 * decides; its log is there.
 */
function killed(t: Test, after: (database: DatabaseSync) => void): string {
  const folder = t.testdir();
  const lived = join(folder, 'lived.db');
  const database = openForWriting(lived, 'process');
  put(database, 1, 20);
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  put(database, 2, 40);
  after(database);
  const path = join(folder, 'wardian.db');
  copyFileSync(lived, path);
  copyFileSync(`${lived}-wal`, `${path}-wal`);
  database.close();
  return path;
}

function refusal(path: string): string | null {
  try {
    openForWriting(path, 'full').close();
    return null;
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code}: ${message}`;
  }
}

t.test('what the log holds may be missing: a checkpoint was interrupted', async (t) => {
  const path = killed(t, (database) => database.exec('PRAGMA wal_checkpoint(PASSIVE)'));
  const whole = statSync(path).size;
  truncateSync(path, whole - 30 * PAGE_BYTES - 1_000);
  t.equal(misshapen(path), null);
  const database = openForWriting(path, 'full');
  t.equal(database.prepare('SELECT count(*) AS n FROM kv').get()?.['n'], 60);
  t.equal(database.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok');
  database.close();
  t.equal(statSync(path).size, whole, 'and the file is what it was to become');
});

t.test('without that log the same file is damaged', async (t) => {
  const path = killed(t, (database) => database.exec('PRAGMA wal_checkpoint(PASSIVE)'));
  truncateSync(path, statSync(path).size - 1_000);
  rmSync(`${path}-wal`);
  t.match(refusal(path), /^store_unusable: wardian\.db is damaged: it has \d+ bytes in place of/);
});

t.test('a log that holds other pages does not hide it, and nothing is written', async (t) => {
  const path = killed(t, () => {});
  truncateSync(path, statSync(path).size - 1);
  const before = [readFileSync(path), readFileSync(`${path}-wal`)] as const;
  for (let turn = 0; turn < 2; turn += 1) {
    t.match(refusal(path), /^store_unusable: wardian\.db is damaged: .* page \d+ is not there$/);
    t.ok(existsSync(`${path}-wal`));
    t.ok(readFileSync(path).equals(before[0]));
    t.ok(readFileSync(`${path}-wal`).equals(before[1]));
  }
});

t.test('a commit that was not written to its end holds nothing', async (t) => {
  const path = killed(t, (database) => database.exec('PRAGMA wal_checkpoint(PASSIVE)'));
  truncateSync(path, statSync(path).size - 1_000);
  t.equal(misshapen(path), null);
  truncateSync(`${path}-wal`, 40);
  t.match(misshapen(path), /is not there$/);
});

t.test('an empty file beside a log with commits is refused, and the log stays', async (t) => {
  const path = killed(t, () => {});
  const log = readFileSync(`${path}-wal`);
  const said = /^store_unusable: .* it is empty, and its log wardian\.db-wal holds \d+ committed/;
  truncateSync(path, 0);
  t.match(refusal(path), said);
  rmSync(path);
  t.match(refusal(path), said);
  t.notOk(existsSync(path), 'nothing is made in its place');
  t.ok(readFileSync(`${path}-wal`).equals(log));
  for (const [what, bytes] of [['empty', ''], ['no log', 'x'.repeat(10_000)]] as const) {
    writeFileSync(`${path}-wal`, bytes);
    t.equal(refusal(path), null, `a log that is ${what} is nothing`);
    rmSync(path);
  }
});

t.test('the page at the lock byte is missing in every log', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'large.db');
  const lived = new DatabaseSync(path);
  lived.exec('PRAGMA page_size = 65536; CREATE TABLE t (n)');
  lived.close();
  // As far as to the page of the lock byte, number 16,385; most of it is a hole.
  const bytes = readFileSync(path);
  bytes.writeUInt32BE(16_386, 28);
  writeFileSync(path, bytes);
  truncateSync(path, 2 ** 30);
  t.match(misshapen(path), /page 16386 is not there$/);
  const frame = Buffer.alloc(32 + 24 + 65_536);
  frame.writeUInt32BE(0x377f0682, 0);
  frame.writeUInt32BE(65_536, 8);
  frame.writeUInt32BE(16_386, 32);
  frame.writeUInt32BE(16_386, 36);
  writeFileSync(`${path}-wal`, frame);
  t.equal(misshapen(path), null);
});

t.test('what is not there, is new or is no database is left to SQLite', async (t) => {
  const folder = t.testdir({ 'empty.db': '', 'text.db': 'some text '.repeat(1_000) });
  for (const name of ['none.db', 'empty.db', 'text.db']) {
    t.equal(misshapen(join(folder, name)), null, name);
  }
  t.equal(refusal(join(folder, 'empty.db')), null);
  t.match(refusal(join(folder, 'text.db')), /^store_unusable: text\.db is damaged/);
});
