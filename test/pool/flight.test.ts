/** Many guests at once in one thread: waiting, aborted, too many, drained. */

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { answering, guest, sleeping } from './guests.ts';
import { World, startPool, until } from './world.ts';

const world = new World();
t.teardown(() => world.remove());
const hello = world.deploy(answering(200));

/** Fetches the URL, answers with the status it got. */
function fetching(url: string): string {
  return `(module
    (import "env" "hostcall_req_create" (func $create (param i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_req_send" (func $send (param i32) (result i32)))
    (import "env" "hostcall_resp_get_response_code" (func $code (param i32) (result i32)))
    (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
    (memory 1 1)
    (data (i32.const 0) "GET")
    (data (i32.const 16) "${url}")
    (func (export "run") (drop (call $status (i32.const 0) (call $code (call $send
      (call $create (i32.const 0) (i32.const 3) (i32.const 16) (i32.const ${url.length}))))))))`;
}

t.test('500 guests wait on a slow upstream while a fast one answers', async (t) => {
  const held: ServerResponse[] = [];
  const server = createServer((_request, response) => { held.push(response); });
  await new Promise<void>((done) => { server.listen(0, '127.0.0.1', done); });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const { ask, pool } = await startPool(t, world, { egressAllow: ['127.0.0.0/8'] });
  const slow = world.deploy(fetching(`http://127.0.0.1:${port}/`));
  const waiting = Array.from({ length: 500 }, () => ask(slow));
  await until(() => pool.waiting() === 500, '500 wait');
  for (let turn = 0; turn < 50; turn += 1) t.equal((await ask(hello)).status, 200);
  t.equal(pool.waiting(), 500, 'they wait still');
  const release = setInterval(() => {
    for (const response of held.splice(0)) response.writeHead(203).end();
  }, 5);
  t.teardown(() => clearInterval(release));
  const replies = await Promise.all(waiting);
  t.ok(replies.every((reply) => reply.status === 203));
  t.equal(pool.waiting(), 0);
  t.equal(pool.stats().inFlight, 0);
});

t.test('a thread whose guest went on and ended is held by none', async (t) => {
  const { ask, pool } = await startPool(t, world);
  const brief = world.deploy(sleeping(5));
  for (let turn = 0; turn < 20; turn += 1) {
    await ask(brief);
    t.equal(pool.stats().workers[0]?.runningMs, 0);
  }
});

t.test('an abort ends a guest that waits, and no other', async (t) => {
  const { ask, pool, lastSequence } = await startPool(t, world);
  const slow = world.deploy(sleeping(60_000));
  const brief = world.deploy(sleeping(300, 206));
  const aborted = ask(slow);
  const sequence = lastSequence();
  const other = ask(brief);
  await until(() => pool.waiting() === 2, 'both wait');
  pool.abort(sequence);
  pool.abort(sequence);
  pool.abort(1_000_000);
  t.equal((await aborted).failure?.code, 'client_closed');
  t.equal((await other).status, 206);
});

t.test('an abort that overtakes its request ends it before it begins', async (t) => {
  const { ask, pool, lastSequence } = await startPool(t, world);
  const slow = world.deploy(sleeping(60_000));
  const replies = Array.from({ length: 100 }, () => {
    const reply = ask(slow);
    pool.abort(lastSequence());
    return reply;
  });
  for (const reply of await Promise.all(replies)) {
    t.equal(reply.failure?.code, 'client_closed');
  }
});

t.test('more guests than a thread takes are refused, and only they', async (t) => {
  const { ask, pool } = await startPool(t, world, { guestsPerWorkerMax: 8 });
  const slow = world.deploy(sleeping(300, 207));
  const eight = Array.from({ length: 8 }, () => ask(slow));
  await t.rejects(ask(hello), { code: 'overloaded' });
  for (const reply of await Promise.all(eight)) t.equal(reply.status, 207);
  t.equal((await ask(hello)).status, 200);
  t.equal(pool.stats().restarts, 0);
});

t.test('draining waits for what is in flight, closing refuses it', async (t) => {
  const { ask, pool } = await startPool(t, world);
  const slow = world.deploy(sleeping(100, 208));
  const reply = ask(slow);
  await pool.drain();
  t.equal(pool.stats().inFlight, 0);
  t.equal((await reply).status, 208);
  const refused = t.rejects(ask(world.deploy(sleeping(60_000))), { code: 'draining' });
  await pool.close();
  await refused;
  await t.rejects(ask(hello), { code: 'draining' });
});

t.test('a request that holds one thread does not hold up the others', async (t) => {
  const { ask, pool } = await startPool(t, world, { threads: 2 });
  await Promise.all(Array.from({ length: 10 }, () => ask(hello)));
  const busy = world.deploy(guest('(loop $l (br $l))'), { limits: { fuel: 300_000_000 } });
  const order: string[] = [];
  const held = ask(busy).finally(() => order.push('busy'));
  await until(() => pool.stats().workers.some((worker) => worker.runningMs > 2), 'one is held');
  const quick = Array.from({ length: 20 }, () => ask(hello).finally(() => order.push('quick')));
  for (const reply of await Promise.all(quick)) t.equal(reply.status, 200);
  t.equal((await held).failure?.code, 'out_of_fuel');
  t.equal(order.at(-1), 'busy');
});

const ENDLESS = guest('(loop $l (br $l))');

t.test('what was sent behind a guest that holds its thread goes to another', async (t) => {
  const { ask, pool } = await startPool(t, world, { threads: 2 });
  await Promise.all(Array.from({ length: 10 }, () => ask(hello)));
  const busy = world.deploy(ENDLESS, { limits: { fuel: 3_000_000_000 } });
  const order: string[] = [];
  const held = ask(busy).finally(() => order.push('busy'));
  const body = new Uint8Array(100).fill(7);
  const quick = Array.from({ length: 40 },
    () => ask(hello, { body }).finally(() => order.push('quick')));
  for (const reply of await Promise.all(quick)) t.equal(reply.status, 200);
  t.equal((await held).failure?.code, 'out_of_fuel');
  t.equal(order.at(-1), 'busy');
  t.ok(pool.stats().moved > 0);
  t.equal(pool.stats().inFlight, 0);
});

t.test('with no other thread it goes back to the sender, the last one first', async (t) => {
  const { ask, pool } = await startPool(t, world);
  await ask(hello);
  const busy = world.deploy(ENDLESS, { limits: { fuel: 20_000_000_000 } });
  const held = ask(busy);
  await until(() => !pool.room(true), 'the thread is held');
  const returned: number[] = [];
  for (let index = 0; index < 10; index += 1) void ask(hello, {}, () => returned.push(index));
  const kept = ask(hello);
  await until(() => returned.length === 10, 'all are back');
  t.strictSame(returned, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
  t.equal(pool.room(true), false, 'nothing should be sent now');
  t.equal(pool.stats().inFlight, 2);
  t.equal((await held).failure?.code, 'out_of_fuel');
  t.equal((await kept).status, 200, 'whoever has no queue of his own waits');
  await until(() => pool.room(true), 'there is room again');
  t.equal((await ask(hello)).status, 200);
});

t.test('an abort of what is not begun is answered at once', async (t) => {
  const { ask, pool, lastSequence } = await startPool(t, world);
  await ask(hello);
  const order: string[] = [];
  const busy = world.deploy(ENDLESS, { limits: { fuel: 20_000_000_000 } });
  const held = ask(busy).finally(() => order.push('busy'));
  await until(() => pool.room(true) === false, 'the thread is held');
  const aborted = ask(hello, { body: new Uint8Array(100_000) });
  const sequence = lastSequence();
  await new Promise((done) => { setTimeout(done, 10); });
  pool.abort(sequence);
  t.equal((await aborted).failure?.code, 'client_closed');
  t.strictSame(order, []);
  await held;
  t.equal((await ask(hello)).status, 200);
});

t.test('guests that wait are counted by tenant', async (t) => {
  const { ask, pool } = await startPool(t, world, { threads: 2 });
  const slow = world.deploy(sleeping(300));
  const waiting = Array.from({ length: 20 }, () => ask(slow));
  await until(() => pool.waitingOf(1) === 20, 'all wait');
  t.equal(pool.waitingOf(2), 0);
  for (const { usage } of await Promise.all(waiting)) {
    t.ok(usage.waitedUs > 250_000 && usage.waitedUs <= usage.runUs);
  }
  t.equal(pool.waitingOf(1), 0);
});

t.test('what guests log arrives in order', async (t) => {
  const { ask, logs } = await startPool(t, world);
  const logging = `(module
    (import "env" "hostcall_debug" (func $debug (param i32 i32)))
    (memory 1 1) (data (i32.const 0) "firstsecond")
    (func (export "run") (call $debug (i32.const 0) (i32.const 5))
      (call $debug (i32.const 5) (i32.const 6))))`;
  const deployed = world.deploy(logging);
  t.ok((await ask(deployed)).usage.logBytes >= 11);
  await until(() => logs.length === 2, 'two lines');
  t.strictSame(logs.map((line) => line.text), ['first', 'second']);
  t.equal(logs[0]?.versionId, deployed.versionId);
});
