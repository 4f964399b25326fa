/**
 * `wardian restore` while the daemon serves: the real daemon, the real command, under load. Each
 * answer is of the old state or of the new one, whole; whatever is refused or killed leaves one of
 * the two.
 */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import type { Daemon } from '../harness/daemon.ts';
import { backedUp, cliOf, ok, setState, telling, told } from './restoring.ts';
import {
  ALLOW_LOOPBACK, Client, example, openUpstream, startFor, textGuest, until,
} from './world.ts';

interface Load {
  /** What each client was answered, in order: one at a time each. */
  readonly answers: string[][];
  readonly failed: string[];
  stop(): Promise<void>;
}

function load(daemon: Daemon, clients: number, hosts: readonly string[]): Load {
  const client = new Client(daemon.port, clients);
  const answers: string[][] = [];
  const failed: string[] = [];
  const stopped = new AbortController();
  const running = Array.from({ length: clients }, async (_, index) => {
    const host = hosts[index % hosts.length] ?? '';
    const own: string[] = [];
    if (host === 'told.localhost') answers.push(own);
    while (!stopped.signal.aborted) {
      const { status, body, headers } = await client.ask(host);
      if (status === 200) own.push(body.toString());
      else failed.push(`${host} ${status} ${String(headers['wardian-error'])} ${body.toString()}`);
    }
  });
  return {
    answers, failed,
    async stop() {
      stopped.abort();
      await Promise.all(running);
      client.close();
    },
  };
}

t.test('under load each answer is of the old state or of the new one', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'backup.db');
  const daemon = await startFor(t, { flags: ['--access-log', 'false'] });
  const cli = cliOf(daemon);
  const revoked = JSON.parse(await ok(t, cli('token create --name gone --json'))) as {
    id: number; secret: string;
  };
  await backedUp(t, daemon, file);
  await ok(t, cli(`token revoke ${revoked.id}`));
  const since = await ok(t, cli('token create --name since'));

  for (let round = 0; round < 2; round += 1) {
    const under = load(daemon, 12, ['told.localhost', 'told.localhost', 'writer.localhost']);
    await sleep(300);
    const restored = JSON.parse(await ok(t, cli(`restore ${file} --yes --json`))) as {
      kept: string; warnings: string[];
    };
    t.equal(await told(daemon), 'kold', 'once it is answered, the new state is there');
    await sleep(200);
    await under.stop();
    t.same(under.failed, [], 'nobody was refused');
    for (const own of under.answers) {
      const first = own.indexOf('kold');
      t.ok(own.length > 1 && first >= 0, `${own.length} answers, ${first} of before`);
      t.ok(own.slice(0, first).every((text) => text === 'nnew'), 'the old state, whole');
      t.ok(own.slice(first).every((text) => text === 'kold'), 'then the new one, whole');
    }
    t.ok(statSync(join(daemon.data, restored.kept)).size > 0);
    t.equal((await daemon.ask('since.localhost')).status, 404);
    if (round === 0) t.match(restored.warnings, [new RegExp(`ids ${revoked.id}\\)`)]);
    t.match(await cliOf(daemon, { WARDIAN_TOKEN: revoked.secret })('apps list'), { code: 0 });
    t.match(await cliOf(daemon, { WARDIAN_TOKEN: since })('apps list'), { code: 1 });
    await daemon.deploy('told', telling('n'));
    await setState(daemon, 'new');
  }
  t.equal(daemon.log.filter(({ event }) => event === 'restored').length, 2);
  const { text: metrics } = await daemon.admin('GET', '/metrics');
  t.match(metrics, /^wardian_restores_total 2$/m);
  t.match(metrics, /^wardian_internal_errors_total 0$/m);
  const list = await ok(t, cli('versions list told --json'));
  const versions = JSON.parse(list) as { number: number }[];
  t.same(versions.map(({ number }) => number), [1, 4], 'numbers go on from the higher of both');
  t.equal(await daemon.stop(), 0);
});

t.test('a guest that runs ends with what it began with', async (t) => {
  const file = join(t.testdir(), 'backup.db');
  const upstream = await openUpstream(t, 'from upstream');
  const daemon = await startFor(t, { flags: ALLOW_LOOPBACK });
  await backedUp(t, daemon, file);
  await daemon.deploy('asking', example('proxy'));
  const asked = daemon.ask('asking.localhost', `/?url=${encodeURIComponent(upstream.url)}`, {
    headers: { 'x-url': upstream.url },
  });
  await until('the upstream is asked', () => upstream.held() === 1);
  const restoring = ok(t, cliOf(daemon)(`restore ${file} --yes`));
  // Requests wait for it for two seconds at most.
  await restoring;
  t.equal(await told(daemon), 'kold');
  t.equal((await daemon.ask('asking.localhost')).status, 404, 'its app is not in the backup');
  upstream.release();
  const answer = await asked;
  t.equal(answer.status, 200);
  t.match(answer.text, 'from upstream');
  t.equal(await daemon.stop(), 0);
});

t.test('of another node: ids that name something else there are never mixed up', async (t) => {
  const file = join(t.testdir(), 'backup.db');
  const first = await startFor(t);
  await first.deploy('told', telling('k'));
  await setState(first, 'old');
  await ok(t, cliOf(first)(`backup ${file}`));
  t.equal(await first.stop(), 0);

  const second = await startFor(t);
  const cli = cliOf(second);
  await second.deploy('mine', textGuest('mine'));
  t.equal((await second.ask('mine.localhost')).text, 'mine');
  await ok(t, cli(`restore ${file} --yes`));
  t.equal(await told(second), 'kold', 'the same id was another app\'s, and loaded');
  t.equal((await second.ask('mine.localhost')).status, 404);
  t.equal((await cli('apps list')).code, 0, 'the token in the data folder is valid still');
  await second.deploy('mine', textGuest('anew'));
  t.equal((await second.ask('mine.localhost')).text, 'anew');
  t.equal(await second.stop(), 0);
});
