/**
 * Files that were damaged while the daemon was down. A database that is not whole is one line and
 * an exit code, each time again, and nothing is written to it; a module that is not whole is not
 * served, an earlier version is.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { Test } from 'tap';

import { wardian } from '../harness/command.ts';
import type { Daemon } from '../harness/daemon.ts';
import { startDaemon } from '../harness/daemon.ts';
import { startFor, textGuest, until } from './world.ts';

const DAMAGED = /^wardian: wardian\.db is damaged: [^\n]+\n$/;
/** The exit code for a database with which another start would fail as well. */
const UNUSABLE = 4;
/** Pages of a database are so large. */
const PAGE_BYTES = 4_096;

/** Different in each byte from version to version, and larger than a page. */
const textOf = (version: number): string =>
  `version ${version} ${String.fromCharCode(96 + version).repeat(20_000)}`;

const root = mkdtempSync(join(tmpdir(), 'wardian-damage-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));

/** The database of a daemon with an app of three versions, and a value. */
async function filled(): Promise<Buffer> {
  const data = join(root, 'whole');
  const daemon = await startDaemon({ data });
  for (const version of [1, 2, 3]) await daemon.deploy('app', textGuest(textOf(version)));
  const put = await daemon.admin('PUT', '/v1/apps/app/store/entry?key=kept', {
    body: 'value', headers: { 'content-type': 'application/octet-stream' },
  });
  if (put.status !== 200) throw new Error(put.text);
  await daemon.stop();
  return readFileSync(join(data, 'wardian.db'));
}

const whole = await filled();

/** A data folder with that database. */
function folderWith(name: string, database: Buffer): string {
  const folder = join(root, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'wardian.db'), database);
  return folder;
}

const overwritten = (from: number, length: number) => (bytes: Buffer): Buffer =>
  Buffer.concat([
    bytes.subarray(0, from), Buffer.alloc(length, 0xee), bytes.subarray(from + length),
  ]);

/** Where the page begins at which the table of that name does. */
function rootOf(table: string): number {
  const database = new DatabaseSync(join(root, 'whole', 'wardian.db'), { readOnly: true });
  const row = database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').get(table);
  database.close();
  return (Number(row?.['rootpage']) - 1) * PAGE_BYTES;
}

t.test('a damaged database is one line and an exit code, however often it is tried', async (t) => {
  const cases: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
    'text': () => Buffer.from('this is no database. '.repeat(1_000)),
    'half': (bytes) => bytes.subarray(0, Math.floor(bytes.length / 2)),
    'cut': (bytes) => bytes.subarray(0, bytes.length - 2 * PAGE_BYTES),
    'last page': (bytes) => bytes.subarray(0, bytes.length - PAGE_BYTES),
    'thousand': (bytes) => bytes.subarray(0, bytes.length - 1_000),
    'one byte': (bytes) => bytes.subarray(0, bytes.length - 1),
    'within the first page': (bytes) => bytes.subarray(0, PAGE_BYTES - 1_000),
    'few tables': (bytes) => bytes.subarray(0, 5 * PAGE_BYTES + 7),
    'stump': (bytes) => bytes.subarray(0, 50),
    'header': overwritten(40, 60),
    'schema': overwritten(100, 200),
    'apps': overwritten(rootOf('app'), 64),
    'versions': overwritten(rootOf('version'), 64),
    'tenants': overwritten(rootOf('tenant'), 64),
  };
  for (const [name, damage] of Object.entries(cases)) {
    const folder = folderWith(name, damage(whole));
    const path = join(folder, 'wardian.db');
    const before = readFileSync(path);
    const words = ['serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', folder];
    const { code, stdout, stderr } = await wardian(words);
    t.match(stderr, DAMAGED, name);
    t.equal(code, UNUSABLE, name);
    t.notMatch(stdout, /"ready"/, 'it never serves');
    if (name === 'apps') t.same(await wardian(words), { code, stdout, stderr }, 'and so again');
    t.ok(readFileSync(path).equals(before), `${name}: not a byte of the database was changed`);
  }
});

t.test('a log that holds nothing whole does not keep the daemon from starting', async (t) => {
  const data = folderWith('log', whole);
  writeFileSync(join(data, 'wardian.db-wal'), Buffer.alloc(40_000, 0xee));
  writeFileSync(join(data, 'wardian.db-shm'), Buffer.alloc(32_768, 0xee));
  const daemon = await startFor(t, { data });
  t.equal((await daemon.ask('app.localhost')).text, textOf(3));
  t.equal((await daemon.admin('GET', '/v1/apps/app/store/entry?key=kept')).text, 'value');
  t.equal(await daemon.stop(), 0);
});

/** The database with one bit of those versions' modules and artifacts flipped. */
function flipped(...versions: number[]): Buffer {
  const bytes = Buffer.from(whole);
  for (const version of versions) {
    const text = textOf(version).slice(0, 600);
    const places: number[] = [];
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) places.push(at);
    if (places.length < 2) throw new Error('module and artifact are not where they are looked for');
    for (const at of places) bytes[at + 500] = (bytes[at + 500] ?? 0) ^ 1;
  }
  return bytes;
}

async function serves(t: Test, daemon: Daemon, version: number, shown: number): Promise<void> {
  t.equal((await daemon.ask('app.localhost')).text, textOf(shown), `version ${shown} serves`);
  t.equal((await daemon.admin('GET', '/readyz')).status, 200);
  await until('the operator is told', () => JSON.stringify(daemon.log).includes(
    `app@${version}: the stored module is damaged; version ${shown} serves instead`));
}

t.test('of a module with one flipped bit, the previous version serves', async (t) => {
  const data = folderWith('flipped', flipped(3));
  let daemon = await startFor(t, { data });
  await serves(t, daemon, 3, 2);
  t.equal(await daemon.stop(), 0);
  daemon = await startFor(t, { data });
  await serves(t, daemon, 3, 2);
  await daemon.deploy('app', textGuest(textOf(3)));
  t.equal((await daemon.ask('app.localhost')).text, textOf(3), 'a deploy of the same mends it');
  t.equal(await daemon.stop(), 0);
});

t.test('of a module that was cut off, the previous version serves', async (t) => {
  const data = folderWith('cut-off', whole);
  const database = new DatabaseSync(join(data, 'wardian.db'));
  database.exec(`UPDATE artifact SET bytes = substr(bytes, 1, 1000) WHERE hash IN (
    SELECT artifact_hash FROM version WHERE number >= 2)`);
  database.close();
  const daemon = await startFor(t, { data });
  await serves(t, daemon, 3, 1);
  t.equal((await daemon.admin('GET', '/v1/apps/app/store/entry?key=kept')).text, 'value');
  t.equal(await daemon.stop(), 0);
});

/** More than this is not looked at as a whole before the start. */
const LARGE_BYTES = 80 * 1_024 * 1_024;

/**
 * The same in a database that is too large to be checked before the start; of version 3, pages in
 * the chains of the module's and of the artifact's bytes lead nowhere.
 */
function chainsBroken(data: string): void {
  const path = join(data, 'wardian.db');
  const database = new DatabaseSync(path);
  const fill = database.prepare(
    'INSERT INTO kv (store_id, key, value) VALUES (999999, ?, zeroblob(8000000))');
  for (let n = 0; n < LARGE_BYTES / 8_000_000; n += 1) fill.run(Buffer.from(`key ${n}`));
  database.close();
  const bytes = readFileSync(path);
  const content = textOf(3).slice(-600);
  let broken = 0;
  for (let page = 0; page < bytes.length; page += PAGE_BYTES) {
    // The middle of the text: a page that begins with the number of the one after it.
    if (bytes.toString('latin1', page + 4, page + 604) !== content) continue;
    if (bytes.readUInt32BE(page) === 0) continue;
    bytes.writeUInt32BE(0xeeeeeeee, page);
    broken += 1;
  }
  if (broken < 2) throw new Error('module and artifact are not where they are looked for');
  writeFileSync(path, bytes);
}

t.test('of a module whose pages lead nowhere, a deploy of the same mends it', async (t) => {
  const data = folderWith('chains', whole);
  chainsBroken(data);
  let daemon = await startFor(t, { data });
  // A large database is looked at while it serves.
  await until('version 2 serves', async () =>
    (await daemon.ask('app.localhost')).text === textOf(2));
  await serves(t, daemon, 3, 2);
  await daemon.deploy('app', textGuest(textOf(3)));
  t.ok((await daemon.ask('app.localhost')).text === textOf(3), 'it serves again');
  t.equal(await daemon.stop(), 0);
  daemon = await startFor(t, { data });
  t.ok((await daemon.ask('app.localhost')).text === textOf(3), 'and for good');
  t.notMatch(JSON.stringify(daemon.log), /module is damaged/);
  await daemon.deploy('app', textGuest(textOf(4)));
  t.ok((await daemon.ask('app.localhost')).text === textOf(4));
  t.equal((await daemon.admin('DELETE', '/v1/apps/app')).status, 204, 'and it can be removed');
  const database = new DatabaseSync(join(data, 'wardian.db'), { readOnly: true });
  t.equal(database.prepare('SELECT count(*) AS n FROM mended').get()?.['n'], 0);
  database.close();
  await daemon.deploy('other', textGuest('all is well here'));
  t.equal((await daemon.ask('other.localhost')).text, 'all is well here');
  t.equal(await daemon.stop(), 0);
});

t.test('with no whole version at all, the app fails and the daemon goes on', async (t) => {
  const data = folderWith('none', flipped(1, 2, 3));
  const daemon = await startFor(t, { data });
  for (let turn = 0; turn < 3; turn += 1) {
    const { status, headers } = await daemon.ask('app.localhost');
    t.ok(status >= 500, `${status} ${String(headers['wardian-error'])}`);
  }
  await daemon.deploy('other', textGuest('all is well here'));
  t.equal((await daemon.ask('other.localhost')).text, 'all is well here');
  t.equal(await daemon.stop(), 0);
});
