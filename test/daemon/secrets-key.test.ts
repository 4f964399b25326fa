/** The keys of secrets: made once, kept private, given by the environment, followed by new ones. */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { KeyRing } from '../../contract/key-ring.ts';
import { secretKeyId } from '../../contract/sealed.ts';
import { loadSecretKeys, SECRETS_KEY_FILE } from '../../daemon/secrets-key.ts';
import { openStore } from '../../daemon/store/store.ts';
import { deployed } from './store/support.ts';

const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex');
const ids = (keys: readonly Uint8Array[]): string[] => keys.map(secretKeyId);

t.test('the file is made at the first start, for its owner alone, and stays', async (t) => {
  const folder = join(t.testdir(), 'data');
  const first = loadSecretKeys(folder, {});
  const path = join(folder, SECRETS_KEY_FILE);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.match(readFileSync(path, 'utf8'), /^[0-9a-f]{64}\n$/);
  t.same(ids(loadSecretKeys(folder, {}).keys), ids(first.keys));
});

t.test('the environment goes before the file, which is not made then', async (t) => {
  const folder = t.testdir();
  const base64 = Buffer.alloc(32, 2).toString('base64');
  const { keys } = loadSecretKeys(folder, { WARDIAN_SECRETS_KEY: `${hex(1)}, ${base64}` });
  t.same(keys.map((key) => key[0]), [1, 2]);
  t.throws(() => statSync(join(folder, SECRETS_KEY_FILE)), /ENOENT/);
  const given = loadSecretKeys(folder, { WARDIAN_SECRETS_KEY: hex(1) });
  t.throws(() => given.addNext(), { code: 'conflict', message: /WARDIAN_SECRETS_KEY/ });
});

t.test('what is no key is refused in a line that does not show it', async (t) => {
  const folder = t.testdir();
  for (const bad of ['secretword', `${hex(1)}0`, ',', `${hex(1)},`.repeat(17)]) {
    const load = (): unknown => loadSecretKeys(folder, { WARDIAN_SECRETS_KEY: bad });
    t.throws(load, { code: 'store_failed' }, bad.slice(0, 20));
    try {
      load();
    } catch (error) {
      t.notMatch((error as Error).message, /secretword|0101/);
    }
  }
  writeFileSync(join(folder, SECRETS_KEY_FILE), '');
  t.throws(() => loadSecretKeys(folder, {}), { code: 'store_failed', message: /secrets-key/ });
});

t.test('a new key comes first, also at the next start; the old one still opens', async (t) => {
  const folder = t.testdir();
  const first = loadSecretKeys(folder, {});
  const store = await openStore({ dataFolder: folder, secretKeys: first.keys });
  const { app } = await deployed(store, 'hello');
  await store.environment.putSecret(app.id, 'KEY', Buffer.from('value'));
  const id = secretKeyId(first.addNext());
  const another = new Uint8Array(32).fill(9);
  t.equal(new KeyRing(first.ring.memory).find(id)?.byteLength, 32, 'workers have it at once');
  t.equal(first.ring.find(secretKeyId(another)), null);
  const file = join(folder, SECRETS_KEY_FILE);
  const kept = readFileSync(file, 'utf8');
  writeFileSync(file, `${Buffer.from(another).toString('hex')}\n${kept}`);
  t.throws(() => first.addNext(), { code: 'conflict', message: /restart/ }, 'changed by hand');
  writeFileSync(file, kept);
  await store.close();

  const next = loadSecretKeys(folder, {});
  t.equal(ids(next.keys)[0], id);
  t.same(ids(next.keys), ids(first.keys));
  const again = await openStore({ dataFolder: folder, secretKeys: next.keys });
  t.match(await again.environment.rotate(), { resealed: 1 });
  await again.close();

  const [newest] = next.keys;
  const last = await openStore({ dataFolder: folder, secretKeys: newest ? [newest] : [] });
  const value = last.environment.secret(app.id, 'KEY');
  t.equal(Buffer.from(value ?? []).toString(), 'value', 'the old key is not needed any more');
  await last.close();
});
