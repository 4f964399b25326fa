/**
 * What an operator meets at the start: wrong settings are one line and exit code 2; an address or a
 * data folder that is taken is one line and exit code 1; settings come from a file, the environment
 * and the command line.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';

import { environmentWith, wardian } from '../harness/command.ts';
import { startFor, until } from './world.ts';

// Each wrong setting is a process of its own, which takes seconds on a busy machine.
t.setTimeout(480_000);

const ANY = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
const ONE_LINE = /^wardian: [^\n]+\n$/;

t.test('a wrong setting is one line and exit code 2', async (t) => {
  const data = t.testdir();
  const file = (name: string, text: string): string => {
    writeFileSync(join(data, name), text);
    return join(data, name);
  };
  const cases: [string[], Record<string, string>, RegExp][] = [
    [['--threads', '0'], {}, /threads in --threads: 0: expected at least 1/],
    [['--threads', 'many'], {}, /threads in --threads: "many": expected a whole number/],
    [['--listen', 'nowhere'], {}, /listen in --listen: "nowhere": expected address:port/],
    [['--durability', 'none'], {}, /durability.*expected full or process/],
    [['--egress-allow', '10.0.0.0/99'], {}, /egress_allow.*expected a range/],
    [[], { WARDIAN_THREADS: '-1' }, /threads in WARDIAN_THREADS: -1/],
    [[], { WARDIAN_THREAD: '2' }, /unknown setting WARDIAN_THREAD;/],
    [[], { WARDIAN_LIMITS_FUEL: 'none' }, /limits\.fuel in WARDIAN_LIMITS_FUEL/],
    [['--config', '/not/there.toml'], {}, /config file \/not\/there\.toml: ENOENT/],
    [['--config', file('a.toml', 'threads = \n')], {}, /a\.toml, line 1/],
    [['--config', file('b.toml', 'thread = 2\n')], {}, /unknown setting thread in .*b\.toml/],
    [['--config', file('c.toml', '[limits]\nfule = 2\n')], {}, /unknown setting limits\.fule/],
    [['--listen', 'nohost.invalid:8080'], {}, /listen: "nohost\.invalid": no such host \(E/],
    [['--dns-servers', '999.9.9.9'], {}, /dns_servers\.0 .*"999\.9\.9\.9": expected an address/],
    [['--dns-servers', '9.9.9.9:99999'], {}, /dns_servers\.0 .*expected an address/],
    [['--egress-allow', '10/8'], {}, /egress_allow\.0 .*"10\/8": expected a range/],
    [['--data', file('taken', '')], {}, /data: ".*taken": it is a file, not a folder/],
    [['--frobnicate', '1'], {}, /unknown option '--frobnicate'/],
  ];
  for (const [words, environment, expected] of cases) {
    const { code, stdout, stderr } = await wardian(['serve', ...ANY, '--data', data, ...words], {
      environment: environmentWith(environment),
    });
    t.equal(code, 2, `${words.join(' ')} ${JSON.stringify(environment)}`);
    t.match(stderr, expected);
    t.match(stderr, /^[^\n]+\n$/, 'one line');
    t.equal(stdout, '');
  }
});

t.test('what is taken already is one line and exit code 1', async (t) => {
  const first = await startFor(t);
  const second = await wardian(['serve', ...ANY, '--data', first.data]);
  t.equal(second.code, 1);
  t.match(second.stderr, ONE_LINE);
  t.match(second.stderr, first.data, 'it names the folder');
  for (const [flag, other, port] of [
    ['--listen', '--admin', first.port], ['--admin', '--listen', first.adminPort],
  ] as const) {
    const run = await wardian([
      'serve', flag, `127.0.0.1:${port}`, other, '127.0.0.1:0', '--data', t.testdir(),
    ]);
    t.equal(run.code, 1, `${flag} is taken`);
    t.match(run.stderr, ONE_LINE);
    t.match(run.stderr, new RegExp(`EADDRINUSE.*:${port}`));
  }
  t.equal((await first.ask('nobody.localhost')).status, 404, 'the first goes on');
  t.equal(await first.stop(), 0);
});

t.test('a database that cannot be used has an exit code that no restart follows', async (t) => {
  const data = t.testdir({ 'wardian.db': 'this is no database. '.repeat(1_000) });
  const run = await wardian([
    'serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', data,
  ]);
  t.equal(run.code, 4);
  t.match(run.stderr, ONE_LINE);
  t.match(run.stderr, /wardian\.db is damaged/);
  const runbook = readFileSync(new URL('../../docs/runbooks.md', import.meta.url), 'utf8');
  t.match(runbook, /RestartPreventExitStatus=2 4\n/);
});

t.test('settings come from the file, then the environment, then the command line', async (t) => {
  const folder = t.testdir({ 'wardian.toml': 'base_domain = "one.test"\nbody_bytes = 100\n' });
  const daemon = await startFor(t, {
    flags: ['--config', join(folder, 'wardian.toml'), '--body-bytes', '300'],
    environment: { WARDIAN_BASE_DOMAIN: 'two.test', WARDIAN_BODY_BYTES: '200' },
  });
  const known = await daemon.admin('PUT', '/v1/apps/none/hosts/a.two.test');
  t.equal(known.status, 404);
  const ask = (length: number) =>
    daemon.ask('nobody.two.test', '/', { method: 'POST', body: Buffer.alloc(length) });
  t.equal((await ask(300)).status, 404);
  t.equal((await ask(301)).status, 413);
  t.equal(await daemon.stop(), 0);
});

t.test('start on an address that others reach opens nothing unasked', async (t) => {
  const daemon = await startFor(t, { command: 'start', flags: ['--listen', '0.0.0.0:0'] });
  await until('it says so', () => daemon.log.some(({ event }) => event === 'start_defaults'));
  const upload = await daemon.ask('localhost', '/deploy', { method: 'POST', body: '{}' });
  t.equal(upload.headers['wardian-error'], 'unknown_host', 'nobody deploys to a sandbox');
  const source = join(t.testdir({ 'evil.c': '#include "/etc/passwd"\n' }), 'evil.c');
  const environment = environmentWith({
    WARDIAN_ADMIN_URL: `http://127.0.0.1:${daemon.adminPort}`, WARDIAN_DATA: daemon.data,
  });
  const build = await wardian(['deploy', source], { environment });
  t.equal(build.code, 1);
  t.match(build.stderr, /build_languages|operator/);
  t.equal(await daemon.stop(), 0);
});

t.test('a port that is free again can be had', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => holder.once('listening', done));
  const { port } = holder.address() as AddressInfo;
  await new Promise((done) => holder.close(done));
  const daemon = await startFor(t, { flags: ['--listen', `127.0.0.1:${port}`] });
  t.equal(daemon.port, port);
  t.equal((await daemon.admin('GET', '/healthz')).status, 200);
  t.equal((await daemon.admin('GET', '/readyz')).status, 200);
  t.equal(await daemon.stop(), 0);
});
