/**
 * What a client sees when a guest fails or a limit is reached, one small hostile guest for each
 * way: status, code, text; and after each, a guest that does nothing wrong still answers.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';

import { ERRORS } from '../../contract/errors.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import type { Daemon } from '../harness/daemon.ts';
import {
  ALLOW_LOOPBACK, assemble, example, onEachEngine, openUpstream,
  sendRaw, startFor, textGuest, until,
} from './world.ts';

const FUEL = 50_000_000;
const MEMORY_BYTES = 4 * 1_024 * 1_024;
const FLAGS = [...ALLOW_LOOPBACK, '--header-bytes', '2048', '--body-bytes', '10000'];
const LIMITS = {
  WARDIAN_LIMITS_FUEL: String(FUEL),
  WARDIAN_LIMITS_MEMORY_BYTES: String(MEMORY_BYTES),
  WARDIAN_LIMITS_DEADLINE_MS: '1500',
  WARDIAN_LIMITS_HOSTCALLS: '1000',
  WARDIAN_LIMITS_HOSTCALL_BYTES: '500000',
  WARDIAN_LIMITS_RESPONSE_BYTES: '100000',
};

/** Longer than the listener lets the engine go without a sign of life. */
const ENGINE_SWEEPS_MS = 5_000;
const BODY_TEXT = 'ok';
const POST_HEAD = 'POST / HTTP/1.1\r\nhost: plain.localhost\r\n';
interface Row {
  readonly code: ErrorCode;
  readonly guest: string;
  /** What the text says besides the meaning of the code. */
  readonly says: RegExp;
}

/** Guests that fail by themselves, by the name of their deployment. */
const ROWS: Readonly<Record<string, Row>> = {
  panic: {
    code: 'guest_panic',
    says: /: all is lost\n/,
    guest: `(module (import "env" "hostcall_panic_hook" (func $panic (param i32 i32)))
      (memory 1) (data (i32.const 8) "all is lost")
      (func (export "run") (call $panic (i32.const 8) (i32.const 11))))`,
  },
  trap: {
    code: 'guest_trap',
    says: /unreachable executed in broken at 0x/,
    guest: '(module (func $broken unreachable) (func (export "run") (call $broken)))',
  },
  division: {
    code: 'guest_trap',
    says: /division by zero in half at 0x/,
    guest: `(module (global $zero (mut i32) (i32.const 0))
      (func $half (drop (i32.div_s (i32.const 1) (global.get $zero))))
      (func (export "run") (call $half)))`,
  },
  bounds: {
    code: 'guest_trap',
    says: /out-of-bounds memory access in far at 0x/,
    guest: `(module (memory 1) (func $far (drop (i32.load (i32.const 0x7fffff00))))
      (func (export "run") (call $far)))`,
  },
  exception: {
    code: 'guest_exception',
    says: /./,
    guest: '(module (tag $ball) (func (export "run") (throw $ball)))',
  },
  recursion: {
    code: 'stack_overflow',
    says: /./,
    guest: '(module (func $again (call $again)) (func (export "run") (call $again)))',
  },
  loop: {
    code: 'out_of_fuel',
    says: new RegExp(`${FUEL} units`),
    guest: '(module (func (export "run") (loop $on (br $on))))',
  },
  'start-loop': {
    code: 'out_of_fuel',
    says: new RegExp(`${FUEL} units`),
    guest: `(module (func $spin (loop $on (br $on))) (start $spin)
      (func (export "run")))`,
  },
  'catch-all': {
    code: 'out_of_fuel',
    says: new RegExp(`${FUEL} units`),
    guest: `(module (func (export "run")
      (loop $on (try (do (loop $in (br $in))) (catch_all)) (br $on))))`,
  },
  memory: {
    code: 'out_of_memory',
    says: new RegExp(`the most it may have is ${MEMORY_BYTES}`),
    guest: `(module (memory 1) (func (export "run")
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      unreachable))`,
  },
  pointer: {
    code: 'bad_hostcall',
    says: /hostcall_debug.*msg|hostcall_debug.*message/,
    guest: `(module (import "env" "hostcall_debug" (func $debug (param i32 i32)))
      (memory 1) (func (export "run") (call $debug (i32.const 65530) (i32.const 100))))`,
  },
  handle: {
    code: 'bad_hostcall',
    says: /hostcall_req_get_body.*77/,
    guest: `(module (import "env" "hostcall_req_get_body" (func $body (param i32 i32 i32)))
      (memory 1) (func (export "run") (call $body (i32.const 0) (i32.const 4) (i32.const 77))))`,
  },
  allocator: {
    code: 'missing_allocator',
    says: /hostcall_init_mm/,
    guest: `(module (import "env" "hostcall_req_get_method" (func $method (param i32 i32 i32)))
      (memory 1) (func (export "run") (call $method (i32.const 0) (i32.const 4) (i32.const 0))))`,
  },
  exit: {
    code: 'guest_exit',
    says: /3/,
    guest: `(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory 1) (func (export "run") (call $exit (i32.const 3))))`,
  },
  hostcalls: {
    code: 'hostcalls_exhausted',
    says: /1000/,
    guest: `(module (import "env" "hostcall_rng_next_u64" (func $draw (result i64)))
      (func (export "run") (loop $on (drop (call $draw)) (br $on))))`,
  },
  copies: {
    code: 'hostcall_bytes_exhausted',
    says: /500000/,
    guest: `(module (import "env" "hostcall_debug" (func $debug (param i32 i32))) (memory 1)
      (func (export "run") (loop $on (call $debug (i32.const 0) (i32.const 8000)) (br $on))))`,
  },
  answer: {
    code: 'response_too_large',
    says: /100000/,
    guest: `(module
      (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
      (memory 2)
      (func (export "run") (drop (call $body (i32.const 0) (i32.const 0) (i32.const 100001)))))`,
  },
};

async function failsAs(t: Test, daemon: Daemon, name: string, code: ErrorCode, says: RegExp) {
  const answer = await daemon.ask(`${name}.localhost`, '/', {
    headers: { 'x-request-id': `of-${name}` },
  });
  const { status, meaning } = ERRORS[code];
  t.equal(answer.headers['wardian-error'], code, name);
  t.equal(answer.status, status, `${name}: status`);
  t.equal(answer.headers['content-type'], 'text/plain; charset=utf-8');
  t.ok(answer.text.startsWith(meaning), `${name}: ${JSON.stringify(answer.text)}`);
  t.match(answer.text, says);
  t.ok(answer.text.endsWith(`request id: of-${name}\n`));
  t.notMatch(answer.text, /\.ts\b|node:|\/(home|root|tmp|work|usr)\//, 'nothing of ours');
  t.equal((await daemon.ask('plain.localhost')).text, BODY_TEXT, `after ${name}`);
}

async function waitsTooLong(t: Test, daemon: Daemon): Promise<void> {
  const upstream = await openUpstream(t);
  await daemon.deploy(
    'wait',
    assemble(`(module
    (import "env" "hostcall_req_create" (func $new (param i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_req_send" (func $send (param i32) (result i32)))
    (memory 1) (data (i32.const 0) "GET${upstream.url}")
    (func (export "run") (loop $on
      (drop (call $send (call $new (i32.const 0) (i32.const 3) (i32.const 3)
        (i32.const ${upstream.url.length}))))
      (br $on))))`),
  );
  const answer = await daemon.ask('wait.localhost');
  t.equal(answer.status, 504);
  t.equal(answer.headers['wardian-error'], 'deadline');
  t.match(answer.text, /1500 ms/);
  await until(
    'the upstream call was cancelled',
    () => upstream.aborted() > 0 && upstream.held() === 0,
  );
}

async function listenerLimits(t: Test, daemon: Daemon): Promise<void> {
  const large = await daemon.ask('plain.localhost', '/', {
    method: 'POST',
    body: Buffer.alloc(10_001),
  });
  t.equal(large.status, 413);
  t.equal(large.headers['wardian-error'], 'body_too_large');
  t.match(large.text, /10000/);
  const fits = await daemon.ask('plain.localhost', '/', {
    method: 'POST',
    body: Buffer.alloc(10_000),
  });
  t.equal(fits.status, 200);
  const chunks = `${'2000\r\n'}${'x'.repeat(8_192)}\r\n`.repeat(2);
  const chunked = await sendRaw(
    daemon.port,
    `${POST_HEAD}transfer-encoding: chunked\r\n\r\n${chunks}`,
  );
  t.match(chunked, /^HTTP\/1\.1 413 /);
  const heads = await sendRaw(daemon.port, `${POST_HEAD}x-long: ${'y'.repeat(3_000)}\r\n\r\n`);
  t.match(heads, /^HTTP\/1\.1 431 /);
  t.match(heads, 'wardian-error: headers_too_large');
  const smuggled = await sendRaw(
    daemon.port,
    `${POST_HEAD}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  );
  t.match(smuggled, /^HTTP\/1\.1 400 /);
}

/** Slow clients; they only wait, so the other tests go on meanwhile. */
async function slowClients(t: Test, daemon: Daemon): Promise<void> {
  const [head, body] = await Promise.all([
    sendRaw(daemon.port, 'GET / HTTP/1.1\r\nhost: plain.localhost\r\n'),
    sendRaw(daemon.port, `${POST_HEAD}content-length: 5\r\n\r\nabc`),
  ]);
  for (const answer of [head, body]) {
    t.match(answer, /^HTTP\/1\.1 408 /);
    t.match(answer, 'wardian-error: request_timeout');
  }
}

async function crowds(t: Test): Promise<void> {
  const upstream = await openUpstream(t);
  const daemon = await startFor(t, { flags: [...ALLOW_LOOPBACK, '--tenant-requests', '3'] });
  await daemon.deploy('proxy', example('proxy'));
  const waiting = [1, 2, 3].map(() => daemon.ask('proxy.localhost', `/?url=${upstream.url}`));
  await until('three guests wait', () => upstream.held() === 3);
  const shed = await daemon.ask('proxy.localhost', `/?url=${upstream.url}`);
  t.equal(shed.status, 503);
  t.equal(shed.headers['wardian-error'], 'tenant_overloaded');
  t.match(shed.headers['retry-after'], /^\d+$/);
  upstream.release();
  for (const answer of await Promise.all(waiting)) t.equal(answer.status, 200);
  t.equal((await daemon.ask('proxy.localhost', `/?url=${upstream.url}`)).status, 200);
  t.equal(await daemon.stop(), 0);
}

t.test('a guest fails alone', async (t) => {
  const daemon = await startFor(t, { flags: FLAGS, environment: LIMITS });
  await daemon.deploy('plain', textGuest(BODY_TEXT));
  await daemon.deploy('proxy', example('proxy'));
  for (const [name, { guest }] of Object.entries(ROWS)) await daemon.deploy(name, assemble(guest));
  for (const [name, { code, says }] of Object.entries(ROWS)) {
    await t.test(`${name}: ${code}`, (t) => failsAs(t, daemon, name, code, says));
  }
  await t.test('deadline', (t) => waitsTooLong(t, daemon));
  t.equal(await daemon.stop(), 0);
});

t.test("the listener's limits and slow clients", (t) => onEachEngine(t, async (t, engine) => {
  const daemon = await startFor(t, { flags: [...FLAGS, ...engine], environment: LIMITS });
  await daemon.deploy('plain', textGuest(BODY_TEXT));
  await Promise.all([slowClients(t, daemon), listenerLimits(t, daemon)]);
  t.equal(await daemon.stop(), 0);
}));

t.test('a tenant over its share is shed', crowds);

/**
 * The engine allows no touch of a request that was answered while its body was still to come;
 * the daemon must outlive its next sweeps.
 */
t.test('a body that never comes, after its answer', async (t) => {
  for (const engine of ['node', 'uwebsockets']) {
    const daemon = await startFor(t, { flags: ['--engine', engine] }).catch((error: Error) => {
      if (process.env['CI'] === 'true') throw error;
      t.comment(`${engine}: ${error.message}`);
      return null;
    });
    if (daemon === null) continue;
    await daemon.deploy('plain', textGuest(BODY_TEXT));
    const refused = await sendRaw(daemon.port, `${POST_HEAD}content-length: 99999999\r\n\r\nabc`);
    t.match(refused, /^HTTP\/1\.1 413 /, engine);
    await sleep(ENGINE_SWEEPS_MS);
    t.equal((await daemon.ask('nobody.localhost')).status, 404, `${engine} still answers`);
    t.equal(await daemon.stop(), 0);
  }
});
