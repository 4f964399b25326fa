/**
 * Writes the routes of `docs/admin.md` from the table that serves. `node
 * daemon/admin/documentation.ts` rewrites the file; a test holds it to the table.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { PACKAGE_ROOT } from '../../contract/entry.ts';
import { adminRoutes } from './admin.ts';
import type { AdminOptions } from './admin.ts';
import type { AdminRoute } from './route.ts';

const HEADING = '## Routes\n';

function needs({ path, access }: AdminRoute): string {
  if (!path.startsWith('/v1/')) return '';
  const { scope, operator } = access ?? { scope: 'read', operator: true };
  return operator === true ? `operator, \`${scope}\`` : `\`${scope}\``;
}

/** `page` with its table of routes as it is today; what stands before it is written by hand. */
export function adminPage(page: string): string {
  // The table is data: what its handlers work with is not touched.
  const routes = adminRoutes({} as unknown as AdminOptions);
  const rows = routes.map((route) =>
    `| \`${route.method} ${route.path}\` | ${needs(route)} | ${route.summary} |`);
  const before = page.slice(0, page.indexOf(HEADING));
  return `${before}${HEADING}
Lists come in pages: \`limit\` (at most 1,000) and \`after\`, which takes \`next\` of the page
before. Keys of entries are bytes: \`key\` takes text, \`key64\` base64url; answers show the one
that fits.

| route | needs | does |
|---|---|---|
${rows.join('\n')}
`;
}

const FILE = new URL('docs/admin.md', PACKAGE_ROOT);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(FILE, adminPage(readFileSync(FILE, 'utf8')));
}
