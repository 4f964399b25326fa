/** Generated pages are what their generators write today. */

import { readFileSync } from 'node:fs';
import t from 'tap';

import { errorsPage } from '../../ops/docs/errors.ts';
import { metricsPage } from '../../ops/docs/metrics.ts';

t.test('docs/errors.md follows the error table', async (t) => {
  const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  t.equal(page, errorsPage(), 'run: node ops/docs/errors.ts');
});

t.test('docs/metrics.md follows the metric table', async (t) => {
  const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  t.equal(page, metricsPage(), 'run: node ops/docs/metrics.ts');
});
