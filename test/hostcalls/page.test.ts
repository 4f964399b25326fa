/** `docs/hostcalls.md` is what the tables say, and the tables say something of everything. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { hostcallsPage } from '../../hostcalls/page.ts';
import { HOSTCALLS } from '../../hostcalls/tables.ts';

t.test('the page is up to date', (t) => {
  const page = readFileSync(new URL('../../docs/hostcalls.md', import.meta.url), 'utf8');
  t.ok(page === hostcallsPage(), 'run: node hostcalls/page.ts');
  t.end();
});

t.test('every hostcall is on it, once, with all its parameters', (t) => {
  const page = hostcallsPage();
  for (const hostcalls of HOSTCALLS.values()) {
    for (const called of hostcalls.values()) {
      t.equal(page.split(`#### \`${called.name}\`\n`).length, 2, called.name);
      t.match(called.does, /\.$/);
      t.match(called.errors, /\.$/);
      const names = called.parameters.map((parameter) => parameter.name);
      t.equal(new Set(names).size, names.length, 'parameters have distinct names');
    }
  }
  t.end();
});
