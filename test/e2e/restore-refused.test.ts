/** Backups that a daemon which serves does not take: it says why, and nothing is changed. */

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import type { Run } from '../harness/command.ts';
import { SMALL_DISKS } from '../harness/daemon.ts';
import { backedUp, cliOf, ok, told } from './restoring.ts';
import { startFor } from './world.ts';

const MIB = 1024 * 1024;

t.test('refused: nothing is changed, and it says why', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'backup.db');
  const daemon = await startFor(t);
  const cli = cliOf(daemon);
  await backedUp(t, daemon, file);
  await daemon.admin('PUT', '/v1/apps/told/secrets/KEY', {
    body: 'sealed', headers: { 'content-type': 'application/octet-stream' },
  });
  const sealed = join(folder, 'sealed.db');
  await ok(t, cli(`backup ${sealed}`));
  const good = readFileSync(file);
  writeFileSync(join(folder, 'words'), 'only words'.repeat(300));
  writeFileSync(join(folder, 'empty'), '');
  const refuse = async (words: string, expected: Partial<Run> | object): Promise<void> => {
    t.match(await cli(`restore ${words}`), expected, words);
    t.equal(await told(daemon), 'nnew', 'it serves as before');
  };
  await refuse(file, { code: 2, stderr: /is replaced by the backup: add --yes/ });
  await refuse(`${join(folder, 'words')} --yes`, { code: 1, stderr: /not a database.*bad_upload/ });
  const half = await daemon.admin('POST', '/v1/restore', {
    body: good.subarray(0, good.length / 2), headers: { 'content-type': 'application/vnd.sqlite3' },
  });
  t.match(JSON.parse(half.text), { status: 400, code: 'bad_upload', detail: /damaged/ });
  await refuse(`${join(folder, 'empty')} --yes`, { code: 2, stderr: /it is empty/ });
  await refuse(`${join(folder, 'absent')} --yes`, { code: 2, stderr: /ENOENT/ });
  const acme = await ok(t, cli('tenant create acme'))
    .then(() => ok(t, cli('token create --tenant acme --name own --scope admin')));
  const tenants = cliOf(daemon, { WARDIAN_TOKEN: acme });
  t.match(await tenants(`restore ${file} --yes`), { code: 1, stderr: /forbidden/ });
  t.same(readdirSync(daemon.data).filter((name) => name.startsWith('restore-')), []);
  t.equal(await daemon.stop(), 0);

  const other = await startFor(t);
  const theirs = cliOf(other);
  const held = await startFor(t);
  t.match(await theirs(`restore ${sealed} --yes --accept-missing-keys --data ${held.data}`), {
    code: 1, stderr: /serves another data folder: .*--admin-url.*nothing was changed.*conflict/,
  }, 'the folder of one daemon, the address of another');
  t.equal((await other.ask('told.localhost')).status, 404);
  t.match(await cliOf(held)(`restore ${file} --yes --data ${held.data}`), { code: 0 });
  t.equal(await told(held), 'kold');
  t.equal(await held.stop(), 0);
  t.match(await theirs(`restore ${sealed} --yes`), {
    code: 1, stderr: /no key of this node opens 1 secrets of the key [0-9a-f]{16}.*conflict/,
  });
  t.match(await theirs(`restore ${sealed} --yes --accept-missing-keys`), {
    code: 0, stderr: /warning: no key of this node opens 1 secrets[^]*restored 3 apps/,
  });
  t.equal(await told(other), 'nnew');
  t.equal(await other.stop(), 0);
});

t.test('without room for it: 507 before a byte is taken', SMALL_DISKS, async (t) => {
  const folder = t.testdir({ data: {} });
  const file = join(folder, 'backup.db');
  const daemon = await startFor(t, {
    data: join(folder, 'data'), diskBytes: 160 * MIB, flags: ['--durability', 'process'],
  });
  await backedUp(t, daemon, file);
  const large = Buffer.concat([readFileSync(file), Buffer.alloc(64 * MIB)]);
  writeFileSync(file, large);
  const words = `restore ${file} --yes --admin-url http://127.0.0.1:${daemon.adminPort}`;
  t.match(await cliOf(daemon)(words), { code: 1, stderr: /free bytes.*disk_full/ });
  t.equal(await told(daemon), 'nnew');
  t.equal((await daemon.ask('writer.localhost')).status, 200, 'guests write');
  t.equal(await daemon.stop(), 0);
});
