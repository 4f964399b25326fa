/** Environment variables and secrets: exact bytes, and every answer. */

import t from 'tap';
import { WardianError } from '../../contract/errors.ts';
import { ENV_NAME_LENGTH_MAX } from '../../contract/limits.ts';
import type { SecretSource } from '../../hostcalls/services/index.ts';
import { HEAP, memoryIs, run, u32, type RunOptions, type Step } from './guest.ts';

const OUT = 64;
const owner = {
  environment: new Map([['LANG', 'de_DE'], ['EMPTY', ''], ['NAME', 'Ä€']]),
};
const env = (name: number, length: number, out = OUT): Step =>
  ['hostcall_env_get', out, out + 4, name, length];
const secret = (name: number, length: number, out = OUT): Step =>
  ['hostcall_secret_get', out, out + 4, name, length];
const DATA = { 128: 'LANG', 136: 'EMPTY', 144: 'NAME', 152: 'lang', 160: '\xff\xfe' };

t.test('a variable is given as UTF-8 and a NUL', async (t) => {
  const ran = await run(t, { steps: [env(128, 4), env(144, 4, OUT + 8)], data: DATA, owner });
  t.same([ran.globals['r0'], ran.globals['r1']], [1, 1]);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 5, HEAP + 16, 5), [HEAP]: 'de_DE\0', [HEAP + 16]: '\xc3\x84\xe2\x82\xac\0',
  });
  t.equal(ran.usage.kvOperations, 0);
});

t.test('an empty variable has an address, an absent one has none', async (t) => {
  const ran = await run(t, {
    steps: [env(136, 5), env(152, 4, OUT + 8), env(160, 2, OUT + 16), env(0, 0, OUT + 24)],
    data: DATA, owner,
  });
  t.same([0, 1, 2, 3].map((step) => ran.globals[`r${step}`]), [1, 0, 0, 0]);
  memoryIs(t, ran, { [OUT]: u32(HEAP, 0, 0, 0, 0, 0, 0, 0), [HEAP]: '\0' });
});

t.test('a name that is too long is nobody\'s', async (t) => {
  const name = 'x'.repeat(ENV_NAME_LENGTH_MAX + 1);
  const long: RunOptions = { data: { 256: name }, owner: { environment: new Map([[name, 'v']]) } };
  const ran = await run(t, { steps: [env(256, name.length)], ...long });
  t.equal(ran.globals['r0'], 0);
  t.equal(ran.usage.hostcallBytes, 0, 'and not looked at');
});

t.test('WASI has the same variables', async (t) => {
  const ran = await run(t, {
    steps: [['wasi:environ_sizes_get', 0, 8], ['wasi:environ_get', 256, 512]], owner,
  });
  t.same([ran.globals['r0'], ran.globals['r1']], [0, 0]);
  memoryIs(t, ran, {
    0: u32(3), 8: u32(29), 256: u32(512, 523, 530),
    512: 'LANG=de_DE\0EMPTY=\0NAME=\xc3\x84\xe2\x82\xac\0',
  });
});

/** What was asked for, and one secret. */
function secrets(asked: string[] = []): SecretSource {
  return {
    get(appId, name) {
      asked.push(`${appId}:${name}`);
      if (name === 'LANG') return Buffer.from([0, 255, 7]);
      return name === 'EMPTY' ? new Uint8Array() : null;
    },
  };
}

t.test('secrets are bytes, of the guest\'s own app', async (t) => {
  const asked: string[] = [];
  const ran = await run(t, {
    steps: [secret(128, 4), secret(136, 5, OUT + 8), secret(152, 4, OUT + 16)], data: DATA,
    services: { secrets: secrets(asked) },
  });
  t.same([0, 1, 2].map((step) => ran.globals[`r${step}`]), [1, 1, 0]);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 3, HEAP + 16, 0, 0, 0), [HEAP]: '\0\xff\x07\0', [HEAP + 16]: '\0',
  });
  t.same(asked, ['5:LANG', '5:EMPTY', '5:lang']);
  t.equal(ran.usage.kvOperations, 3);
  t.same(ran.logs, []);
});

t.test('a name that is not UTF-8 asks for nothing', async (t) => {
  const asked: string[] = [];
  const ran = await run(t, {
    steps: [secret(160, 2)], data: DATA, services: { secrets: secrets(asked) },
  });
  t.equal(ran.globals['r0'], 0);
  t.same(asked, []);
});

t.test('secrets are bounded as operations of the stores are', async (t) => {
  const ran = await run(t, {
    steps: [secret(128, 4), secret(128, 4)], data: DATA, limits: { kvOperations: 1 },
    services: { secrets: secrets() },
  });
  t.match(ran.failure, { code: 'hostcalls_exhausted', lastHostcall: 'hostcall_secret_get' });
  t.equal(ran.usage.kvOperations, 1);
});

t.test('a secret that cannot be opened ends the guest, and says no more', async (t) => {
  const broken: SecretSource = {
    get() {
      throw new WardianError('store_failed', 'a secret cannot be decrypted');
    },
  };
  const ran = await run(t, {
    steps: [secret(128, 4)], data: DATA, services: { secrets: broken },
  });
  t.match(ran.failure, {
    code: 'store_failed', message: 'hostcall_secret_get: a secret cannot be decrypted',
  });
});
