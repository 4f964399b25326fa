/** Threads that run guests come after the main thread, and V8's helpers last. */

import { readFileSync, readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import t from 'tap';
import { lowerHelpers } from '../../pool/priority.ts';
import { answering } from './guests.ts';
import { World, startPool } from './world.ts';

const world = new World();
t.teardown(() => world.remove());

const skip = process.platform === 'linux' ? false : 'only Linux knows the niceness of a thread';
const TASKS = '/proc/self/task';

/** The niceness of each thread of this process, by the names of threads. */
function niceness(name: string): number[] {
  return readdirSync(TASKS)
    .filter((id) => readFileSync(`${TASKS}/${id}/comm`, 'utf8').startsWith(name))
    .map((id) => getPriority(Number(id)));
}

t.test('the main thread before workers, workers before helpers', { skip }, async (t) => {
  const own = getPriority(process.pid);
  const behind = (by: number): number => Math.min(own + by, 19);
  const { ask } = await startPool(t, world, { threads: 2 });
  t.equal((await ask(world.deploy(answering(204)))).status, 204);
  t.equal(getPriority(process.pid), own, 'the main thread stays as it was');
  t.strictSame(niceness('WorkerThread'), [behind(5), behind(5)]);
  const helpers = niceness('V8Worker');
  t.ok(helpers.length > 0);
  t.ok(helpers.every((nice) => nice === behind(10)));
});

t.test('what is lowered already stays so', { skip }, async (t) => {
  const before = niceness('V8Worker');
  lowerHelpers(5);
  t.strictSame(niceness('V8Worker'), before);
});

t.test('none stands back where the operator says so', { skip }, async (t) => {
  const { ask } = await startPool(t, world, { threads: 1, niceness: 0 });
  t.equal((await ask(world.deploy(answering(205)))).status, 205);
  const own = getPriority(process.pid);
  // Workers of the test before may not have ended yet.
  t.ok(niceness('WorkerThread').includes(own));
});
