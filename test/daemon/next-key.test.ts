/**
 * A new key where the environment gives the keys: whatever was on the disk when the process died,
 * and whichever of the two keys it is started with next, every secret opens.
 */

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';

import { secretKeyId } from '../../contract/sealed.ts';
import { NEXT_KEY_FILE } from '../../daemon/next-key.ts';
import { loadSecretKeys } from '../../daemon/secrets-key.ts';
import type { SecretKeys } from '../../daemon/secrets-key.ts';
import { openStore } from '../../daemon/store/store.ts';
import { bytes, deployed, text } from './store/support.ts';

const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex');
const idOf = (byte: number): string => secretKeyId(new Uint8Array(32).fill(byte));
const OLD = 1;
const NEW = 2;
const NAMES = ['A', 'B', 'C', 'D'];

const load = (folder: string, ...given: number[]): SecretKeys =>
  loadSecretKeys(folder, { WARDIAN_SECRETS_KEY: given.map(hex).join(',') });

/** As a process leaves it that dies after so many secrets were sealed anew; null: not begun. */
async function leave(folder: string, resealed: number | null): Promise<number> {
  mkdirSync(folder);
  const keys = load(folder, OLD);
  const store = await openStore({ dataFolder: folder, secretKeys: keys.keys });
  const { app } = await deployed(store, 'hello');
  for (const name of NAMES) await store.environment.putSecret(app.id, name, bytes(`of ${name}`));
  if (resealed !== null) {
    store.environment.addKey(keys.addGiven(hex(NEW)));
    for (const name of NAMES.slice(0, resealed)) {
      await store.environment.putSecret(app.id, name, bytes(`of ${name}`));
    }
  }
  await store.close();
  return app.id;
}

async function checkStart(t: Test, folder: string, appId: number, keys: SecretKeys) {
  const store = await openStore({ dataFolder: folder, secretKeys: keys.keys });
  for (const name of NAMES) {
    t.equal(text(store.environment.secret(appId, name)), `of ${name}`, name);
  }
  t.same((await store.environment.rotate()).unopened, new Map());
  for (const name of NAMES) t.equal(text(store.environment.secret(appId, name)), `of ${name}`);
  const used = store.environment.keys().filter(({ values }) => values > 0);
  keys.settle(new Set(used.map(({ keyId }) => keyId)));
  await store.close();
  return used.map(({ keyId }) => keyId);
}

for (const resealed of [0, 1, NAMES.length - 1, NAMES.length]) {
  t.test(`dead after ${resealed} of ${NAMES.length} secrets`, async (t) => {
    const folder = join(t.testdir(), 'data');
    const file = join(folder, NEXT_KEY_FILE);
    const appId = await leave(folder, resealed);
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.notMatch(readFileSync(file, 'utf8'), new RegExp(`${hex(OLD)}|${hex(NEW)}`));

    const before = load(folder, OLD);
    t.same(before.keys.map(secretKeyId), [idOf(NEW), idOf(OLD)], 'the new one goes on sealing');
    t.match(before.note, new RegExp(`new key ${idOf(NEW)} first in WARDIAN_SECRETS_KEY`));
    t.same(await checkStart(t, folder, appId, before), [idOf(NEW)]);
    t.ok(existsSync(file), 'the environment has the old one still');

    const after = load(folder, NEW);
    t.equal(after.note, '');
    t.same(await checkStart(t, folder, appId, after), [idOf(NEW)]);
    t.notOk(existsSync(file), 'nothing needs it any more');
    t.same(load(folder, NEW).keys.map(secretKeyId), [idOf(NEW)]);
  });

  t.test(`dead after ${resealed}, and started with the new key alone`, async (t) => {
    const folder = join(t.testdir(), 'data');
    const appId = await leave(folder, resealed);
    const keys = load(folder, NEW);
    t.same(keys.keys.map(secretKeyId), [idOf(NEW), idOf(OLD)]);
    t.same(await checkStart(t, folder, appId, keys), [idOf(NEW)]);
    t.notOk(existsSync(join(folder, NEXT_KEY_FILE)));
  });
}

t.test('with both, whichever is first seals', async (t) => {
  const folder = join(t.testdir(), 'data');
  const appId = await leave(folder, 2);
  t.same(await checkStart(t, folder, appId, load(folder, NEW, OLD)), [idOf(NEW)]);
  t.notOk(existsSync(join(folder, NEXT_KEY_FILE)));
  const back = load(folder, OLD, NEW);
  t.same(await checkStart(t, folder, appId, back), [idOf(OLD)]);
});

t.test('given again it goes on; another one waits for a start with it', async (t) => {
  const folder = join(t.testdir(), 'data');
  await leave(folder, null);
  const keys = load(folder, OLD);
  const conflict = { code: 'conflict' };
  t.throws(() => keys.addNext(), { ...conflict, message: /--given/ });
  for (const bad of ['', 'short', `${hex(NEW)}0`, `${hex(NEW)},${hex(3)}`]) {
    t.throws(() => keys.addGiven(bad), { code: 'bad_argument', message: /the new key: a key is/ });
  }
  t.notOk(existsSync(join(folder, NEXT_KEY_FILE)));
  const given = keys.addGiven(` ${hex(NEW)}\n`);
  t.equal(secretKeyId(given), idOf(NEW));
  t.equal(keys.ring.find(idOf(NEW))?.byteLength, 32, 'workers have it at once');
  t.equal(keys.addGiven(hex(NEW)), given);
  t.throws(() => keys.addGiven(hex(3)), { ...conflict, message: new RegExp(idOf(NEW)) });
  t.same(keys.keys.map(secretKeyId), [idOf(NEW), idOf(OLD)]);
  t.same(load(folder, OLD).keys.map(secretKeyId), [idOf(NEW), idOf(OLD)]);
});

t.test('a start that could not open anything is refused, in words', async (t) => {
  const folder = join(t.testdir(), 'data');
  await leave(folder, 2);
  const refused = { code: 'store_failed' };
  t.throws(() => load(folder, 3), {
    ...refused, message: new RegExp(`neither the new key ${idOf(NEW)} nor .*${idOf(OLD)}`),
  });
  t.throws(() => loadSecretKeys(folder, {}), {
    ...refused, message: /WARDIAN_SECRETS_KEY gave, which is not set/,
  });
  const file = join(folder, NEXT_KEY_FILE);
  writeFileSync(file, readFileSync(file).subarray(0, 100));
  t.throws(() => load(folder, OLD), { ...refused, message: /secrets-key-next .*is damaged/ });
});

t.test('in the file of keys a given one comes first', async (t) => {
  const folder = join(t.testdir(), 'data');
  const keys = loadSecretKeys(folder, {});
  const [first] = keys.keys.map(secretKeyId);
  keys.addGiven(hex(NEW));
  t.same(loadSecretKeys(folder, {}).keys.map(secretKeyId), [idOf(NEW), first]);
  keys.addNext();
  keys.addGiven(hex(NEW));
  t.equal(loadSecretKeys(folder, {}).keys.map(secretKeyId)[0], idOf(NEW), 'moved, not doubled');
  t.equal(loadSecretKeys(folder, {}).keys.length, 3);
  t.notOk(existsSync(join(folder, NEXT_KEY_FILE)));
});

t.test('no more old keys are kept than the next start reads', async (t) => {
  const folder = join(t.testdir(), 'data');
  await leave(folder, null);
  const most = Array.from({ length: 16 }, (_, index) => index + 1);
  load(folder, ...most).addGiven(hex(17));
  const keys = load(folder, 17, ...most.slice(0, 15));
  t.equal(keys.keys.length, 17, 'one of them is lent by the file');
  keys.settle(new Set([idOf(17)]));
  t.notOk(existsSync(join(folder, NEXT_KEY_FILE)));
  t.throws(() => keys.addGiven(hex(18)), { code: 'conflict', message: /17 keys, .*restart first/ });
  t.notOk(existsSync(join(folder, NEXT_KEY_FILE)));
  const again = load(folder, 17, ...most.slice(0, 15));
  again.addGiven(hex(18));
  t.equal(load(folder, 17).keys.map(secretKeyId)[0], idOf(18));
});

t.test('keys that the next start has not are not counted upon', async (t) => {
  const folder = join(t.testdir(), 'data');
  await leave(folder, null);
  const ids = (keys: SecretKeys): string[] => keys.durable().map(secretKeyId);
  const before = load(folder, OLD);
  t.same(ids(before), [idOf(OLD)]);
  before.addGiven(hex(NEW));
  t.same(ids(before), [idOf(NEW), idOf(OLD)], 'the file has it');
  const after = load(folder, NEW);
  t.same(ids(after), [idOf(NEW), idOf(OLD)], 'the file lends it');
  after.settle(new Set([idOf(NEW)]));
  t.same(after.keys.map(secretKeyId), [idOf(NEW), idOf(OLD)]);
  t.same(ids(after), [idOf(NEW)], 'the file is gone');

  const other = join(t.testdir({}), 'other');
  const inFile = loadSecretKeys(other, {});
  inFile.addGiven(hex(NEW));
  writeFileSync(join(other, 'secrets-key'), `${hex(3)}\n`);
  t.same(ids(inFile), [idOf(3)], 'a line was taken out by hand');
  writeFileSync(join(other, 'secrets-key'), 'no key\n');
  t.throws(() => inFile.durable(), { code: 'store_failed', message: /secrets-key: a key is/ });
});
