/**
 * What `kill -9` cannot show: with durability `full`, every acknowledgement comes after a sync of
 * the log. The system calls are watched with strace, where it is there.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { skipWithout } from '../../harness/tools.ts';

const CHILD = fileURLToPath(new URL('./fixtures/sync-child.ts', import.meta.url));
const COUNT = 20;

const STRACE = { skip: skipWithout('strace') };

/** For each acknowledgement but the first, how many syncs came since the one before it. */
function syncsBeforeAcks(folder: string, durability: string): number[] {
  const log = join(folder, `${durability}.log`);
  const { stderr, status } = spawnSync('strace', [
    '-f', '-o', log, '-e', 'trace=fsync,fdatasync,write',
    process.execPath, CHILD, join(folder, durability), durability, `${COUNT}`,
  ], { encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) throw new Error(stderr);
  const counts: number[] = [];
  let syncs = 0;
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    // A call that another thread interrupts is in two lines; the second one has its result.
    if (/f(data)?sync(\(| resumed).* = 0/.test(line)) syncs += 1;
    if (!/write\(1, "ack /.test(line)) continue;
    counts.push(syncs);
    syncs = 0;
  }
  return counts.slice(1);
}

t.test('full: a sync before every acknowledgement', STRACE, async (t) => {
  const counts = syncsBeforeAcks(t.testdir(), 'full');
  t.equal(counts.length, COUNT - 1);
  t.ok(counts.every((syncs) => syncs >= 1), counts.join(' '));
});

t.test('process: no sync at all on the way', STRACE, async (t) => {
  const counts = syncsBeforeAcks(t.testdir(), 'process');
  t.equal(counts.length, COUNT - 1);
  t.equal(Math.max(...counts), 0);
});
