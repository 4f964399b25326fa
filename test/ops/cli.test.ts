/** The command line without a daemon: help, wrong use, names, and its exit codes. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { table } from '../../ops/cli/apps.ts';
import { labelOf, readUpload } from '../../ops/cli/upload.ts';
import { escapeControls } from '../../ops/escape.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/wardian.js', import.meta.url));

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function wardian(words: readonly string[], environment: Record<string, string> = {}): Promise<Run> {
  return new Promise((done) => {
    execFile(
      process.execPath,
      [LAUNCHER, ...words],
      { env: { ...process.env, ...environment } },
      (error, out, err) => {
        done({ code: error === null ? 0 : Number(error.code), stdout: out, stderr: err });
      },
    );
  });
}

t.test('help and version', async (t) => {
  const help = await wardian(['--help']);
  t.equal(help.code, 0);
  for (const word of [
    'serve',
    'deploy',
    'apps',
    'versions',
    'rollback',
    'Examples:',
    'Exit codes:',
  ]) {
    t.match(help.stdout, word);
  }
  for (const word of ['--version', '-V']) {
    t.match((await wardian([word])).stdout, /^\d+\.\d+\.\d+\n$/);
  }
});

t.test('--version after a command is the command\'s own', async (t) => {
  for (const command of ['tail', 'logs']) {
    const words = [command, '--version', '3', '--admin-url', 'http://127.0.0.1:1'];
    const run = await wardian(words, { WARDIAN_TOKEN: 'x' });
    t.equal(run.code, 3, 'it asked a daemon');
    t.equal(run.stdout, '');
  }
});

t.test('wrong use is told in a line and exits with 2', async (t) => {
  const cases: [string[], RegExp][] = [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['deploy'], /missing required argument 'path'/],
    [['deploy', 'x.wasm', '--language', 'cobol'], /Allowed choices are auto, wasm/],
    [['rollback', 'app', 'zero'], /expected a version number such as 3/],
    [['apps', 'list', '--data', '/nowhere'], /no token: \/nowhere\/admin-token is not there/],
    [['apps', 'list', '--admin-url', 'nonsense'], /nonsense is no admin address/],
  ];
  for (const [words, expected] of cases) {
    const run = await wardian(words, { WARDIAN_TOKEN: words.includes('--data') ? '' : 'x' });
    t.equal(run.code, 2, words.join(' '));
    t.match(run.stderr, expected);
    t.notMatch(run.stderr, /\n\s+at /, 'no stack');
  }
});

t.test('a daemon that is not there exits with 3', async (t) => {
  const run = await wardian(['apps', 'list', '--admin-url', 'http://127.0.0.1:1'], {
    WARDIAN_TOKEN: 'x',
  });
  t.equal(run.code, 3);
  t.match(
    run.stderr,
    /no daemon answers at http:\/\/127\.0\.0\.1:1; start one with: wardian serve/,
  );
});

t.test('a path that is not there is named, with and without the word deploy', async (t) => {
  for (const words of [['deploy', './gone.wasm'], ['./gone.wasm']]) {
    const run = await wardian(words, { WARDIAN_TOKEN: 'x' });
    t.equal(run.code, 2);
    t.match(run.stderr, /\.\/gone\.wasm: no such file or folder/);
  }
});

t.test('files and folders make labels', async (t) => {
  t.equal(labelOf('/a/Hello World.wasm'), 'hello-world');
  t.equal(labelOf('./my_app.rs'), 'my-app');
  t.equal(labelOf('/a/--.wasm'), '');
  t.equal(labelOf(`/${'a'.repeat(80)}.wasm`).length, 63);
});

t.test('a folder is sent whole, but for packages, dot-files and what is told', async (t) => {
  const folder = t.testdir();
  const files = [
    'node_modules/a.ts', '.git/c', '.env', 'Cargo.toml', 'src/lib.rs', 'src/build/b.rs',
    'dist/d.c', 'target/e.rs', 'tools/target/f.c', 'inner/Cargo.toml', 'inner/target/g.rs',
  ];
  for (const name of files) {
    mkdirSync(join(folder, dirname(name)), { recursive: true });
    writeFileSync(join(folder, name), `<${name}>`);
  }
  symlinkSync('src/lib.rs', join(folder, 'link.rs'));
  const { body, contentType, guess, leftOut } = await readUpload(folder);
  t.equal(contentType, 'application/x-tar');
  t.match(guess, { language: 'rust', file: 'Cargo.toml' });
  t.strictSame([...body.toString('latin1').matchAll(/<([^>]+)>/g)].map(([, name]) => name), [
    'Cargo.toml', 'dist/d.c', 'inner/Cargo.toml', 'src/build/b.rs', 'src/lib.rs',
    'tools/target/f.c',
  ]);
  t.strictSame(leftOut, [
    'inner/target (what cargo has built)', 'link.rs (a symbolic link)',
    'target (what cargo has built)',
  ]);
  await t.rejects(readUpload(join(folder, '.git')).then(() => readUpload(t.testdir())),
    /holds no files/);
});

t.test('tables line up, and terminals are not handed control characters', async (t) => {
  t.equal(
    table(
      ['A', 'LONG'],
      [
        ['abc', 'x'],
        ['d', 'y'],
      ],
    ),
    'A    LONG\nabc  x\nd    y',
  );
  t.equal(escapeControls('a\u001b[31mb\u0000\tc\u2028'), 'a\\x1b[31mb\\x00\tc\\u2028');
});

/** Runs a command whose output nobody reads. */
async function unread(
  words: readonly string[], environment: Record<string, string> = {},
): Promise<{ code: number; errors: string }> {
  const child = spawn(process.execPath, [LAUNCHER, ...words], {
    stdio: 'pipe', env: { ...process.env, ...environment },
  });
  child.stdout.destroy();
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { errors += text; });
  const [code] = await once(child, 'close');
  return { code: code as number, errors };
}

t.test('a reader that ends first is no error', async (t) => {
  for (const words of [['--help'], ['start', '--help']]) {
    t.strictSame(await unread(words), { code: 0, errors: '' }, words.join(' '));
  }
});

t.test('but what was under way then has not come to its end', async (t) => {
  const admin = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.write('{"stage":"building"}\n');
      setTimeout(() => response.write('{"stage":"rewriting"}\n'), 200);
      setTimeout(() => response.end('{"stage":"done","version":1,"url":"http://a"}\n'), 5_000);
    });
  });
  admin.listen(0, '127.0.0.1');
  await once(admin, 'listening');
  t.teardown(() => {
    admin.closeAllConnections();
    admin.close();
  });
  const { port } = admin.address() as AddressInfo;
  const folder = t.testdir({ 'a.wat': '(module)' });
  const { code } = await unread(['deploy', '--json', join(folder, 'a.wat')], {
    WARDIAN_TOKEN: 'none', WARDIAN_ADMIN_URL: `http://127.0.0.1:${port}`,
  });
  t.equal(code, 141, 'as after SIGPIPE');
});
