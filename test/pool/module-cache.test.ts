/** The versions of a worker: loaded once, bounded by bytes, shared by their bytes, kept current. */

import t from 'tap';
import { KIB, REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import { ModuleCache } from '../../pool/module-cache.ts';
import { answering, guest } from './guests.ts';
import { World, startPool } from './world.ts';

const world = new World();
t.teardown(() => world.remove());

type Test = { teardown(handler: () => unknown): void };

function open(t: Test, bytesMax: number, threads = 1): ModuleCache {
  const cache = new ModuleCache({
    databasePath: world.databasePath, limits: REQUEST_LIMITS_DEFAULT, bytesMax, threads,
  });
  t.teardown(() => cache.close());
  return cache;
}

t.test('a version is loaded once, by all who ask meanwhile', async (t) => {
  const cache = open(t, 1_000 * KIB);
  const { versionId } = world.deploy(answering(200));
  t.equal(cache.get(versionId, 1), null);
  const [first, second] = await Promise.all([cache.load(versionId, 1), cache.load(versionId, 1)]);
  t.equal(first, second);
  t.equal(cache.misses, 1);
  t.equal(cache.get(versionId, 1), first);
  t.equal(cache.hits, 1);
  cache.forget(versionId);
  t.equal(cache.get(versionId, 1), null);
});

t.test('the bound on bytes holds, and what goes takes its versions along', async (t) => {
  const cache = open(t, 200 * KIB);
  const versions: number[] = [];
  for (let index = 0; index < 20; index += 1) {
    const { versionId } = world.deploy(guest(`(call $answer (i32.const ${300 + index}))`));
    versions.push(versionId);
    await cache.load(versionId, 1);
    t.ok(cache.bytes <= 200 * KIB);
  }
  t.ok(cache.evictions > 0);
  t.equal(cache.get(versions[0]!, 1), null);
  t.not(cache.get(versions.at(-1)!, 1), null);
});

t.test('each thread counts its part of the code that all of them hold', async (t) => {
  const { versionId } = world.deploy(answering(223));
  const counted = await Promise.all([1, 2, 4].map(async (threads) => {
    const cache = open(t, 1_000 * KIB, threads);
    await cache.load(versionId, 1);
    return cache.bytes;
  }));
  const [alone = 0, ofTwo = 0, ofFour = 0] = counted;
  const code = 2 * (alone - ofTwo);
  t.ok(code > 0);
  t.ok(Math.abs(alone - ofFour - code * 3 / 4) <= 2, 'a quarter of the code is left');
  t.ok(ofFour >= 32 * KIB, 'with what each has of its own');
});

t.test('a module larger than the cache is served all the same', async (t) => {
  const cache = open(t, 10 * KIB);
  const { versionId } = world.deploy(answering(222));
  await cache.load(versionId, 1);
  t.not(cache.get(versionId, 1), null);
  t.ok(cache.bytes <= 10 * KIB);
});

t.test('apps that deploy the same bytes share the compiled module', async (t) => {
  const cache = open(t, 1_000 * KIB);
  const one = world.deploy(answering(210));
  const other = world.deploy(answering(210), { limits: { fuel: 77_000 } });
  const [a, b] = [await cache.load(one.versionId, 1), await cache.load(other.versionId, 1)];
  t.equal(a.compiled, b.compiled);
  t.equal(cache.count, 1);
  t.equal(b.limits.fuel, 77_000);
  t.equal(b.owner.appId, other.versionId);
});

t.test('a new generation brings new limits', async (t) => {
  const cache = open(t, 1_000 * KIB);
  const { versionId } = world.deploy(answering(211), { limits: { fuel: 1_000 } });
  t.equal((await cache.load(versionId, 1)).limits.fuel, 1_000);
  const generation = world.change(versionId, { limits: { fuel: 2_000 }, recycleMemory: false });
  t.equal(cache.get(versionId, generation), null);
  const served = await cache.load(versionId, generation);
  t.equal(served.limits.fuel, 2_000);
  t.equal(served.recycleMemory, false);
  t.equal(cache.get(versionId, generation), served);
  t.equal(cache.get(versionId, 1), served, 'a request that is late gets the newer');
});

t.test('a cache smaller than the set serves every version right', async (t) => {
  const { ask, pool } = await startPool(t, world, { moduleCacheBytesMax: 150 * KIB });
  const deployed = Array.from({ length: 30 }, (_, index) =>
    world.deploy(guest(`(call $answer (i32.const ${400 + index}))`)));
  for (let round = 0; round < 3; round += 1) {
    const replies = await Promise.all(deployed.map((one) => ask(one)));
    t.strictSame(replies.map((reply) => reply.status), deployed.map((_, index) => 400 + index));
  }
  await new Promise((done) => { setTimeout(done, 60); });
  t.ok(pool.stats().sum('moduleEvictions') > 0);
  t.ok(pool.stats().sum('moduleBytesCached') <= 150 * KIB);
});

t.test('the time to load and compile a module is part of making its first instance', async (t) => {
  // So many functions that compiling them takes longer than anything that comes with a request.
  const functions = Array.from({ length: 3_000 }, (_, at) =>
    `(func $f${at} (param i32) (result i32) (i32.add (local.get 0) (i32.const ${at})))`);
  const large = world.deploy(guest('(call $answer (i32.const 200))', functions.join('\n')));
  const { ask } = await startPool(t, world);
  const first = await ask(large);
  t.equal(first.status, 200);
  let quickest = Number.POSITIVE_INFINITY;
  for (let count = 0; count < 20; count += 1) {
    quickest = Math.min(quickest, (await ask(large)).usage.instantiateUs);
  }
  const { instantiateUs } = first.usage;
  t.ok(instantiateUs > 2 * quickest, `${instantiateUs} us at first, ${quickest} us later`);
});
