/**
 * Hot swap: an app is deployed again and again while it is asked ten thousand times. Nothing fails,
 * each answer comes wholly from one version, and none is older than what was deployed when it was
 * asked for.
 */

import t from 'tap';

import type { Daemon } from '../harness/daemon.ts';
import { assemble, Client, startFor, until } from './world.ts';

/** At least; the load goes on until the last redeploy is done. */
const REQUESTS = 10_000;
const CONNECTIONS = 16;
const VERSIONS = 5;
const UNDER_WAY = 20;
/** Beyond 204 and 205, which have no body. */
const FIRST_STATUS = 220;

/**
 * Version 1 is "a", 2 is "b", … It says so in the status, in a header, and in each byte of a body
 * of a length of its own, written in pieces from two segments; memories and function indices differ
 * from version to version, so that a mix of two could not run unnoticed.
 */
function versionGuest(number: number): Uint8Array {
  const letter = String.fromCharCode(96 + number);
  const half = 1_000 + number * 100;
  const unused = '(func (result i32) i32.const 7)'.repeat(number);
  return assemble(`(module
    (import "env" "hostcall_resp_set_response_code" (func $code (param i32 i32) (result i32)))
    (import "env" "hostcall_resp_set_header"
      (func $header (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
    ${unused}
    (memory ${1 + (number % 3)})
    (data (i32.const 0) "x-version${letter}")
    (data (i32.const 16) "\\09\\00\\00\\00\\01\\00\\00\\00")
    (data (i32.const 1024) "${letter.repeat(half)}")
    (data (i32.const ${1024 + half}) "${letter.repeat(half)}")
    (func (export "run")
      (drop (call $code (i32.const 0) (i32.const ${FIRST_STATUS + number})))
      (drop (call $header (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 16) (i32.const 1)))
      (drop (call $body (i32.const 0) (i32.const 1024) (i32.const ${half * 2})))))`);
}

/** The version that gave this answer, or why no single version did. */
function versionOf(status: number, letter: string, body: Buffer): number | string {
  const version = status - FIRST_STATUS;
  if (version < 1 || version > VERSIONS) return `status ${status}: ${body.toString()}`;
  const expected = String.fromCharCode(96 + version);
  if (letter !== expected) return `status of ${version} with the header of ${letter}`;
  const whole = Buffer.alloc((1_000 + version * 100) * 2, expected);
  return body.equals(whole) ? version : `status of ${version} with a body of ${body.length} bytes`;
}

interface Tally {
  readonly answersOf: Map<number, number>;
  readonly wrong: string[];
}

async function load(
  daemon: Daemon, deployed: () => number, redeploying: () => boolean,
): Promise<Tally> {
  const client = new Client(daemon.port, CONNECTIONS);
  const answersOf = new Map<number, number>();
  const wrong: string[] = [];
  let left = REQUESTS;
  async function one(): Promise<void> {
    const least = deployed();
    const { status, headers, body } = await client.ask('swap.localhost');
    const version = versionOf(status, String(headers['x-version']), body);
    if (typeof version === 'string') wrong.push(version);
    else if (version < least) wrong.push(`version ${version} after ${least} was deployed`);
    else answersOf.set(version, (answersOf.get(version) ?? 0) + 1);
  }
  async function connection(): Promise<void> {
    while (left > 0 || redeploying()) {
      left -= 1;
      await one().catch((error: Error) => wrong.push(error.message));
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  client.close();
  return { answersOf, wrong };
}

t.test('ten thousand requests while the app is deployed again', async (t) => {
  const daemon = await startFor(t, { flags: ['--access-log', 'false'] });
  await daemon.deploy('swap', versionGuest(1));
  let deployed = 1;
  let redeploying = true;
  async function redeploy(): Promise<void> {
    for (let number = 2; number <= VERSIONS; number += 1) {
      await daemon.deploy('swap', versionGuest(number));
      deployed = number;
    }
  }
  const redeploys = redeploy().finally(() => {
    redeploying = false;
  });
  const { answersOf, wrong } = await load(daemon, () => deployed, () => redeploying);
  await redeploys;
  const total = [...answersOf.values()].reduce((sum, count) => sum + count, 0);
  t.strictSame(wrong.slice(0, 5), [], `${wrong.length} wrong answers`);
  t.ok(total >= REQUESTS, `${total} requests`);
  t.equal(answersOf.size, VERSIONS, 'each version answered some');
  t.comment(`answers of each version: ${JSON.stringify(Object.fromEntries(answersOf))}`);
  t.equal(await daemon.stop(), 0);
});

t.test('a request that is under way finishes on the version it began with', async (t) => {
  const daemon = await startFor(t);
  const slow = (letter: string): Uint8Array => assemble(`(module
    (import "wasi_snapshot_preview1" "poll_oneoff"
      (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_debug" (func $debug (param i32 i32)))
    (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
    (memory 1)
    (data (i32.const 0) "${letter}")
    ;; A subscription: clock (0), monotonic (1), 1 s, relative.
    (data (i32.const 80) "\\01\\00\\00\\00\\00\\00\\00\\00\\00\\ca\\9a\\3b\\00\\00\\00\\00")
    (func (export "run")
      (call $debug (i32.const 0) (i32.const 1))
      (if (call $poll (i32.const 64) (i32.const 256) (i32.const 1) (i32.const 512))
        (then unreachable))
      (drop (call $body (i32.const 0) (i32.const 0) (i32.const 1)))))`);
  await daemon.deploy('slow', slow('a'));
  const before = Array.from({ length: UNDER_WAY }, () => daemon.ask('slow.localhost'));
  const under = (): boolean =>
    daemon.log.filter(({ source, msg }) => source === 'debug' && msg === 'a').length >= UNDER_WAY;
  await until('all are under way', under);
  const deploy = daemon.deploy('slow', slow('b'));
  for (const answer of await Promise.all(before)) t.equal(answer.text, 'a');
  await deploy;
  t.equal((await daemon.ask('slow.localhost')).text, 'b');
  t.equal(await daemon.stop(), 0);
});
