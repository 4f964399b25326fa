/**
 * Style as a test: import edges between the folders, the length of lines and functions, what is
 * banned and what to use instead, files that nothing imports, default exports.
 */

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FOLDERS = ['contract', 'daemon', 'pool', 'hostcalls', 'ops', 'grafana', 'guests', 'test'];
const COLUMNS_MAX = 100;
const FUNCTION_LINES_MAX = 70;
/** Most stay under 300. */
const FILE_LINES_MAX = 320;
/** Tests are lists of cases, read one at a time. */
const TEST_LINES_MAX = 500;
/** Files that are one thing, longer than others, and how long they may become. */
const LONG_FILES: ReadonlyMap<string, number> = new Map([
  // The table of every bound, and of every setting.
  ['contract/limits.ts', 460],
  ['daemon/config.ts', 450],
  // One state machine each: the queues of tenants, the pool's, a request's, a connection's.
  ['daemon/admission.ts', 450],
  ['pool/pool.ts', 590],
  ['daemon/exchange.ts', 370],
  ['daemon/listen/net-connection.ts', 450],
  // What puts everything together, in one order.
  ['daemon/serve.ts', 450],
  ['daemon/admin/entries.ts', 350],
]);

/** Files that a thread, a child process or a person starts: nothing imports them. */
const ENTRIES = [
  /^daemon\/main\.ts$/,
  /^ops\/cli\/main\.ts$/,
  /^pool\/worker\.ts$/,
  /^pool\/builder\.ts$/,
  /^daemon\/store\/writer\.ts$/,
  /^test\/.*\.test\.ts$/,
  /^test\/bench\/[^/]+\.ts$/,
  /^test\/.*\/fixtures\//,
  /^test\/fixtures\//,
  /^grafana\/build\.ts$/,
  /^guests\/build\.ts$/,
  /\.d\.ts$/,
  /^ops\/docs\/[^/]+\.ts$/,
];

function walk(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  const found: string[] = [];
  for (const name of readdirSync(join(ROOT, folder))) {
    if (['node_modules', 'target', '.peers'].includes(name)) continue;
    // Sources of guests, in languages of their own.
    if (folder === 'test/bench' && name === 'guests') continue;
    if (folder === 'guests' && name !== 'build' && name !== 'build.ts') continue;
    const path = join(folder, name);
    if (statSync(join(ROOT, path)).isDirectory()) found.push(...walk(path));
    else if (name.endsWith('.ts')) found.push(path);
  }
  return found;
}

const files = FOLDERS.flatMap(walk);
const texts = new Map(files.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]));

function importsOf(file: string): string[] {
  const text = texts.get(file) ?? '';
  const found: string[] = [];
  const pattern = /(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+|\bentryUrl\(\s*)'(\.[^']*)'/g;
  for (const match of text.matchAll(pattern)) {
    const name = match[1] ?? '';
    const target = relative(ROOT, resolve(ROOT, dirname(file), name));
    found.push(texts.has(target) || /\.\w+$/.test(target) ? target : `${target}.ts`);
  }
  return found;
}

const inFolder = (folder: string) => (path: string) => path.startsWith(`${folder}/`);

/** Whether `file` may import `target`; both are paths from the root. */
function allowed(file: string, target: string): boolean {
  const top = file.split('/')[0] ?? '';
  const targetTop = target.split('/')[0] ?? '';
  if (top === 'test' || targetTop === 'contract')
    return top !== 'contract' || targetTop === 'contract';
  switch (top) {
    case 'contract':
      return false;
    case 'daemon':
      if (targetTop === 'daemon' || target === 'pool/pool.ts') return true;
      if (targetTop === 'ops') return file === 'daemon/main.ts';
      return (
        inFolder('daemon/deploy')(file) &&
        (inFolder('pool/rewrite')(target) || target === 'pool/builder.ts' ||
          // What the builder numbers, as a part of its key.
          target === 'hostcalls/numbers.ts')
      );
    case 'pool':
      return (
        targetTop === 'pool' || target === 'hostcalls/index.ts' || target === 'hostcalls/host.ts' ||
        // A builder child starts for each deploy, and needs the names and types alone.
        (inFolder('pool/builder')(file) &&
          ['hostcalls/inspect.ts', 'hostcalls/numbers.ts'].includes(target))
      );
    case 'hostcalls':
      return hostcallEdge(file, target);
    case 'ops':
      return targetTop === 'ops';
    case 'guests':
      return targetTop === 'guests';
    case 'grafana':
      return targetTop === 'grafana' || target === 'ops/metrics.ts';
    default:
      return false;
  }
}

function hostcallEdge(file: string, target: string): boolean {
  if (!inFolder('hostcalls')(target)) return false;
  const part = file.split('/').length > 2 ? file.split('/')[1] : '';
  const targetPart = target.split('/').length > 2 ? target.split('/')[1] : '';
  if (targetPart === '' || targetPart === part) return part !== 'services' || targetPart === part;
  if (part === 'services') return false;
  return part === '' || targetPart === 'services';
}

t.test('imports follow the direction of the design', async (t) => {
  for (const file of files) {
    for (const target of importsOf(file)) {
      if (!allowed(file, target)) t.fail(`${file} may not import ${target}`);
      else if (!existsSync(join(ROOT, target)))
        t.fail(`${file} imports ${target}, which is not there`);
    }
  }
  t.ok(files.length > 10, `${files.length} files looked at`);
});

/** The first line of a function, at any depth. */
const OPENING =
  /^(\s*)(?:export )?(?:default )?(?:async )?(?:function\b.*|(?:async )?[#\w]+\(.*\).*)\{$/;

t.test('lines, functions and files stay short', async (t) => {
  for (const [file, text] of texts) {
    if (file.includes('/fixtures/')) continue;
    const usual = file.startsWith('test/') ? TEST_LINES_MAX : FILE_LINES_MAX;
    const most = LONG_FILES.get(file) ?? usual;
    const lines = text.split('\n').length - 1;
    if (lines > most) t.fail(`${file} has ${lines} lines, more than ${most}`);
    let start = -1;
    let indent = '';
    for (const [index, line] of text.split('\n').entries()) {
      if (line.length > COLUMNS_MAX && !/https?:\/\//.test(line)) {
        t.fail(`${file}:${index + 1} has ${line.length} columns`);
      }
      const opens = OPENING.exec(line);
      if (opens !== null && start < 0 && !/^\s*(if|for|while|switch|catch)\b/.test(line)) {
        start = index;
        indent = opens[1] ?? '';
      } else if (start >= 0 && (line === `${indent}}` || line === `${indent}},`)) {
        const length = index - start + 1;
        if (length > FUNCTION_LINES_MAX && !file.startsWith('test/')) {
          t.fail(`${file}:${start + 1} is a function of ${length} lines`);
        }
        start = -1;
      }
    }
  }
  t.ok(texts.size > 10);
  for (const file of LONG_FILES.keys()) t.ok(texts.has(file), `${file} is there`);
});

/** What is banned, and what to write instead. */
const BANS: readonly { pattern: RegExp; instead: string; except?: RegExp }[] = [
  { pattern: /\bexport default\b/, instead: 'a named export', except: /^pool\/worker\.ts$/ },
  { pattern: /\bas any\b|: any\b/, instead: 'a type', except: /webassembly\.d\.ts$/ },
  { pattern: /@ts-(ignore|expect-error|nocheck)/, instead: 'a type that holds' },
  { pattern: /catch\s*(\([^)]*\))?\s*\{\s*\}/, instead: 'a catch that says what it expects' },
  {
    pattern: /\bconsole\.(log|debug)\(/,
    instead: 'the logger',
    except: /^(ops\/cli|ops\/docs|test|grafana|guests)\//,
  },
  { pattern: /\bfetch\(/, instead: 'undici request', except: /^(test|ops\/cli)\// },
  { pattern: /\benum \w+ \{/, instead: 'a union of literals' },
  {
    pattern: /from 'node:(fs|child_process)'/,
    instead: 'a service outside contract/',
    except: /^(?!contract\/)/,
  },
];

t.test('nothing banned is used', async (t) => {
  for (const [file, text] of texts) {
    if (file === 'test/tidy.test.ts') continue;
    for (const [index, line] of text.split('\n').entries()) {
      if (/^\s*(\*|\/\/|\/\*)/.test(line)) continue;
      for (const { pattern, instead, except } of BANS) {
        if (pattern.test(line) && !(except?.test(file) ?? false)) {
          t.fail(`${file}:${index + 1}: ${pattern.source} is banned; use ${instead}`);
        }
      }
    }
  }
  t.ok(BANS.length > 0);
});

t.test('every file is reached, and opens with what it is for', async (t) => {
  const imported = new Set(files.flatMap(importsOf));
  for (const file of files) {
    if (!imported.has(file) && !ENTRIES.some((entry) => entry.test(file))) {
      t.fail(`${file} is imported by nothing: delete it, or name it among the entries`);
    }
    const first = (texts.get(file) ?? '').replace(/^#!.*\n/, '');
    if (!/^\/[/*]/.test(first))
      t.fail(`${file} does not open with a comment that says what it is for`);
  }
  t.ok(imported.size > 0);
});

t.test('the lock file names no host to fetch from, and holds the engine for npm ci', async (t) => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { resolved?: string; version?: string; optional?: boolean }>;
  };
  for (const [name, entry] of Object.entries(lock.packages)) {
    if (name === 'node_modules/uWebSockets.js') continue;
    if (entry.resolved !== undefined && /^https?:/.test(entry.resolved)) {
      t.fail(
        `package-lock.json: ${name} has a resolved address; set omit-lockfile-registry-resolved`,
      );
    }
  }
  const engine = lock.packages['node_modules/uWebSockets.js'];
  t.match(engine, {
    optional: true,
    version: /^20\./,
    resolved: /^git\+ssh:.*uWebSockets\.js\.git#v20\./,
  });
});
