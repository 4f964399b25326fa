/** A daemon that is killed at any moment of a restore: what it starts with is one state, whole. */

import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import type { Daemon } from '../harness/daemon.ts';
import { backedUp, setState, telling, told } from './restoring.ts';
import { startFor, textGuest } from './world.ts';

/** WARDIAN_RESTORE_KILLS: more of them. */
const KILLS = Number(process.env['WARDIAN_RESTORE_KILLS'] ?? 8);

/** The state that the backup is not of. */
async function renew(daemon: Daemon): Promise<void> {
  await daemon.deploy('told', telling('n'));
  await setState(daemon, 'new');
  await daemon.deploy('since', textGuest('since'));
}

t.test('killed at any moment: the old state or the new one, whole', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'backup.db');
  const data = join(folder, 'data');
  let daemon = await startFor(t, { data });
  await backedUp(t, daemon, file);
  const after = { old: 0, new: 0 };
  const restore = () => daemon.admin('POST', '/v1/restore', {
    body: readFileSync(file), headers: {
      'content-type': 'application/vnd.sqlite3', 'content-length': String(statSync(file).size),
    },
  }).then(({ status }) => status, () => 0);
  const startedAt = performance.now();
  t.equal(await restore(), 200);
  const restoreMs = performance.now() - startedAt;
  await renew(daemon);
  for (let round = 0; round < KILLS; round += 1) {
    const restoring = restore();
    // Spread over the time that one takes, most of them over its end, and beyond.
    await sleep(restoreMs * (0.3 + round / KILLS));
    await daemon.kill();
    const status = await restoring;
    daemon = await startFor(t, { data });
    const text = await told(daemon);
    t.ok(text === 'kold' || text === 'nnew', `${text} after ${status}`);
    if (status === 200) t.equal(text, 'kold', 'what was acknowledged is there');
    after[text === 'kold' ? 'old' : 'new'] += 1;
    t.equal((await daemon.ask('since.localhost')).status, text === 'kold' ? 404 : 200);
    t.same(readdirSync(data).filter((name) => name.startsWith('restore-')), [], 'nothing is left');
    if (text === 'kold') {
      await renew(daemon);
    }
  }
  t.comment(`${KILLS} kills: ${after.new} before the exchange, ${after.old} after it`);
  t.equal(await daemon.stop(), 0);
});
