/**
 * The published package: packed, installed into an empty folder and globally, and used from there
 * as the README's quick start says, under whatever Node the machine has, through the Node 24 that
 * the package brings along.
 */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';

import { textGuest, until } from '../e2e/world.ts';
import { ask } from '../harness/daemon.ts';
import {
  folderBytes,
  npm,
  pack,
  QUIET,
  runInShell,
  shellEnvironment,
  shellNode,
} from './install.ts';

const MB = 1_000_000;
const INSTALLED_BYTES_MAX = 60 * MB;

const work = mkdtempSync(join(tmpdir(), 'wardian-package-'));
t.teardown(() => rmSync(work, { recursive: true, force: true }));
t.setTimeout(240_000);

interface Started {
  readonly child: ChildProcess;
  readonly port: number;
  readonly adminPort: number;
  readonly node: string;
  readonly text: () => string;
  readonly ended: Promise<number | null>;
}

/** Starts `wardian start` from an installed package and waits until the examples answer. */
async function start(t: Test, launcher: string, folder: string): Promise<Started> {
  const child = spawn(launcher, ['start', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'], {
    cwd: folder,
    env: shellEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGTERM'));
  const ended = new Promise<number | null>((done) => {
    child.once('exit', (code) => done(code));
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await until(
    'the examples are deployed',
    () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${text}`);
      return text.includes('deploy your own with');
    },
    60_000,
  );
  const line = text.split('\n').find((one) => one.includes('"event":"ready"')) ?? '{}';
  const ready = JSON.parse(line) as { port: number; adminPort: number; node: string };
  return { child, ...ready, text: () => text, ended };
}

/** Start, curl, deploy, curl: the README's quick start, from an installed package. */
async function quickStart(t: Test, launcher: string, folder: string): Promise<void> {
  const daemon = await start(t, launcher, folder);
  t.match(daemon.node, /^v24\./, `it runs in Node ${daemon.node}`);
  t.notMatch(daemon.text(), /is not deployed/, 'each example is deployed');
  const hello = await ask(daemon.port, `hello.localhost:${daemon.port}`, '/');
  t.equal(hello.text, 'Hello from Rust\n');
  t.equal((await ask(daemon.port, 'visits.localhost', '/')).text, 'visit 1\n');
  writeFileSync(join(folder, 'mine.wasm'), textGuest('mine'));
  writeFileSync(join(folder, 'mine.wat'), '(module (func (export "run")))');
  const environment = shellEnvironment({
    WARDIAN_ADMIN_URL: `http://127.0.0.1:${daemon.adminPort}`,
  });
  for (const file of ['mine.wasm', 'mine.wat']) {
    const deployed = await runInShell(launcher, ['deploy', file], { cwd: folder, environment });
    t.equal(deployed.code, 0, deployed.stderr);
    t.equal(deployed.stdout, `http://mine.localhost:${daemon.port}/\n`);
    const answer = await ask(daemon.port, 'mine.localhost', '/');
    t.equal(answer.status, 200);
    t.equal(answer.text, file === 'mine.wasm' ? 'mine' : '');
  }
  daemon.child.kill('SIGTERM');
  t.equal(await daemon.ended, 0, daemon.text());
}

t.test('the package', async (t) => {
  const packed = await pack(work);
  t.comment(`${packed.names.length} files, ${(packed.unpackedBytes / MB).toFixed(1)} MB unpacked`);

  await t.test('holds what it needs and nothing else', async (t) => {
    for (const name of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'bin/wardian.js',
      'dist/daemon/main.js',
      'dist/ops/cli/main.js',
      'dist/pool/worker.js',
      'dist/pool/builder.js',
      'dist/daemon/store/writer.js',
      'docs/hostcalls.md',
      'docs/configuration.md',
      'guests/c/http_hostcalls.h',
      'guests/wat/hostcalls.wat',
      'guests/assemblyscript/index.ts',
      'guests/rust/http_guest/src/lib.rs',
      'guests/examples/examples.json',
    ]) {
      t.ok(packed.names.includes(name), name);
    }
    const examples = JSON.parse(
      readFileSync(new URL('../../guests/examples/examples.json', import.meta.url), 'utf8'),
    ) as {
      wasm: string;
    }[];
    for (const { wasm } of examples) t.ok(packed.names.includes(`guests/examples/${wasm}`), wasm);
    const strange = packed.names.filter(
      (name) =>
        /(^|\/)(node_modules|target|test|\.[^/]*)(\/|$)|\.test\.|\.tgz$/.test(name) ||
        (name.endsWith('.ts') && !name.startsWith('guests/')),
    );
    t.strictSame(strange, []);
  });

  await t.test('installs globally, and its quick start runs', async (t) => {
    const prefix = join(work, 'global');
    await npm(['install', '-g', '--prefix', prefix, ...QUIET, packed.file], work);
    const launcher = join(prefix, 'bin', 'wardian');
    const node = shellNode();
    t.comment(
      node === null
        ? 'this machine has no Node of its own: the launcher runs in the one that npm brought'
        : `the launcher runs under Node ${node.major} of this machine`,
    );
    const version = await runInShell(launcher, ['--version'], { environment: shellEnvironment() });
    t.match(version.stdout, /^\d+\.\d+\.\d+\n$/, version.stderr);
    const folder = join(work, 'anywhere');
    mkdirSync(folder);
    await quickStart(t, launcher, folder);
    t.ok(existsSync(join(folder, '.wardian', 'admin-token')), 'its data is in ./.wardian');
  });

  await t.test('installs in a project, and says what an old Node lacks', async (t) => {
    const folder = join(work, 'project');
    mkdirSync(folder);
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
    const words = ['--omit=dev', '--omit=optional', ...QUIET, packed.file];
    await npm(['install', ...words], folder);
    const bytes = folderBytes(join(folder, 'node_modules'));
    t.comment(`a production install without the bundled Node: ${(bytes / MB).toFixed(1)} MB`);
    t.ok(bytes < INSTALLED_BYTES_MAX, `${bytes} bytes`);
    const launcher = join(folder, 'node_modules', '.bin', 'wardian');
    const own = shellEnvironment({ WARDIAN_NODE: process.execPath });
    const version = await runInShell(launcher, ['--version'], { cwd: folder, environment: own });
    t.match(version.stdout, /^\d+\.\d+\.\d+\n$/, version.stderr);
    const node = shellNode();
    if (node === null || node.major >= 24) {
      t.pass('an old Node', { skip: 'the Node of this machine is not older than 24' });
      return;
    }
    const old = await runInShell(launcher, ['start'], {
      cwd: folder,
      environment: shellEnvironment(),
    });
    t.equal(old.code, 1);
    t.match(old.stderr, /^wardian: Node 24 is needed [^\n]* this is v\d+[^\n]*\n$/, 'one line');
  });
});

t.test('npm start passes signals on and leaves no daemon behind', async (t) => {
  const child = spawn(
    'npm',
    ['start', '--', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', join(work, 'd')],
    { cwd: fileURLToPath(new URL('../../', import.meta.url)), env: shellEnvironment() },
  );
  t.teardown(() => child.kill('SIGTERM'));
  const ended = new Promise<number | null>((done) => {
    child.once('close', (code) => done(code));
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await until('it is ready', () => text.includes('deploy your own with'), 60_000);
  child.kill('SIGTERM');
  t.equal(await ended, 0);
  t.match(text, '"event":"stopped"', 'the daemon drained and ended before npm did');
});

t.test('npm ci takes the lock file', async (t) => {
  const folder = join(work, 'lock');
  mkdirSync(folder);
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) {
    writeFileSync(join(folder, name), readFileSync(new URL(`../../${name}`, import.meta.url)));
  }
  await t.resolves(npm(['ci', '--dry-run', '--ignore-scripts', ...QUIET], folder));
});
