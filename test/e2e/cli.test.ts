/**
 * `wardian deploy` against a real daemon: a module, each kind of source, a folder, a bare path.
 * Only the URL is on stdout, the stages are on stderr, and the exit code tells.
 */

import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';

import { environmentWith, wardian } from '../harness/command.ts';
import type { Run } from '../harness/command.ts';
import type { Daemon } from '../harness/daemon.ts';
import { skipWithout } from '../harness/tools.ts';
import { startFor, textGuest, until } from './world.ts';

// Compilers take their time, the more so on a busy machine.
t.setTimeout(480_000);

const EXAMPLES = fileURLToPath(new URL('../../guests/examples/', import.meta.url));
const STAGES = [
  'Upload complete, waiting for build...',
  'Building...',
  'Generating machine code...',
  'Deploying...',
  'Deploy complete: ',
];
/** Building and compiling are left out for what was built before. */
const EVER = STAGES.filter((stage) => !/^(Building|Generating)/.test(stage));

function commandOn(daemon: Daemon, words: readonly string[], cwd?: string): Promise<Run> {
  const environment = environmentWith({
    WARDIAN_ADMIN_URL: `http://127.0.0.1:${daemon.adminPort}`,
    WARDIAN_DATA: daemon.data,
  });
  return wardian(words, cwd === undefined ? { environment } : { environment, cwd });
}

/**
 * Deploys, and holds the run to the rules; answers the language that was taken, and what the
 * printed URL serves.
 */
async function deploysAs(
  t: Test,
  daemon: Daemon,
  words: readonly string[],
  label: string,
  cwd?: string,
): Promise<readonly [language: string | undefined, text: string]> {
  const done = await commandOn(daemon, words, cwd);
  t.equal(done.code, 0, `${words.join(' ')}: ${done.stderr}`);
  const url = `http://${label}.localhost:${daemon.port}/`;
  t.equal(done.stdout, `${url}\n`, 'the URL and nothing else on stdout');
  const [guess, ...lines] = done.stderr.trimEnd().split('\n');
  const told = lines.map((line) => line.replace(url, ''));
  t.strictSame(
    told,
    STAGES.filter((stage) => told.includes(stage)),
    'stages in their order',
  );
  for (const stage of EVER) t.ok(told.includes(stage), stage);
  const list = await daemon.admin('GET', `/v1/apps/${label}/versions`);
  const { versions } = JSON.parse(list.text) as { versions: { language: string }[] };
  const { language } = versions.at(-1) ?? {};
  t.match(guess, new RegExp(`^Language: ${language}, from `), 'the guess is told first');
  return [language, (await daemon.ask(`${label}.localhost:${daemon.port}`)).text];
}

async function deploys(...given: Parameters<typeof deploysAs>): Promise<string> {
  const [, text] = await deploysAs(...given);
  return text;
}

/** A copy of an example, committed module and all, whose source says something else. */
function changedCopy(t: Test, example: string, file: string): string {
  const folder = join(t.testdir(), example);
  cpSync(join(EXAMPLES, example), folder, { recursive: true });
  const path = join(folder, file);
  const source = readFileSync(path, 'utf8');
  const changed = source.replace('Hello from', 'Changed in');
  t.not(changed, source);
  writeFileSync(path, changed);
  return folder;
}

async function fails(
  t: Test,
  daemon: Daemon,
  words: readonly string[],
  code: number,
  expected: RegExp,
): Promise<void> {
  const done = await commandOn(daemon, words);
  t.equal(done.code, code, words.join(' '));
  t.equal(done.stdout, '');
  t.match(done.stderr, expected);
  t.notMatch(done.stderr, /\n\s+at .*\.(ts|js):\d/, 'no stack');
}

async function languages(t: Test, daemon: Daemon): Promise<void> {
  const folder = t.testdir({ 'hello.wasm': Buffer.from(textGuest('a module')) });
  t.equal(await deploys(t, daemon, ['deploy', 'hello.wasm'], 'hello', folder), 'a module');
  t.equal(await deploys(t, daemon, ['./hello.wasm'], 'hello', folder), 'a module', 'a bare path');
  t.equal(await deploys(t, daemon, ['hello.wasm'], 'hello', folder), 'a module');
  t.equal(
    await deploys(t, daemon, ['deploy', `${EXAMPLES}hello-wat/hello-wat.wat`], 'hello-wat'),
    'Hello from WebAssembly text\n',
  );
  t.equal(
    await deploys(t, daemon, ['deploy', `${EXAMPLES}hello-as/index.ts`, '--name', 'as'], 'as'),
    'Hello from AssemblyScript\n',
  );
  t.strictSame(
    await deploysAs(t, daemon, [changedCopy(t, 'hello-as', 'index.ts')], 'hello-as'),
    ['assemblyscript', 'Changed in AssemblyScript\n'],
    'a folder: its source, not the module beside it',
  );
  t.strictSame(
    await deploysAs(t, daemon, [changedCopy(t, 'hello-wat', 'hello-wat.wat')], 'hello-wat'),
    ['wat', 'Changed in WebAssembly text\n'],
  );
}

async function c(t: Test, daemon: Daemon): Promise<void> {
  t.equal(await deploys(t, daemon, [`${EXAMPLES}hello-c/hello-c.c`], 'hello-c'), 'Hello from C\n');
  t.strictSame(
    await deploysAs(t, daemon, [changedCopy(t, 'hello-c', 'hello-c.c')], 'hello-c'),
    ['c', 'Changed in C\n'],
  );
}

async function rust(t: Test, daemon: Daemon): Promise<void> {
  const folder = t.testdir();
  copyFileSync(`${EXAMPLES}hello-rust/src/lib.rs`, join(folder, 'alone.rs'));
  t.equal(
    await deploys(t, daemon, ['deploy', join(folder, 'alone.rs')], 'alone'),
    'Hello from Rust\n',
  );
  t.strictSame(
    await deploysAs(t, daemon, ['deploy', changedCopy(t, 'hello-rust', 'src/lib.rs')],
      'hello-rust'),
    ['rust', 'Changed in Rust\n'],
    'a folder with a Cargo.toml',
  );
}

async function refusals(t: Test, daemon: Daemon): Promise<void> {
  const folder = t.testdir({
    'broken.wasm': 'no module',
    'broken.wat': '(module (func $a (nonsense)))',
    'broken.ts': 'export function run(): void { let a: i32 = "text" }\n',
    'notes.txt': 'text',
    'flies.wasm': Buffer.from('AGFzbQEAAAABBAFgAAACDgEDZW52BmZseV91cAAABwcBA3J1bgAA', 'base64'),
  });
  const at = (name: string): string => join(folder, name);
  await fails(
    t,
    daemon,
    ['deploy', at('broken.wasm')],
    1,
    /not a WebAssembly module.*\(not_wasm\)/,
  );
  await fails(t, daemon, ['deploy', at('broken.wat')], 1, /build_failed\)\n[^]*nonsense/);
  await fails(t, daemon, ['deploy', at('broken.ts')], 1, /build_failed\)\n[^]*ERROR/);
  await fails(t, daemon, ['deploy', at('notes.txt')], 1, /unknown_language/);
  await fails(t, daemon, ['deploy', at('flies.wasm')], 1, /"fly_up".*\(unknown_import\)/);
  await fails(t, daemon, ['deploy', at('gone.wasm')], 2, /no such file or folder/);
  await fails(t, daemon, ['deploy', at('broken.wasm'), '--name', 'Not A Label'], 1, /label|name/);
}

async function manages(t: Test, daemon: Daemon): Promise<void> {
  const folder = t.testdir({
    'one.wasm': Buffer.from(textGuest('one')),
    'two.wasm': Buffer.from(textGuest('two')),
  });
  for (const name of ['one', 'two']) {
    await commandOn(daemon, ['deploy', `${name}.wasm`, '--name', 'app', '--quiet'], folder);
  }
  const list = await commandOn(daemon, ['apps', 'list', '--json']);
  const listed = JSON.parse(list.stdout) as { url: string }[];
  t.ok(listed.some(({ url }) => url === `http://app.localhost:${daemon.port}/`));
  t.match((await commandOn(daemon, ['versions', 'list', 'app'])).stdout, /1[^]*2/);
  t.equal((await commandOn(daemon, ['rollback', 'app', '1'])).code, 0);
  t.equal((await daemon.ask('app.localhost')).text, 'one');
  t.equal((await commandOn(daemon, ['hosts', 'add', 'app', 'www.example.com'])).code, 0);
  t.equal((await daemon.ask('www.example.com')).text, 'one');
  t.equal((await commandOn(daemon, ['hosts', 'remove', 'app', 'www.example.com'])).code, 0);
  t.equal((await daemon.ask('www.example.com')).status, 404);
  t.equal((await commandOn(daemon, ['apps', 'delete', 'app'])).code, 0);
  t.equal((await daemon.ask('app.localhost')).status, 404);
  const again = await commandOn(daemon, ['apps', 'delete', 'app']);
  t.equal(again.code, 1);
  t.match(again.stderr, /there is no app app/);
}

t.test('the command line', async (t) => {
  const daemon = await startFor(t, { command: 'start' });
  await until('the examples are deployed', () =>
    daemon.log.some((line) => String(line['msg']).startsWith('deploy your own')),
  );
  await t.test('deploys modules and sources', (t) => languages(t, daemon));
  await t.test('builds C', { skip: skipWithout('clang') }, (t) => c(t, daemon));
  await t.test('builds Rust', { skip: skipWithout('cargo') }, (t) => rust(t, daemon));
  await t.test('says why not', (t) => refusals(t, daemon));
  await t.test('manages apps', (t) => manages(t, daemon));
  t.equal(await daemon.stop(), 0);
});

t.test('a missing compiler is named', async (t) => {
  const bin = t.testdir();
  mkdirSync(join(bin, 'empty'));
  writeFileSync(join(bin, 'a.c'), 'void run(void) {}\n');
  writeFileSync(join(bin, 'a.rs'), 'pub fn main() {}\n');
  const daemon = await startFor(t, { command: 'start', environment: { PATH: join(bin, 'empty') } });
  await fails(t, daemon, ['deploy', join(bin, 'a.c')], 1, /clang.*\(missing_tool\)/);
  await fails(t, daemon, ['deploy', join(bin, 'a.rs')], 1, /rustc.*\(missing_tool\)/);
  t.equal(await daemon.stop(), 0);
});

t.test('languages that the operator has not allowed are refused', async (t) => {
  const daemon = await startFor(t);
  await fails(t, daemon, ['deploy', `${EXAMPLES}hello-c/hello-c.c`], 1, /build_languages|operator/);
  t.equal(await daemon.stop(), 0);
});
