/** The words of the control commands, and completions that real shells take. */

import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { formatOf } from '../../ops/cli/logs.ts';
import {
  limit, seconds, secondsOrNever, share, sticky, versionNumber, wholeNumber,
} from '../../ops/cli/words.ts';
import { environmentWith, wardian } from '../harness/command.ts';

t.test('times, limits, shares and stickiness are read with care', async (t) => {
  t.equal(seconds('90'), 90);
  t.equal(seconds('5m'), 300);
  t.equal(seconds('12h'), 43_200);
  t.equal(seconds('2w'), 1_209_600);
  t.equal(secondsOrNever('never'), null);
  for (const bad of ['', '0', '-1', '1.5h', '1y', 'h', '1 h', 'never']) {
    t.throws(() => seconds(bad), /expected a time/, bad);
  }
  t.same(limit('fuel=1_000', { hostcalls: 2 }), { hostcalls: 2, fuel: 1_000 });
  t.same(limit('memory_bytes=default'), { memoryBytes: null });
  t.same(limit('memoryBytes=65536'), { memoryBytes: 65_536 });
  for (const bad of ['fuel', 'fuel=', 'fuel=-1', '=1', 'fuel=1e9']) {
    t.throws(() => limit(bad), /expected a limit/, bad);
  }
  t.same(share('3@90'), { version: 3, weight: 90 });
  t.same(share('3'), { version: 3, weight: 100 });
  for (const bad of ['0@5', '3@0', '3@101', '@5', 'a@5', '3@']) {
    t.throws(() => share(bad), /expected shares/, bad);
  }
  t.same(sticky('cookie'), { by: 'cookie' });
  t.same(sticky('header:X-User'), { by: 'header', name: 'x-user' });
  t.equal(sticky('none'), null);
  for (const bad of ['header:', 'header:a b', 'cookies']) t.throws(() => sticky(bad), /expected/);
  t.equal(versionNumber('3'), 3);
  t.throws(() => versionNumber('0'), /expected a version number/);
  t.throws(() => wholeNumber('x'), /expected a whole number/);
});

/** What bash offers at the end of a line. */
function offered(script: string, line: string): string[] {
  const words = line.split(' ');
  const out = execFileSync('bash', ['-c', `
    source "$1"; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
    COMP_CWORD=${words.length - 1}; _wardian; printf '%s\\n' "\${COMPREPLY[@]}"`, 'bash', script], {
    encoding: 'utf8', cwd: '/proc/self/fdinfo',
  });
  return out.split('\n').filter((word) => word !== '');
}

t.test('bash completes commands, what is below them, and options', async (t) => {
  const { stdout, code } = await wardian(['completion', 'bash']);
  t.equal(code, 0);
  const script = join(t.testdir(), 'completion');
  writeFileSync(script, stdout);
  t.ok(offered(script, 'wardian ').includes('deploy'));
  t.same(offered(script, 'wardian ro'), ['rollback']);
  t.same(offered(script, 'wardian kv name'), ['namespace']);
  t.ok(offered(script, 'wardian kv namespace ').includes('create'));
  t.ok(offered(script, 'wardian --json kv put --t').includes('--ttl'));
  t.same(offered(script, 'wardian token create --sc'), ['--scope']);
  t.same(offered(script, 'wardian serve --base'), ['--base-domain']);
  t.same(offered(script, 'wardian start --disk'), ['--disk-free-bytes']);
  t.ok(offered(script, 'wardian restore --').includes('--data'));
  const { stdout: json } = await wardian(['completion', 'bash', '--json']);
  t.same(JSON.parse(json), { shell: 'bash', script: stdout });
});

t.test('zsh and fish take theirs', async (t) => {
  for (const [shell, check] of [['zsh', '-n'], ['fish', '--no-execute']] as const) {
    const { stdout, code } = await wardian(['completion', shell]);
    t.equal(code, 0);
    t.match(stdout, /namespace/);
    t.equal((stdout.match(/'/g) ?? []).length % 2, 0, 'quotes come in pairs');
    const found = spawnSync(shell, ['--version']);
    if (found.error !== undefined) {
      t.comment(`${shell} is not installed here: its script is not tried`);
      continue;
    }
    const script = join(t.testdir(), `completion.${shell}`);
    writeFileSync(script, stdout);
    t.equal(spawnSync(shell, [check, script]).status, 0, shell);
  }
  t.equal((await wardian(['completion', 'cmd'])).code, 2);
});

t.test('wrong use of the control commands', async (t) => {
  const cases: [string[], RegExp][] = [
    [['kv', 'get', 'a'], /name the store: --namespace <name>, or --app <app>/],
    [['kv', 'get', 'a', '--namespace', 'x', '--app', 'y'], /name the store/],
    [['apps', 'set', 'x'], /nothing to set/],
    [['apps', 'set', 'x', '--limit', 'fuel'], /expected a limit/],
    [['env', 'set', 'x', 'novalue'], /expected NAME=value/],
    [['secret', 'put', 'x', 'KEY', '--effective-at', 'soon'], /expected a date and time/],
    [['token', 'create'], /required option '--name <name>'/],
    [['token', 'create', '--name', 'x', '--scope', 'root'], /Allowed choices are read, deploy/],
    [['versions', 'deploy', 'x', '1@50', '2@x'], /expected shares such as/],
    [['apps', 'list', '--tenant', 'a b'], /is no name of a tenant/],
    [['restore'], /missing required argument 'file'/],
  ];
  const environment = environmentWith({
    WARDIAN_TOKEN: 'x', WARDIAN_ADMIN_URL: 'http://127.0.0.1:1',
  });
  for (const [words, expected] of cases) {
    const { code, stderr } = await wardian(words, { environment });
    t.equal(code, 2, words.join(' '));
    t.match(stderr, expected);
    t.notMatch(stderr, /\n\s+at /, 'no stack');
  }
});

t.test('logs are JSON with --json, whatever else is said', async (t) => {
  t.equal(formatOf({ json: true, format: 'pretty' }), 'json');
  t.equal(formatOf({ format: 'pretty' }), 'pretty');
});

t.test('every command can print JSON and says what it does', async (t) => {
  const bash = (await wardian(['completion', 'bash'])).stdout;
  const zsh = (await wardian(['completion', 'zsh'])).stdout;
  const words = new Map([...bash.matchAll(/^ {4}'([^']*)'\) words='([^']*)'/gm)]
    .map(([, path = '', offered = '']) => [path, offered.split(' ')]));
  t.ok(words.size > 50, `${words.size} commands`);
  // The daemon prints its log.
  const others = new Set(['', 'serve', 'start']);
  for (const [path, offered] of words) {
    const isGroup = offered.some((word) => !word.startsWith('-'));
    if (!isGroup && !others.has(path)) t.ok(offered.includes('--json'), path);
    const parent = path.split(' ').slice(0, -1).join(' ');
    const name = path.split(' ').at(-1) ?? '';
    const line = zsh.split('\n').find((text) => text.startsWith(`    '${parent}') choices=`)) ?? '';
    if (path !== '') t.match(line, new RegExp(`'${name}:[^']{8,}'`), `${path} has a description`);
  }
});
