/** The examples, rebuilt with the compilers of this machine, behave as the committed ones do. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { buildExamples } from '../../guests/build.ts';
import { EXAMPLES } from '../../guests/build/example.ts';
import { BEHAVIOURS } from './behaviour.ts';

const out = mkdtempSync(join(tmpdir(), 'wardian-rebuild-'));
t.teardown(() => rmSync(out, { recursive: true, force: true }));
const outcomes = await buildExamples(EXAMPLES, out);

for (const { name } of EXAMPLES) {
  t.test(`${name}, rebuilt`, async (t) => {
    const outcome = outcomes.get(name);
    if (outcome?.kind === 'missing' && process.env['CI'] !== 'true') {
      t.pass('built', { skip: outcome.reason });
      return;
    }
    if (outcome?.kind !== 'built') {
      t.fail(outcome?.reason ?? 'not attempted');
      return;
    }
    BEHAVIOURS[name]?.(t, outcome.module);
  });
}
