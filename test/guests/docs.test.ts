/** The guests that docs/guests.md shows are built as it says, and answer. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { compileProject } from '../../guests/build/assemblyscript.ts';
import { compileC } from '../../guests/build/c.ts';
import { EXAMPLES, MissingTool } from '../../guests/build/example.ts';
import { assemble } from '../../guests/build/wat.ts';
import { runGuest } from './host.ts';

const DOCS = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'guests.md'), 'utf8');

/** The first block of a language. */
function block(language: string): string {
  const found = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(DOCS)?.[1];
  if (found === undefined) throw new Error(`docs/guests.md shows no ${language}`);
  return found;
}

const folder = mkdtempSync(join(tmpdir(), 'wardian-docs-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, 'hello.c'), block('c'));
writeFileSync(join(folder, 'index.ts'), block('ts'));
writeFileSync(join(folder, 'asconfig.json'), block('json'));

const builds: readonly (readonly [string, string, (path: string) => Promise<void>])[] = [
  ['C', '/a?b', (path) => compileC('clang-wasi', folder, 'hello.c', path)],
  ['AssemblyScript', 'You asked for /a?b\n', (path) => compileProject(folder, 'hello', path)],
  ['WAT', 'Hello\n', async (path) => writeFileSync(path, await assemble('hello', block('wat')))],
];

for (const [language, body, build] of builds) {
  t.test(language, async (t) => {
    const path = join(folder, `${language}.wasm`);
    try {
      await build(path);
    } catch (error) {
      if (!(error instanceof MissingTool) || process.env['CI'] === 'true') throw error;
      t.pass('built', { skip: error.message });
      return;
    }
    const request = { method: 'GET', path: '/a?b' };
    const answer = runGuest(readFileSync(path), request, { store: new Map() });
    t.equal(answer.status, 200);
    t.equal(answer.body.toString(), body);
  });
}

t.test('every example is told of', async (t) => {
  for (const { name } of EXAMPLES) t.match(DOCS, `| [${name}](`);
});
