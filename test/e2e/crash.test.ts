/**
 * `kill -9` at random moments of deploys: after each restart the old version serves or the new one,
 * never half of one; what was reported as deployed is; and no builder child is left behind.
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import t from 'tap';

import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { startFor, textGuest, until } from './world.ts';

const ROUNDS = 8;
const seed = Number(process.env['WARDIAN_TEST_SEED'] ?? Date.now() % 1_000_000);

/** A small generator of our own (mulberry32), so that a run can be repeated by its seed. */
function randomsOf(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Of a deploy's time: anywhere in every other round, else about where it stores and switches. */
function momentOf(round: number, random: number): number {
  return round % 2 === 0 ? random : 0.6 + random * 0.8;
}

/**
 * Long enough to span pages of the database, and different in each byte from version to version.
 */
const textOf = (version: number): string =>
  `version ${version} ${String.fromCharCode(97 + (version % 26)).repeat(40_000)}`;

/** The version that answers; throws when what answers is no version. */
async function serving(daemon: Daemon): Promise<number> {
  const { status, text } = await daemon.ask('app.localhost');
  const version = Number(/^version (\d+) /.exec(text)?.[1]);
  if (status !== 200 || text !== textOf(version))
    throw new Error(`half a version: ${status} ${text.slice(0, 200)}`);
  return version;
}

/** Process ids of all children, and theirs. Linux only: elsewhere none. */
function descendants(pid: number): number[] {
  const folder = `/proc/${pid}/task`;
  if (!existsSync(folder)) return [];
  const found: number[] = [];
  for (const task of readdirSync(folder)) {
    const text = readFileSync(`${folder}/${task}/children`, 'utf8');
    for (const child of text
      .split(' ')
      .filter((word) => word !== '')
      .map(Number)) {
      found.push(child, ...descendants(child));
    }
  }
  return found;
}

/**
 * Starts a deploy and kills the daemon `afterMs` later. Answers whether it was reported as done.
 */
async function killDuring(daemon: Daemon, version: number, afterMs: number): Promise<boolean> {
  const deploy = daemon.deploy('app', textGuest(textOf(version))).then(
    () => true,
    (error: Error) => {
      if (/no result|ECONNRESET|socket hang up|aborted/.test(`${error.name} ${error.message}`))
        return false;
      throw error;
    },
  );
  await new Promise((done) => setTimeout(done, afterMs));
  const children = descendants(daemon.child.pid ?? 0);
  await daemon.kill();
  const isDone = await deploy;
  await until('its builder children are gone', () =>
    children.every((child) => !existsSync(`/proc/${child}`)),
  );
  return isDone;
}

t.test(`kill -9 during deploys, seed ${seed}`, async (t) => {
  const data = t.testdir();
  const random = randomsOf(seed);
  let daemon = await startDaemon({ data });
  t.teardown(() => daemon.kill());
  const from = performance.now();
  await daemon.deploy('app', textGuest(textOf(1)));
  const deployMs = performance.now() - from;
  let current = 1;
  const outcomes: string[] = [];
  for (let version = 2; version < 2 + ROUNDS; version += 1) {
    const isDone = await killDuring(daemon, version, momentOf(version, random()) * deployMs);
    daemon = await startDaemon({ data });
    const now = await serving(daemon);
    if (isDone) t.equal(now, version, 'what was reported as deployed serves');
    else
      t.ok(now === version || now === current, `${now}, after ${current} and half of ${version}`);
    outcomes.push(now === version ? 'new' : 'old');
    current = now;
  }
  t.comment(`versions that served after each kill: ${outcomes.join(' ')}`);
  const listed = JSON.parse((await daemon.admin('GET', '/v1/apps/app/versions')).text) as {
    versions: { number: number }[];
  };
  for (const { number } of listed.versions) {
    const back = await daemon.admin('POST', '/v1/apps/app/rollback', {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ version: number }),
    });
    t.equal(back.status, 200);
    await serving(daemon);
  }
  await daemon.deploy('app', textGuest(textOf(100)));
  t.equal(await serving(daemon), 100, 'and it deploys as before');
  t.equal(await daemon.stop(), 0);
});

t.test('what guests wrote and were told is there after kill -9', async (t) => {
  const data = t.testdir();
  const module = readFileSync(new URL('../../guests/examples/visits/visits.wasm', import.meta.url));
  let daemon = await startFor(t, { data });
  await daemon.deploy('visits', module);
  let last = 0;
  for (let round = 0; round < 3; round += 1) {
    const asked = Array.from({ length: 40 }, async () => {
      const { text } = await daemon.ask('visits.localhost').catch(() => ({ text: '' }));
      last = Math.max(last, Number(/^visit (\d+)\n$/.exec(text)?.[1] ?? 0));
    });
    await Promise.race(asked);
    await daemon.kill();
    await Promise.all(asked);
    daemon = await startFor(t, { data });
    const next = Number(/^visit (\d+)\n$/.exec((await daemon.ask('visits.localhost')).text)?.[1]);
    t.ok(next > last, `visit ${next} follows ${last}, the last that was told`);
    last = next;
  }
  t.equal(await daemon.stop(), 0);
});
