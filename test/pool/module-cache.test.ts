/** The versions of a worker: loaded once, bounded by bytes, shared by their bytes, kept current. */

import t from 'tap';
import { KIB, REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import { ModuleCache } from '../../pool/module-cache.ts';
import { ModuleHolders, sharedHolders } from '../../pool/module-holders.ts';
import { answering, guest } from './guests.ts';
import { World, startPool } from './world.ts';

const world = new World();
t.teardown(() => world.remove());

type Test = { teardown(handler: () => unknown): void };

/** `threadId`, `shared`: as if it were another thread of a pool. */
function open(
  t: Test, bytesMax: number, shared = sharedHolders(1), threadId = 1, threads = 1,
): ModuleCache {
  const cache = new ModuleCache({
    databasePath: world.databasePath, limits: REQUEST_LIMITS_DEFAULT, bytesMax, threads,
    holders: new ModuleHolders(shared, threadId),
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
  const cache = open(t, 600 * KIB);
  const versions: number[] = [];
  for (let index = 0; index < 20; index += 1) {
    const { versionId } = world.deploy(guest(`(call $answer (i32.const ${300 + index}))`));
    versions.push(versionId);
    await cache.load(versionId, 1);
    t.ok(cache.modules.bytes <= 600 * KIB);
  }
  t.ok(cache.modules.evictions > 0);
  t.ok(cache.modules.count > 2);
  t.equal(cache.get(versions[0]!, 1), null);
  t.not(cache.get(versions.at(-1)!, 1), null);
});

/** A module whose code counts more than what each thread has of its own. */
function large(status: number): string {
  const functions = Array.from({ length: 1_000 }, (_, at) =>
    `(func $f${at} (param i32) (result i32) (i32.add (local.get 0) (i32.const ${at})))`);
  return guest(`(call $answer (i32.const ${status}))`, functions.join('\n'));
}

t.test('threads count their part of what several hold, and all of what one holds', async (t) => {
  const shared = sharedHolders(3);
  const caches = [1, 2, 3].map((threadId) => open(t, 4_000 * KIB, shared, threadId));
  const [one, two, three] = caches as [ModuleCache, ModuleCache, ModuleCache];
  const { versionId } = world.deploy(large(223));
  const counted = (): number[] => caches.map(({ modules }) => {
    modules.recount(Number.POSITIVE_INFINITY);
    return modules.bytes;
  });
  await one.load(versionId, 1);
  const [alone = 0] = counted();
  await two.load(versionId, 1);
  const [half = 0, otherHalf, none] = counted();
  t.equal(half, otherHalf);
  t.equal(none, 0);
  const own = 2 * half - alone;
  t.ok(own >= 90 * KIB && own < 110 * KIB, 'each has something of its own');
  t.ok(alone - own > 10 * KIB, 'and the code is shared');
  await three.load(versionId, 1);
  const code = alone - own;
  for (const bytes of counted()) t.ok(Math.abs(bytes - own - code / 3) <= 2);

  two.modules.clear();
  t.strictSame(counted(), [half, 0, half], 'what one lets go of counts for the others');
  new ModuleHolders(shared, 0).release(3);
  t.equal(counted()[0], alone, 'and so does what a thread held that has ended');
});

t.test('a thread that counts more because of another has no more than it may', async (t) => {
  const shared = sharedHolders(2);
  const one = open(t, 800 * KIB, shared, 1);
  const two = open(t, 8_000 * KIB, shared, 2);
  const versions = Array.from({ length: 12 }, (_, at) => world.deploy(large(430 + at)).versionId);
  for (const versionId of versions) await two.load(versionId, 1);
  for (const versionId of versions) await one.load(versionId, 1);
  const before = one.modules.count;
  two.modules.clear();
  one.modules.recount(Number.POSITIVE_INFINITY);
  t.ok(one.modules.count < before);
  t.ok(one.modules.bytes <= 800 * KIB);
  t.not(one.get(versions.at(-1)!, 1), null, 'the youngest stays');
});

t.test('what other threads leave is there for one, until they want their share', async (t) => {
  const shared = sharedHolders(2);
  const bytesMax = 4_000 * KIB;
  const one = open(t, bytesMax, shared, 1, 2);
  const two = open(t, bytesMax, shared, 2, 2);
  const both = (): number => one.modules.bytes + two.modules.bytes;
  const versions = Array.from({ length: 18 }, (_, at) => world.deploy(large(460 + at)).versionId);
  const [ofOne, ofTwo] = [versions.slice(0, 9), versions.slice(9)];
  for (const versionId of ofOne) await one.load(versionId, 1);
  t.ok(one.modules.bytes > bytesMax / 2 && one.modules.bytes < bytesMax, 'more than its half');
  t.equal(one.modules.evictions, 0);

  for (const versionId of ofTwo) await two.load(versionId, 1);
  t.ok(both() > bytesMax);
  two.modules.recount(Number.POSITIVE_INFINITY);
  t.ok(two.modules.bytes > bytesMax / 4, 'it keeps what is within its half');
  one.modules.recount(Number.POSITIVE_INFINITY);
  t.ok(both() <= bytesMax + 2 * KIB);
  t.ok(one.modules.evictions > 0, 'the other gives way');
  t.ok(one.modules.bytes >= bytesMax / 2 - 400 * KIB, 'and no further than to its half');
  t.not(one.get(ofOne.at(-1)!, 1), null, 'the youngest stays');

  new ModuleHolders(shared, 0).release(2);
  const { evictions } = one.modules;
  for (const versionId of ofOne) await one.load(versionId, 1);
  t.equal(one.modules.evictions, evictions, 'what a thread had that has ended is there again');
});

t.test('the threads of a pool know what the others hold', async (t) => {
  const { ask, pool } = await startPool(t, world, { threads: 2 });
  const deployed = world.deploy(large(224));
  const bytes = (): number => pool.stats().sum('moduleBytesCached');
  const count = (): number => pool.stats().sum('modulesCached');
  const until = async (holds: () => boolean): Promise<boolean> => {
    for (let tries = 0; tries < 200 && !holds(); tries += 1) {
      await ask(deployed);
      await new Promise((done) => { setTimeout(done, 10); });
    }
    return holds();
  };
  await ask(deployed);
  t.ok(await until(() => count() === 1));
  const alone = bytes();
  const both = async (): Promise<boolean> => {
    await Promise.all(Array.from({ length: 64 }, () => ask(deployed)));
    return count() === 2;
  };
  for (let tries = 0; tries < 100 && !await both(); tries += 1);
  // The code once, and twice what each has of its own.
  t.ok(await until(() => bytes() > alone && bytes() < 2 * alone - 10 * KIB));
});

t.test('a module larger than the cache is served all the same', async (t) => {
  const cache = open(t, 10 * KIB);
  const { versionId } = world.deploy(answering(222));
  await cache.load(versionId, 1);
  t.not(cache.get(versionId, 1), null);
  t.equal(cache.modules.count, 1);
  t.ok(cache.modules.bytes <= 10 * KIB);
});

t.test('apps that deploy the same bytes share the compiled module', async (t) => {
  const cache = open(t, 1_000 * KIB);
  const one = world.deploy(answering(210));
  const other = world.deploy(answering(210), { limits: { fuel: 77_000 } });
  const [a, b] = [await cache.load(one.versionId, 1), await cache.load(other.versionId, 1)];
  t.equal(a.compiled, b.compiled);
  t.equal(cache.modules.count, 1);
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
  const { ask, pool } = await startPool(t, world, { moduleCacheBytesMax: 600 * KIB });
  const deployed = Array.from({ length: 30 }, (_, index) =>
    world.deploy(guest(`(call $answer (i32.const ${400 + index}))`)));
  for (let round = 0; round < 3; round += 1) {
    const replies = await Promise.all(deployed.map((one) => ask(one)));
    t.strictSame(replies.map((reply) => reply.status), deployed.map((_, index) => 400 + index));
  }
  await new Promise((done) => { setTimeout(done, 60); });
  t.ok(pool.stats().sum('moduleEvictions') > 0);
  t.ok(pool.stats().sum('moduleBytesCached') <= 600 * KIB);
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
