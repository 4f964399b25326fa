/**
 * The control plane as operators and tenants meet it: the real daemon, the real command, guests
 * that answer. What is promised here holds across a restart.
 */

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { Test } from 'tap';

import { secretKeyId } from '../../contract/sealed.ts';
import { environmentWith, LAUNCHER, wardian } from '../harness/command.ts';
import type { Run } from '../harness/command.ts';
import type { Daemon } from '../harness/daemon.ts';
import { assemble, Client, example, startFor, until } from './world.ts';

/** A guest that answers with one letter. */
const letter = (text: string): Uint8Array => assemble(`(module
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (memory 1) (data (i32.const 0) "${text}")
  (func (export "run") (drop (call $body (i32.const 0) (i32.const 0) (i32.const 1)))))`);

/** Answers with what the hostcall gives for the name `NAME`; 404 without. */
const giving = (hostcall: string): Uint8Array => assemble(`(module
  (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
  (import "env" "${hostcall}" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
  (memory 1) (data (i32.const 16) "NAME") (table 3 funcref) (elem (i32.const 1) $malloc $free)
  (func $malloc (param i32) (result i32) (i32.const 1024)) (func $free (param i32))
  (func (export "run")
    (call $init (i32.const 1) (i32.const 2))
    (if (call $get (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 4))
      (then (drop (call $body (i32.const 0) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
      (else (drop (call $status (i32.const 0) (i32.const 404)))))))`);

type Cli = (words: string, input?: string) => Promise<Run>;

/** The command line against a daemon; words are split at blanks. */
function cliOf(daemon: Daemon, token?: string): Cli {
  const environment = environmentWith({
    WARDIAN_DATA: daemon.data, WARDIAN_ADMIN_URL: `http://127.0.0.1:${daemon.adminPort}`,
    ...(token === undefined ? {} : { WARDIAN_TOKEN: token }),
  });
  return (words, input) => (input === undefined
    ? wardian(words.split(' '), { environment }) : typed(words.split(' '), input, environment));
}

function typed(
  words: readonly string[], input: string, environment: NodeJS.ProcessEnv,
): Promise<Run> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [LAUNCHER, ...words], { env: environment });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.once('error', failed);
    child.once('close', (code) => done({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

async function ok(t: Test, run: Promise<Run>, what = ''): Promise<string> {
  const { code, stdout, stderr } = await run;
  t.equal(code, 0, `${what} ${stderr}`);
  return stdout.trim();
}

t.test('a tenant with a token of its own, from its first deploy to its end', async (t) => {
  const daemon = await startFor(t);
  const operator = cliOf(daemon);
  await ok(t, operator('tenant create acme --quota apps=2'));
  await ok(t, operator('tenant create rival'));
  const clientOf = async (tenant: string): Promise<Cli> => cliOf(
    daemon, await ok(t, operator(`token create --tenant ${tenant} --name ci --scope admin`)));
  const acme = await clientOf('acme');
  const rival = await clientOf('rival');
  const folder = t.testdir({ 'one.wasm': Buffer.from(letter('a')) });
  const url = await ok(t, acme(`deploy ${join(folder, 'one.wasm')} --name shop --debug --quiet`));
  t.match(url, /^http:\/\/shop\.localhost:/);
  const answer = await daemon.ask('shop.localhost');
  t.equal(answer.text, 'a');
  t.match(answer.headers['wardian-fuel'], /^\d+$/);
  t.same(JSON.parse(await ok(t, rival('apps list --json'))), []);
  for (const words of ['versions list shop', 'apps delete shop']) {
    const { code, stderr } = await rival(words);
    t.equal(code, 1, words);
    t.match(stderr, /there is no app shop \(not_found\)/);
  }
  t.match(await rival('tenant list --json').then(({ stdout }) => JSON.parse(stdout) as unknown), [
    { name: 'rival' },
  ]);
  t.match((await rival('tenant suspend acme')).stderr, /forbidden/);
  t.match((await rival('logs')).stdout, /^(?![^]*acme)/, 'no lines of another tenant');
  t.match((await acme('logs --format json')).stdout, /"app":"shop"/);

  await ok(t, operator('tenant suspend acme'));
  t.equal((await daemon.ask('shop.localhost')).headers['wardian-error'], 'tenant_suspended');
  t.match((await acme('apps set shop --no-debug')).stderr, /tenant_suspended/);
  await ok(t, operator('tenant resume acme'));
  t.equal((await daemon.ask('shop.localhost')).text, 'a');
  await ok(t, operator('tenant delete acme'));
  t.equal((await daemon.ask('shop.localhost')).status, 404);
  t.equal((await acme('apps list')).code, 1);
  t.equal(await daemon.stop(), 0);
});

async function tally(daemon: Daemon, requests: number): Promise<Map<string, number>> {
  const client = new Client(daemon.port, 8);
  const counts = new Map<string, number>();
  await Promise.all(Array.from({ length: requests }, async () => {
    const text = (await client.ask('split.localhost')).body.toString();
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }));
  client.close();
  return counts;
}

t.test('several versions at once, previews, and the way back', async (t) => {
  const daemon = await startFor(t, { flags: ['--access-log', 'false'] });
  const cli = cliOf(daemon);
  for (const text of ['a', 'b', 'c']) await daemon.deploy('split', letter(text));
  await ok(t, cli('versions deploy split 1@50 3@50'));
  const counts = await tally(daemon, 1_000);
  t.same([...counts.keys()].toSorted(), ['a', 'c']);
  for (const count of counts.values()) t.ok(count > 380 && count < 620, String(count));
  for (const [number, text] of [[1, 'a'], [2, 'b'], [3, 'c']] as const) {
    t.equal((await daemon.ask(`${number}--split.localhost`)).text, text);
  }
  t.equal((await daemon.ask('4--split.localhost')).headers['wardian-error'], 'unknown_host');

  await ok(t, cli('versions deploy split 1@50 3@50 --sticky cookie'));
  const first = await daemon.ask('split.localhost');
  const cookie = String(first.headers['set-cookie']?.[0]).split(';')[0] ?? '';
  t.match(cookie, /^wardian-split=\d+$/);
  for (let index = 0; index < 10; index += 1) {
    const again = await daemon.ask('split.localhost', '/', { headers: { cookie } });
    t.equal(again.text, first.text);
    t.equal(again.headers['set-cookie'], undefined);
  }
  await ok(t, cli('rollback split 2'));
  t.same([...(await tally(daemon, 50)).keys()], ['b']);
  t.equal(await daemon.stop(), 0);
});

t.test('promotion to and fro loses no request', async (t) => {
  const daemon = await startFor(t, { flags: ['--access-log', 'false'] });
  for (const text of ['a', 'b']) await daemon.deploy('swap', letter(text));
  const client = new Client(daemon.port, 8);
  const promoting = { on: true };
  const wrong: string[] = [];
  const load = Array.from({ length: 8 }, async () => {
    while (promoting.on) {
      const { status, body } = await client.ask('swap.localhost');
      if (status !== 200 || !/^[ab]$/.test(body.toString())) wrong.push(`${status} ${body}`);
    }
  });
  for (let round = 0; round < 20; round += 1) {
    const shares = round % 2 === 0
      ? [{ version: 1, weight: 30 }, { version: 2, weight: 70 }] : [{ version: 1, weight: 100 }];
    const answer = await daemon.admin('PUT', '/v1/apps/swap/split', {
      body: JSON.stringify({ shares }), headers: { 'content-type': 'application/json' },
    });
    t.equal(answer.status, 200);
  }
  promoting.on = false;
  await Promise.all(load);
  client.close();
  t.same(wrong, []);
  t.equal(await daemon.stop(), 0);
});

/** Every place where a secret must not be. */
function seenIn(daemon: Daemon, secret: string): string[] {
  const files = readdirSync(daemon.data)
    .filter((name) => statSync(join(daemon.data, name)).isFile());
  const places = files.filter((name) => readFileSync(join(daemon.data, name)).includes(secret));
  if (JSON.stringify(daemon.log).includes(secret)) places.push('log');
  if (daemon.stderr().includes(secret)) places.push('stderr');
  return places;
}

t.test('secrets: from stdin alone, sealed on the disk, across a new key', async (t) => {
  const data = join(t.testdir(), 'data');
  const secret = 'correct horse battery staple';
  let daemon = await startFor(t, { data });
  let cli = cliOf(daemon);
  await daemon.deploy('vault', giving('hostcall_secret_get'));
  await daemon.deploy('other', giving('hostcall_secret_get'));
  t.equal((await daemon.ask('vault.localhost')).status, 404);
  const put = await cli('secret put vault NAME', `${secret}\n`);
  t.equal(put.code, 0, put.stderr);
  t.notMatch(put.stdout + put.stderr, secret);
  t.equal((await daemon.ask('vault.localhost')).text, secret, 'its guest gets it at once');
  t.equal((await daemon.ask('other.localhost')).status, 404, 'another app\'s does not');
  t.notMatch(await ok(t, cli('secret list vault --json')), secret);
  t.same(seenIn(daemon, secret), []);
  t.match((await cli('secret rotate-key')).stderr, /^sealed \d+ values with the new key/);
  t.equal((await daemon.ask('vault.localhost')).text, secret, 'guests go on');
  t.equal(await daemon.stop(), 0);

  daemon = await startFor(t, { data });
  cli = cliOf(daemon);
  const [first] = readFileSync(join(data, 'secrets-key'), 'utf8').split('\n');
  t.equal(readFileSync(join(data, 'secrets-key'), 'utf8').trim().split('\n').length, 2);
  const sealedWith = (): Set<unknown> => {
    const database = new DatabaseSync(join(data, 'wardian.db'), { readOnly: true });
    const rows = database.prepare('SELECT key_id FROM secret').all();
    database.close();
    return new Set(rows.map((row) => row['key_id']));
  };
  const id = secretKeyId(Buffer.from(first ?? '', 'hex'));
  await until('all are sealed with the new key', () => sealedWith().has(id));
  t.equal(sealedWith().size, 1);
  t.equal((await daemon.ask('vault.localhost')).text, secret);
  await daemon.deploy('plain', giving('hostcall_env_get'));
  await ok(t, cli('env set plain NAME=green'));
  t.equal((await daemon.ask('plain.localhost')).text, 'green');
  await ok(t, cli('env unset plain NAME'));
  t.equal((await daemon.ask('plain.localhost')).status, 404);
  t.equal(await daemon.stop(), 0);

  const wrong = await startFor(t, { data, environment: { WARDIAN_SECRETS_KEY: 'short' } })
    .catch((error: Error) => error.message);
  t.match(wrong, /WARDIAN_SECRETS_KEY: a key is 32 bytes/);
});

t.test('key-value from the command line is what guests see', async (t) => {
  const daemon = await startFor(t);
  const cli = cliOf(daemon);
  await daemon.deploy('visits', example('visits'));
  await daemon.ask('visits.localhost');
  const keys = JSON.parse(await ok(t, cli('kv list --app visits --json'))) as { key: string }[];
  t.ok(keys.length > 0, JSON.stringify(keys));
  await ok(t, cli('kv namespace create box'));
  await ok(t, cli('kv put greeting hello --namespace box'));
  t.equal(await ok(t, cli('kv get greeting --namespace box')), 'hello');
  t.match((await cli('kv put greeting x --namespace box --mode absent')).stderr, /conflict/);
  const folder = t.testdir();
  await ok(t, cli(`kv export ${join(folder, 'out.jsonl')} --namespace box`));
  await ok(t, cli('kv namespace create copy'));
  await ok(t, cli(`kv import ${join(folder, 'out.jsonl')} --namespace copy`));
  t.same(JSON.parse(await ok(t, cli('kv get greeting --namespace copy --json'))), {
    key: 'greeting', value: 'hello',
  });
  t.equal((await cli('kv get gone --namespace copy')).code, 1);
  t.equal(await daemon.stop(), 0);
});

t.test('a new key where the environment gives it: no restart, and across kills', async (t) => {
  const data = join(t.testdir(), 'data');
  const [old, next] = ['1', '2'].map((digit) => digit.repeat(64));
  const start = (key = ''): Promise<Daemon> =>
    startFor(t, { data, environment: { WARDIAN_SECRETS_KEY: key } });
  let daemon = await start(old);
  await daemon.deploy('vault', giving('hostcall_secret_get'));
  const cli = cliOf(daemon);
  t.equal((await cli('secret put vault NAME', 'value')).code, 0);
  t.match((await cli('secret rotate-key')).stderr, /rotate-key --given.*conflict/);
  t.match(await cli('secret rotate-key --given', 'short'), { code: 1, stderr: /bad_argument/ });
  const given = await cli('secret rotate-key --given', `${next}\n`);
  t.match(given, { code: 0, stderr: /^sealed 1 values.*put it first there before the next start/ });
  t.equal((await daemon.ask('vault.localhost')).text, 'value', 'guests go on');
  await daemon.kill();

  daemon = await start(old);
  t.equal((await daemon.ask('vault.localhost')).text, 'value', 'started with the old one');
  t.ok(daemon.log.some(({ event }) => event === 'secrets_key'), 'it says what is to be done');
  await daemon.kill();
  daemon = await start(next);
  t.equal((await daemon.ask('vault.localhost')).text, 'value');
  await until('the old one is not needed', () => !readdirSync(data).includes('secrets-key-next'));
  t.equal(await daemon.stop(), 0);
});

t.test('a backup taken while serving, and restored', async (t) => {
  const data = join(t.testdir(), 'data');
  const file = join(data, '..', 'backup.db');
  let daemon = await startFor(t, { data });
  let cli = cliOf(daemon);
  await daemon.deploy('kept', letter('k'));
  await ok(t, cli(`backup ${file}`));
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.match((await cli(`backup ${file}`)).stderr, /is there already/);
  await daemon.deploy('kept', letter('n'));
  await daemon.deploy('since', letter('s'));
  t.match(await cli(`restore ${file}`), { code: 2, stderr: /add --yes/ });
  t.equal(await daemon.stop(), 0);
  t.match(JSON.parse(await ok(t, cli(`restore ${file} --json`))), { apps: 1 });

  daemon = await startFor(t, { data });
  cli = cliOf(daemon);
  t.equal((await daemon.ask('kept.localhost')).text, 'k');
  t.equal((await daemon.ask('since.localhost')).status, 404);
  await daemon.deploy('kept', letter('o'));
  t.equal((await daemon.ask('kept.localhost')).text, 'o');
  const list = await ok(t, cli('versions list kept --json'));
  const versions = JSON.parse(list) as { number: number }[];
  t.same(versions.map(({ number }) => number), [1, 3], 'number 2 was given out before');
  t.equal(await daemon.stop(), 0);
});

function damage(data: string, label: string): void {
  const database = new DatabaseSync(join(data, 'wardian.db'), { timeout: 5_000 });
  const { changes } = database.prepare(`
    UPDATE artifact SET bytes = zeroblob(length(bytes)) WHERE hash = (
      SELECT artifact_hash FROM version JOIN app ON app.active_version_id = version.id
      WHERE app.label = ?)`).run(label);
  database.close();
  if (changes !== 1) throw new Error('nothing was damaged');
}

t.test('for a damaged module the version before it serves, until a deploy', async (t) => {
  const data = join(t.testdir(), 'data');
  let daemon = await startFor(t, { data });
  for (const text of ['a', 'b']) await daemon.deploy('worn', letter(text));
  await daemon.stop();
  damage(data, 'worn');
  daemon = await startFor(t, { data });
  t.equal((await daemon.ask('worn.localhost')).text, 'a', 'from the first request on');
  t.match(JSON.stringify(daemon.log), /worn@2: the stored module is damaged; version 1 serves/);
  await daemon.deploy('worn', letter('b'));
  t.equal((await daemon.ask('worn.localhost')).text, 'b', 'built anew');
  t.equal((await daemon.ask('2--worn.localhost')).text, 'b', 'and the old version with it');

  // While serving: the module is loaded when it is first asked for.
  await daemon.deploy('later', letter('a'));
  await daemon.deploy('later', letter('c'));
  damage(data, 'later');
  await until('the version before it serves', async () =>
    (await daemon.ask('later.localhost')).text === 'a');
  t.equal(await daemon.stop(), 0);
});
