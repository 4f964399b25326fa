/** The memories of a worker: what is kept, zeroed, dropped and refused. */

import t from 'tap';
import { RECYCLED_MEMORY_BYTES_MAX, WASM_PAGE_BYTES } from '../../contract/limits.ts';
import { HOST_MODULE, MEMORY_IMPORT } from '../../contract/reserved.ts';
import { MemoryPool, type Lease } from '../../pool/memory-pool.ts';

function create(keptPages = 100, liveMax = 100): MemoryPool {
  return new MemoryPool({
    imports: { env: {} }, keptBytesMax: keptPages * WASM_PAGE_BYTES, liveMax,
  });
}

const turn = (): Promise<void> => new Promise((done) => { setImmediate(done); });

function soil({ memory }: Lease): void {
  new Uint8Array(memory.buffer).fill(0x53);
}

const isZero = ({ memory }: Lease): boolean =>
  new Uint8Array(memory.buffer).every((byte) => byte === 0);

t.test('what is given back is zeroed when the loop turns, and lent again', async (t) => {
  const pool = create();
  const lease = pool.acquire(2, 10, true);
  t.equal(lease.recycled, false);
  t.equal((lease.imports[HOST_MODULE] ?? {})[MEMORY_IMPORT], lease.memory);
  soil(lease);
  pool.release(lease);
  t.equal(pool.keptCount, 0, 'not on the way to the answer');
  await turn();
  t.equal(pool.keptCount, 1);
  t.ok(isZero(lease));
  const again = pool.acquire(2, 10, true);
  t.equal(again, lease);
  t.equal(again.recycled, true);
  t.equal(pool.keptBytes, 0);
});

t.test('one that is wanted before the loop turns is zeroed then', async (t) => {
  const pool = create();
  const lease = pool.acquire(2, 10, true);
  soil(lease);
  pool.release(lease);
  const again = pool.acquire(2, 10, true);
  t.equal(again, lease);
  t.ok(isZero(again));
  await turn();
  t.equal(pool.keptCount, 0, 'and not given out twice');
  t.not(pool.acquire(2, 10, true), again);
});

t.test('a memory that grew is zeroed to its physical end', async (t) => {
  const pool = create();
  const lease = pool.acquire(1, 10, true);
  lease.memory.grow(5);
  soil(lease);
  pool.release(lease);
  await turn();
  const again = pool.acquire(1, 10, true);
  t.equal(again, lease);
  t.equal(again.memory.buffer.byteLength, 6 * WASM_PAGE_BYTES);
  t.ok(isZero(again));
});

t.test('replies are told to leave before much is zeroed, and not before little', async (t) => {
  let told = 0;
  const held: Lease[] = [];
  const pool = new MemoryPool({
    imports: { env: {} }, keptBytesMax: 200 * WASM_PAGE_BYTES, liveMax: 100,
    beforeZeroing: () => {
      told += 1;
      t.notOk(held.some(isZero), 'nothing is zeroed by then');
    },
  });
  const lend = (pages: number): Lease => {
    const lease = pool.acquire(pages, 64, true);
    soil(lease);
    pool.release(lease);
    held.push(lease);
    return lease;
  };
  lend(2);
  pool.clean();
  t.equal(told, 0);
  held.length = 0;
  lend(5);
  lend(6);
  pool.clean();
  t.equal(told, 1, 'small ones add up');
  held.length = 0;
  const large = lend(10);
  t.equal(pool.acquire(10, 64, true), large);
  t.equal(told, 2, 'and when one is wanted again at once');
  held.length = 0;
  lend(11);
  await turn();
  t.equal(told, 3, 'and when the loop turns');
  t.ok(held.every(isZero));
});

t.test('sizes are not mixed, and recycling may be declined', async (t) => {
  const pool = create();
  const lease = pool.acquire(1, 10, true);
  pool.release(lease);
  await turn();
  t.not(pool.acquire(1, 11, true), lease);
  t.not(pool.acquire(2, 10, true), lease);
  t.not(pool.acquire(1, 10, false), lease);
  t.equal(pool.acquire(1, 10, true), lease);
});

t.test('one that grew too large is not kept', async (t) => {
  const pool = create(10_000);
  const lease = pool.acquire(1, 1_000, true);
  lease.memory.grow(RECYCLED_MEMORY_BYTES_MAX / WASM_PAGE_BYTES);
  pool.release(lease);
  await turn();
  t.equal(pool.keptCount, 0);
});

t.test('the bound on bytes holds, and the size asked for longest ago goes first', async (t) => {
  const pool = create(10);
  const old = [1, 2, 3, 4].map(() => pool.acquire(2, 4, true));
  for (const lease of old) pool.release(lease);
  await turn();
  t.equal(pool.keptBytes, 8 * WASM_PAGE_BYTES);
  const recent = [1, 2, 3].map(() => pool.acquire(3, 4, true));
  for (const lease of recent) pool.release(lease);
  await turn();
  t.ok(pool.keptBytes <= 10 * WASM_PAGE_BYTES);
  t.equal(pool.acquire(3, 4, true).recycled, true);
  t.equal(pool.acquire(3, 4, true).recycled, true);
  t.equal(pool.acquire(3, 4, true).recycled, true);
  t.equal(pool.acquire(2, 4, true).recycled, false);
});

t.test('no more memories than may exist', async (t) => {
  const pool = create(100, 3);
  const held = [1, 2, 3].map(() => pool.acquire(1, 1, true));
  t.throws(() => pool.acquire(1, 1, true), { code: 'overloaded' });
  pool.release(held[0]!);
  await turn();
  t.equal(pool.acquire(1, 1, true), held[0]);
  t.equal(pool.live, 3);
});

t.test('what is let go of is collected before it is much', async (t) => {
  let collected = 0;
  const pool = new MemoryPool({
    imports: { env: {} }, keptBytesMax: 0, liveMax: 5_000,
    collect: () => { collected += 1; },
  });
  const lend = (pages: number): Lease => pool.acquire(pages, 1_024, false);
  for (let count = 0; count < 8; count += 1) pool.drop(lend(1_024));
  t.equal(collected, 0);
  pool.drop(lend(1));
  t.equal(collected, 1, 'by bytes');
  for (let count = 0; count < 2_048; count += 1) pool.drop(lend(1));
  t.equal(collected, 1);
  pool.drop(lend(1));
  t.equal(collected, 2, 'small ones by number');
  pool.release(lend(65));
  for (let count = 0; count < 2_047; count += 1) pool.release(lend(1));
  pool.clean();
  t.equal(collected, 3, 'those for which there is no room, and those too large to clean, as well');
});
