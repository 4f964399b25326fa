/**
 * Opening: permissions, the lock, migrations, and files that are not what we wrote. Whatever is
 * wrong is one WardianError with one line that names the file, and never a crash or a wait.
 */

import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync, closeSync, copyFileSync, existsSync, openSync, readFileSync, statSync, truncateSync,
  writeFileSync, writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { WardianError } from '../../../contract/errors.ts';
import { MIGRATIONS } from '../../../contract/schema.ts';
import { migrate, openForWriting } from '../../../daemon/store/database.ts';
import { openStore } from '../../../daemon/store/store.ts';
import { WorkerPort, deployed } from './support.ts';

const CHILD = fileURLToPath(new URL('./fixtures/crash-child.ts', import.meta.url));

/** Opening must fail with a WardianError of one line: its code and message, without a stack. */
async function refusal(dataFolder: string): Promise<string> {
  try {
    const store = await openStore({ dataFolder });
    await store.close();
  } catch (error) {
    if (!(error instanceof WardianError)) throw error;
    if (/\n|^.{300}/.test(error.message)) return `not one line: ${error.message}`;
    return `${error.code}: ${error.message}`;
  }
  return 'opened';
}

async function filled(dataFolder: string): Promise<string> {
  const store = await openStore({ dataFolder, durability: 'process' });
  const { app } = await deployed(store, 'hello');
  const worker = new WorkerPort(store);
  for (let n = 0; n < 200; n += 1) await worker.put(app.id, `key ${n}`, 'value '.repeat(50));
  worker.close();
  await store.close();
  return store.databasePath;
}

t.test('the folder and its files are for their owner alone', async (t) => {
  const dataFolder = join(t.testdir(), 'made', 'here');
  const store = await openStore({ dataFolder });
  t.equal(statSync(dataFolder).mode & 0o777, 0o700);
  for (const name of ['wardian.db', 'wardian.db-wal', 'wardian.db-shm', 'wardian.pid']) {
    t.equal(statSync(join(dataFolder, name)).mode & 0o077, 0, name);
  }
  const reader = new DatabaseSync(store.databasePath);
  t.equal(reader.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal');
  reader.close();
  await store.close();
  t.notOk(existsSync(join(dataFolder, 'wardian.pid')));
  await store.close().then(() => t.pass('closing twice is fine'));
});

t.test('durability decides whether a commit is synced', async (t) => {
  for (const [durability, level] of [['full', 2], ['process', 1]] as const) {
    const database = openForWriting(join(t.testdir(), `${durability}.db`), durability);
    t.equal(database.prepare('PRAGMA synchronous').get()?.synchronous, level);
    t.equal(database.prepare('PRAGMA foreign_keys').get()?.foreign_keys, 1);
    database.close();
  }
});

t.test('a folder has one owner: the second is told who', async (t) => {
  const dataFolder = t.testdir();
  const store = await openStore({ dataFolder });
  t.match(await refusal(dataFolder), new RegExp(`in use by process ${process.pid}$`));
  await store.ensureTenant('still-works');
  await store.close();
  const again = await openStore({ dataFolder });
  await again.close();
});

t.test('another process holds the folder until it dies, however it dies', async (t) => {
  const dataFolder = t.testdir();
  const child = spawn(process.execPath, [CHILD, dataFolder, 'hold'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  t.match(await refusal(dataFolder), new RegExp(`in use by process ${child.pid}$`));
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  t.ok(existsSync(join(dataFolder, 'wardian.pid')), 'its pid is still there, and does not matter');
  const store = await openStore({ dataFolder });
  t.equal(readFileSync(join(dataFolder, 'wardian.pid'), 'utf8'), `${process.pid}\n`);
  await store.close();
});

t.test('a database of a newer Wardian is left alone', async (t) => {
  const dataFolder = t.testdir();
  const path = await filled(dataFolder);
  const database = new DatabaseSync(path);
  database.exec('PRAGMA user_version = 999');
  database.close();
  const before = readFileSync(path);
  t.match(await refusal(dataFolder), /^store_unusable: wardian\.db was written by a newer Wardian/);
  t.ok(readFileSync(path).equals(before), 'not a byte was changed');
});

t.test('a database of somebody else is left alone', async (t) => {
  const dataFolder = t.testdir();
  const database = new DatabaseSync(join(dataFolder, 'wardian.db'));
  database.exec('CREATE TABLE precious (a); INSERT INTO precious VALUES (1)');
  database.close();
  t.match(await refusal(dataFolder), /^store_unusable: wardian\.db is not a Wardian database$/);
});

t.test('damage: not a database, truncated, overwritten', async (t) => {
  const whole = await filled(join(t.testdir({ whole: {}, a: {}, b: {}, c: {} }), 'whole'));
  const size = statSync(whole).size;
  const folder = (name: string): string => join(whole, '..', '..', name);
  const damaged = (name: string): string => {
    copyFileSync(whole, join(folder(name), 'wardian.db'));
    return join(folder(name), 'wardian.db');
  };

  writeFileSync(join(folder('a'), 'wardian.db'), 'this is no database. '.repeat(1_000));
  t.match(await refusal(folder('a')), /^store_unusable: wardian\.db is damaged: file is not a/);

  for (const part of [0.9, 0.5, 0.1]) {
    truncateSync(damaged('b'), Math.floor(size * part));
    t.match(await refusal(folder('b')), /^store_unusable: wardian\.db is damaged/);
  }
  truncateSync(damaged('b'), 50);
  t.match(await refusal(folder('b')), /^store_unusable: wardian\.db is damaged/);

  // Every page in turn is overwritten: it is noticed, or the page was free or plain content. Of a
  // large database, only the control plane's pages are looked at.
  const pages = size / 4_096;
  const noticed = (fullCheckBytesMax: number): number => {
    let count = 0;
    for (let page = 0; page < pages; page += 1) {
      const path = damaged('c');
      const handle = openSync(path, 'r+');
      writeSync(handle, Buffer.alloc(64, 0xee), 0, 64, page * 4_096);
      closeSync(handle);
      try {
        openForWriting(path, 'process', MIGRATIONS, fullCheckBytesMax).close();
      } catch (error) {
        t.match(error, { code: 'store_unusable', message: /^wardian\.db is damaged: [^\n]+$/ });
        count += 1;
      }
    }
    return count;
  };
  const [all, control] = [noticed(Number.POSITIVE_INFINITY), noticed(0)];
  t.ok(all >= pages / 2, `${all} of ${pages} pages`);
  t.ok(control >= 5 && control < all, `${control} pages of the control plane`);
});

t.test('a folder that cannot be written', async (t) => {
  const folder = t.testdir({ file: 'x', db: { 'wardian.db': {} } });
  t.match(await refusal(join(folder, 'file')), /data folder .*file cannot be made: EEXIST/);
  t.match(await refusal(join(folder, 'file', 'below')), /cannot be made: ENOTDIR/);
  t.match(await refusal(join(folder, 'db')), /^store_failed: wardian\.db cannot be opened: EISDIR/);
});

/** Runs the child that only opens, in a mount namespace of its own prepared by `mount`. */
function refusalMounted(dataFolder: string, mount: string): string {
  const { stdout, stderr } = spawnSync(
    'unshare', ['-rm', 'sh', '-c', `${mount} && exec "$0" "$@"`,
      process.execPath, CHILD, dataFolder, 'refusal'],
    { encoding: 'utf8', timeout: 20_000 });
  return stdout + stderr;
}

const NAMESPACES = spawnSync('unshare', ['-rm', 'true']).status === 0
  ? {} : { skip: 'mount namespaces are not allowed here' };

t.test('a read-only disk', NAMESPACES, async (t) => {
  const dataFolder = t.testdir();
  await filled(dataFolder);
  const mount = `mount --bind "${dataFolder}" "${dataFolder}"
    && mount -o remount,ro,bind "${dataFolder}"`.replaceAll('\n', ' ');
  t.equal(refusalMounted(dataFolder, mount),
    'store_failed: wardian.lock cannot be opened: EROFS\n');
});

t.test('a disk without room for a database', NAMESPACES, async (t) => {
  const dataFolder = t.testdir();
  const mount = `mount -t tmpfs -o size=40k none "${dataFolder}"`;
  t.match(refusalMounted(dataFolder, mount), /^disk_full: the disk is full\n$/);
});

t.test('a read-only folder', async (t) => {
  const dataFolder = t.testdir();
  await filled(dataFolder);
  const files = ['wardian.db', 'wardian.lock'].map((name) => join(dataFolder, name));
  for (const path of files) chmodSync(path, 0o400);
  chmodSync(dataFolder, 0o500);
  const root = process.getuid?.() === 0;
  const answer = await refusal(dataFolder);
  chmodSync(dataFolder, 0o700);
  t.equal(answer, root ? 'opened' : 'store_failed: wardian.lock cannot be opened: EACCES',
    'root may write');
});

t.test('migrations: in order, once, each as a whole', async (t) => {
  const path = join(t.testdir(), 'm.db');
  const steps = [
    'CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1)',
    'ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = x + 1',
    'CREATE TABLE b (x INTEGER) STRICT; INSERT INTO b SELECT y FROM a',
  ];
  openForWriting(path, 'process', steps.slice(0, 1)).close();
  openForWriting(path, 'process', steps.slice(0, 1)).close();
  const broken = [...steps.slice(0, 2), 'CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)'];
  t.throws(() => openForWriting(path, 'process', broken), { code: 'store_failed' });
  const database = openForWriting(path, 'process', steps);
  t.same({ ...database.prepare('SELECT a.x, a.y, b.x AS z FROM a, b').get() },
    { x: 1, y: 2, z: 2 }, 'the second one ran once although the third one failed');
  t.equal(database.prepare('PRAGMA user_version').get()?.user_version, 3);
  t.equal(database.prepare(`SELECT count(*) AS n FROM sqlite_schema WHERE name = 'half'`).get()?.n,
    0, 'nothing of the failed one is there');
  t.throws(() => migrate(database, 'm.db', steps.slice(0, 2)), { message: /newer Wardian/ });
  database.close();
});

t.test('migrations: tables can be rebuilt; orphans are refused', async (t) => {
  const path = join(t.testdir(), 'm.db');
  const steps = [
    `CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT;
     CREATE TABLE child (id INTEGER REFERENCES parent(id) ON DELETE CASCADE) STRICT;
     INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1), (2)`,
    `CREATE TABLE parent_new (id INTEGER PRIMARY KEY, name TEXT) STRICT;
     INSERT INTO parent_new (id) SELECT id FROM parent;
     DROP TABLE parent; ALTER TABLE parent_new RENAME TO parent`,
  ];
  openForWriting(path, 'process', steps.slice(0, 1)).close();
  const orphans = [...steps.slice(0, 1), 'DELETE FROM parent WHERE id = 1'];
  t.throws(() => openForWriting(path, 'process', orphans), { message: /leaves orphans in child/ });
  const database = openForWriting(path, 'process', steps);
  t.equal(database.prepare('SELECT count(*) AS n FROM child').get()?.n, 2, 'no cascade ran');
  t.throws(() => database.exec('INSERT INTO child VALUES (9)'), /FOREIGN KEY/, 'keys are on again');
  database.close();
});

t.test('every schema that was released migrates to this one', async (t) => {
  for (let version = 0; version <= MIGRATIONS.length; version += 1) {
    const path = join(t.testdir(), `v${version}.db`);
    openForWriting(path, 'process', MIGRATIONS.slice(0, version)).close();
    const database = openForWriting(path, 'process');
    t.equal(database.prepare('PRAGMA user_version').get()?.user_version, MIGRATIONS.length);
    t.equal(database.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok');
    database.close();
  }
});
