/** Builder children that crash, hang, swell, or are left alone: each costs one failed deploy. */

import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';

import type { BuildJob } from '../../../contract/build.ts';
import { MIB } from '../../../contract/limits.ts';
import { Builders, removeLeftovers } from '../../../daemon/deploy/builders.ts';
import { assemble, CACHE_FOLDER, guest, text, toolsOf, wasm } from './parts.ts';

const MEMORY = { memoryBytesMax: 128 * MIB };

function jobOf(changes: Partial<BuildJob> = {}): BuildJob {
  return {
    kind: 'build', language: 'wasm', files: [], option: null, rewrite: MEMORY, tools: toolsOf(),
    ...changes,
  };
}

/** A folder with a `clang` that is this shell script. */
function fakeClang(t: Test, script: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'wardian-test-tools-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'clang');
  writeFileSync(path, `#!/bin/sh\ncase "$1" in --print-targets) echo wasm32; exit;; esac\n${
    script}\n`);
  chmodSync(path, 0o755);
  return folder;
}

function cJob(folder: string): BuildJob {
  const searchPath = `${folder}:/usr/bin:/bin`;
  return jobOf({
    language: 'c', files: [{ path: 'a.c', bytes: text('void run(void) {}') }],
    tools: toolsOf({ searchPath }),
  });
}

const ignore = { onStage: () => {} };

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A killed process that nobody has waited for yet is still listed.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

const folders = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith(`wardian-build-${process.pid}-`));

t.test('a build that does not end is killed with all it has started', async (t) => {
  const builders = new Builders({ buildMs: 1_500, idleMs: 0, cacheFolder: CACHE_FOLDER });
  t.teardown(() => builders.close());
  const mark = join(mkdtempSync(join(tmpdir(), 'wardian-test-mark-')), 'pid');
  t.teardown(() => rmSync(join(mark, '..'), { recursive: true, force: true }));
  const tools = fakeClang(t, `echo $$ > ${mark}\nwhile :; do sleep 1; done`);
  await t.rejects(builders.run(cJob(tools), ignore), {
    code: 'build_timeout', message: '1500 ms were not enough',
  });
  const compiler = Number(readFileSync(mark, 'utf8'));
  await until(() => !isAlive(compiler));
  await builders.close();
  t.same(folders(), [], 'the folder is gone');
});

/** Two functions with as many locals and blocks as are allowed: seconds of compilation. */
function slowModule(): Promise<Uint8Array> {
  const body = `(local ${'i32 '.repeat(9_990)}) ${'(if (i32.const 0) (then))'.repeat(2_000)}`;
  return assemble(`(module ${`(func ${body})`.repeat(2)} (func (export "run")))`);
}

t.test('compilation has a limit of its own', async (t) => {
  const builders = new Builders({ compileMs: 1, idleMs: 0, cacheFolder: CACHE_FOLDER });
  t.teardown(() => builders.close());
  const files = [{ path: 'module.wasm', bytes: await slowModule() }];
  await t.rejects(builders.run(jobOf({ files }), ignore), {
    code: 'build_timeout', message: '1 ms were not enough to compile the module',
  });
});

t.test('a build that swells is ended: a compiler it started', async (t) => {
  const builders = new Builders({
    memoryBytesMax: 256 * MIB, idleMs: 0, cacheFolder: CACHE_FOLDER,
  });
  t.teardown(() => builders.close());
  const tools = fakeClang(t,
    `exec ${process.execPath} -e 'const kept = []; setInterval(() => kept.push(`
    + 'Buffer.alloc(32 << 20, 1)), 10)\'');
  await t.rejects(builders.run(cJob(tools), ignore), {
    code: 'build_memory', message: /^\d+ MiB, the limit is 256 MiB$/,
  });
});

t.test('a build that swells is ended: the builder itself', async (t) => {
  const builders = new Builders({
    memoryBytesMax: 256 * MIB, idleMs: 0, cacheFolder: CACHE_FOLDER,
  });
  t.teardown(() => builders.close());
  // 24 MB of text: what the parser makes of it is many times that.
  const source = `(module (func (export "run") ${'(nop) '.repeat(4_000_000)}))`;
  await t.rejects(builders.run(jobOf({
    language: 'wat', files: [{ path: 'a.wat', bytes: text(source) }],
  }), ignore), { code: 'build_memory' });
});

/** Functions that are small to store and slow to compile: each with many locals and blocks. */
function compileBomb(functions: number): Promise<Uint8Array> {
  const body = `(local ${'i32 '.repeat(4_000)}) ${'(if (i32.const 0) (then))'.repeat(900)}`;
  return assemble(`(module (func (export "run")) ${`(func ${body})`.repeat(functions)})`);
}

t.test('a module that is slow to compile is refused, or killed in the middle of it', async (t) => {
  const builders = new Builders({ idleMs: 0, cacheFolder: CACHE_FOLDER });
  t.teardown(() => builders.close());
  const refused = jobOf({ files: wasm(await compileBomb(40)) });
  await t.rejects(builders.run(refused, ignore), { code: 'module_limit' });

  const gone = new AbortController();
  const stages: string[] = [];
  const slow = builders.run(jobOf({ files: wasm(await compileBomb(10)) }), {
    signal: gone.signal,
    onStage(stage) {
      stages.push(stage);
      if (stage === 'compiling') gone.abort();
    },
  });
  await t.rejects(slow, { code: 'client_closed' });
  t.same(stages, ['building', 'rewriting', 'compiling']);
  t.equal(builders.load.running, 0);
  await builders.close();
  t.same(folders(), [], 'it is gone, although the compiler never looks up');
});

t.test('a builder that crashes is one failed build, and the next one works', async (t) => {
  const builders = new Builders({ idleMs: 60_000, cacheFolder: CACHE_FOLDER });
  t.teardown(() => builders.close());
  for (const signal of ['KILL', 'SEGV', 'ABRT']) {
    const tools = fakeClang(t, `kill -${signal} $PPID; sleep 60`);
    await t.rejects(builders.run(cJob(tools), ignore), {
      code: 'build_crashed', message: `the builder ended with SIG${signal} while building`,
    });
  }
  const { facts } = await builders.run(jobOf({ files: wasm(await guest(1)) }), ignore);
  t.match(facts, { abi: 'terrarium', entry: 'run', memory: null, suspends: false });
});

t.test('a builder whose daemon is gone ends by itself', async (t) => {
  const mark = join(mkdtempSync(join(tmpdir(), 'wardian-test-mark-')), 'pid');
  t.teardown(() => rmSync(join(mark, '..'), { recursive: true, force: true }));
  const tools = fakeClang(t, `echo $PPID > ${mark}\nwhile :; do sleep 1; done`);
  const script = join(mark, '..', 'daemon.ts');
  const at = (name: string): string =>
    JSON.stringify(fileURLToPath(new URL(`../../../${name}`, import.meta.url)));
  writeFileSync(script, `import { Builders } from ${at('daemon/deploy/builders.ts')};
    void new Builders({ cacheFolder: ${JSON.stringify(CACHE_FOLDER)} })
      .run(${JSON.stringify({ ...cJob(tools), files: [] })} as never, { onStage() {} });`
    .replace('"files":[]', '"files":[{"path":"a.c","bytes":new Uint8Array(8)}]'));
  const daemon = spawn(process.execPath, [script], { stdio: 'inherit' });
  await until(() => existsSync(mark) && readFileSync(mark, 'utf8').endsWith('\n'));
  const builder = Number(readFileSync(mark, 'utf8'));
  t.ok(isAlive(builder));
  daemon.kill('SIGKILL');
  await until(() => !isAlive(builder));
  t.equal(readdirSync(tmpdir()).filter(
    (name) => name.startsWith(`wardian-build-${daemon.pid}-`)).length, 1, 'its folder is left');
  await until(() => !isAlive(daemon.pid ?? 0));
  // What was still ending may have written once more after the first sweep.
  await until(() => {
    removeLeftovers();
    return !readdirSync(tmpdir()).some((name) => name.startsWith(`wardian-build-${daemon.pid}-`));
  });
  t.pass('and swept');
});

t.test('builds wait for a turn, and a full queue refuses', async (t) => {
  const builders = new Builders({
    concurrentMax: 1, queuedMax: 1, idleMs: 0, cacheFolder: CACHE_FOLDER,
  });
  t.teardown(() => builders.close());
  const job = jobOf({ files: wasm(await guest(1)) });
  const first = builders.run(job, ignore);
  const second = builders.run(job, ignore);
  t.same(builders.load, { running: 1, queued: 1 });
  await t.rejects(builders.run(job, ignore), { code: 'overloaded' });
  await Promise.all([first, second]);
  t.same(builders.load, { running: 0, queued: 0 });
});

t.test('an aborted build is killed, a closed daemon starts none', async (t) => {
  const builders = new Builders({ idleMs: 0, cacheFolder: CACHE_FOLDER });
  const tools = fakeClang(t, 'while :; do sleep 1; done');
  const gone = new AbortController();
  await t.rejects(builders.run(cJob(tools), {
    onStage: () => gone.abort(), signal: gone.signal,
  }), { code: 'client_closed' });
  await t.rejects(builders.run(cJob(tools), { ...ignore, signal: gone.signal }), {
    code: 'client_closed',
  });
  const running = builders.run(cJob(tools), { onStage: () => void builders.close() });
  await t.rejects(running, { code: 'build_crashed' });
  await t.rejects(builders.run(cJob(tools), ignore), { code: 'draining' });
});

t.test('the environment of a build holds nothing of the daemon\'s', async (t) => {
  const builders = new Builders({ idleMs: 0 });
  t.teardown(() => builders.close());
  process.env['WARDIAN_TEST_SECRET'] = 'do not tell';
  t.teardown(() => delete process.env['WARDIAN_TEST_SECRET']);
  const tools = fakeClang(t, 'env; echo "parent:"; tr "\\0" "\\n" < /proc/$PPID/environ; exit 1');
  const failure = await builders.run(cJob(tools), ignore).then(
    () => t.fail('it must fail'), (error: { output: string }) => error.output);
  t.notMatch(failure, /do not tell/);
  const names = String(failure).split('\n').flatMap((line) => /^(\w+)=/.exec(line)?.[1] ?? [])
    // What the test runner adds to every child of its tests.
    .filter((name) => name !== 'NODE_OPTIONS' && !name.startsWith('_TAPJS_'));
  t.same([...new Set(names)].toSorted(), ['HOME', 'LANG', 'PATH', 'PWD', 'TMPDIR']);
  t.notMatch(failure, new RegExp(`${tmpdir()}/wardian-build`), 'no path of this machine');
});
