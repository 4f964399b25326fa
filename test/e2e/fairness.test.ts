/**
 * Tenants beside each other: waiting guests, slow guests and full queues of one leave room for the
 * other; what cannot be served is refused early, and told when to come again. Orders are compared,
 * never times.
 */

import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import type { Daemon } from '../harness/daemon.ts';
import {
  ALLOW_LOOPBACK, Client, computing, example, openUpstream, startFor, textGuest, until,
} from './world.ts';

const MUCH_FUEL = { WARDIAN_LIMITS_FUEL: '1000000000000', WARDIAN_LIMITS_DEADLINE_MS: '120000' };
const BUSY_TURNS = 700_000_000;
const SLOW_TURNS = 50_000_000;

async function deployAs(
  daemon: Daemon, tenant: string, label: string, module: Uint8Array,
): Promise<void> {
  await daemon.admin('POST', '/v1/tenants', {
    body: JSON.stringify({ name: tenant }), headers: { 'content-type': 'application/json' },
  });
  const { text } = await daemon.admin('POST', `/v1/apps/${label}/deploys`, {
    body: Buffer.from(module),
    headers: { 'content-type': 'application/wasm', 'wardian-tenant': tenant },
  });
  if (!text.includes('"done"')) throw new Error(`deploy of ${label}: ${text}`);
}

t.test('waiting guests of a tenant leave room for others; one too many is refused', async (t) => {
  const most = 40;
  const upstream = await openUpstream(t);
  const daemon = await startFor(t, {
    flags: [...ALLOW_LOOPBACK, '--threads', '2', '--guests-in-flight', String(most)],
    environment: MUCH_FUEL,
  });
  await deployAs(daemon, 'one', 'proxy', example('proxy'));
  await deployAs(daemon, 'two', 'quiet', textGuest('here'));
  const path = `/?url=${upstream.url}`;
  const answers = Array.from({ length: most }, () => daemon.ask('proxy.localhost', path));
  await until('all of them wait', () => upstream.held() === most);
  const refused = await daemon.ask('proxy.localhost', path);
  t.equal(refused.status, 503);
  t.equal(refused.headers['wardian-error'], 'tenant_overloaded');
  t.match(refused.headers['retry-after'], /^\d+$/);
  for (let turn = 0; turn < 20; turn += 1) {
    t.equal((await daemon.ask('quiet.localhost')).text, 'here');
  }
  t.equal(upstream.held(), most, 'they wait still');
  upstream.release();
  for (const { status } of await Promise.all(answers)) t.equal(status, 200);
  t.equal((await daemon.ask('proxy.localhost', path)).status, 200, 'and there is room again');
  t.equal(await daemon.stop(), 0);
});

t.test('a guest that holds a thread does not hold up what was sent with it', async (t) => {
  const daemon = await startFor(t, { flags: ['--threads', '2'], environment: MUCH_FUEL });
  await daemon.deploy('busy', computing(BUSY_TURNS));
  await daemon.deploy('quick', textGuest('quick'));
  const client = new Client(daemon.port, 64);
  t.teardown(() => client.close());
  await Promise.all(Array.from({ length: 40 }, () => client.ask('quick.localhost')));
  let busy = true;
  const held = client.ask('busy.localhost').finally(() => { busy = false; });
  const quick = Array.from({ length: 40 }, async () => {
    const { status } = await client.ask('quick.localhost');
    return status === 200 && busy;
  });
  t.ok((await Promise.all(quick)).every(Boolean), 'all of them are answered before it');
  t.equal((await held).status, 200);
  t.equal(await daemon.stop(), 0);
});

t.test('a flood of slow guests leaves a thread to another tenant', async (t) => {
  const daemon = await startFor(t, { flags: ['--threads', '2'], environment: MUCH_FUEL });
  await deployAs(daemon, 'one', 'slow', computing(SLOW_TURNS));
  await deployAs(daemon, 'two', 'quiet', textGuest('here'));
  await daemon.ask('quiet.localhost');
  const client = new Client(daemon.port, 100);
  t.teardown(() => client.close());
  let answered = 0;
  const flood = Array.from({ length: 60 }, () => client.ask('slow.localhost')
    .then(({ status }) => {
      answered += 1;
      return status;
    }));
  await until('it has begun', () => answered > 2);
  const before = answered;
  for (let turn = 0; turn < 20; turn += 1) {
    t.equal((await daemon.ask('quiet.localhost')).status, 200);
  }
  const meanwhile = answered - before;
  t.comment(`${meanwhile} slow guests ended during 20 quick ones`);
  t.ok(meanwhile < 20, 'a quick one does not wait for a slow one');
  for (const status of await Promise.all(flood)) t.equal(status, 200);
  t.equal(await daemon.stop(), 0);
});

t.test('a request that cannot be begun in time is refused while it waits', async (t) => {
  const daemon = await startFor(t, {
    flags: ['--threads', '1', '--queue-ms', '200'], environment: MUCH_FUEL,
  });
  await deployAs(daemon, 'one', 'busy', computing(BUSY_TURNS));
  await deployAs(daemon, 'two', 'quick', textGuest('quick'));
  await daemon.ask('quick.localhost');
  let busy = true;
  const held = daemon.ask('busy.localhost').finally(() => { busy = false; });
  await sleep(50);
  const refused = await daemon.ask('quick.localhost');
  t.equal(refused.status, 503);
  t.equal(refused.headers['wardian-error'], 'overloaded');
  t.match(refused.headers['retry-after'], /^\d+$/);
  t.match(refused.text, /it waited \d+ ms for its turn/);
  t.ok(busy, 'the thread is held still');
  t.equal((await held).status, 200);
  t.equal((await daemon.ask('quick.localhost')).status, 200);
  t.equal(await daemon.stop(), 0);
});

t.test('a slow upload takes none of the guest\'s time, and its size is logged', async (t) => {
  const bytes = 100_000;
  const daemon = await startFor(t, {
    environment: { WARDIAN_LIMITS_DEADLINE_MS: '2000', WARDIAN_LIMITS_SUBREQUEST_MS: '2000' },
  });
  await daemon.deploy('quick', textGuest('quick'));
  await daemon.ask('quick.localhost');
  const head = `POST / HTTP/1.1\r\nhost: quick.localhost\r\ncontent-length: ${bytes}\r\n`
    + 'connection: close\r\n\r\n';
  const answer = await new Promise<string>((done, failed) => {
    let text = '';
    const socket = connect(daemon.port, '127.0.0.1', () => {
      socket.write(head + 'x'.repeat(bytes - 1));
      setTimeout(() => socket.write('x'), 2_500);
    });
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => { text += chunk; });
    socket.on('error', failed);
    socket.on('close', () => done(text));
  });
  t.match(answer, /^HTTP\/1\.1 200 /);
  await until('it is logged', () => daemon.log.some((line) => line['requestBytes'] === bytes));
  t.equal(await daemon.stop(), 0);
});
