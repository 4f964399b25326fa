/** The page of the admin API is what its generator writes today. */

import { readFileSync } from 'node:fs';
import t from 'tap';

import { adminPage } from '../../../daemon/admin/documentation.ts';

t.test('docs/admin.md follows the table of routes', async (t) => {
  const page = readFileSync(new URL('../../../docs/admin.md', import.meta.url), 'utf8');
  t.equal(page, adminPage(page), 'run: node daemon/admin/documentation.ts');
  t.match(page, '| `PUT /v1/apps/{label}/split` | `deploy` |');
});
