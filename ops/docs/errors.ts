/**
 * Writes `docs/errors.md` from the error table. `node ops/docs/errors.ts` rewrites the file; a test
 * holds it to the table.
 */

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { PACKAGE_ROOT } from '../../contract/entry.ts';
import { ERRORS } from '../../contract/errors.ts';

const HEAD = `# Errors

Every answer that Wardian itself gives to a failed request carries \`wardian-error: <code>\`, the
request's id, and one line of text. The codes are stable; none is ever reused.

One has the status 200, since no request fails with it: \`log_bytes_exhausted\`. The guest's answer
is sent as it is; the access log (\`limit\`, \`logOverBytes\`), the guest's log (a line of source
\`wardian\`) and, for an app in debug mode, the header \`wardian-limit\` say what the limit is and
what was used.

The fault says who can mend it: \`client\` (the request), \`tenant\` (the guest, or its limits),
\`upstream\`, or \`platform\` (the operator).

| code | status | fault | meaning |
|---|---|---|---|
`;

export function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, fault, meaning }]) => `| \`${code}\` | ${status} | ${fault} | ${meaning} |`,
  );
  return `${HEAD}${rows.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('docs/errors.md', PACKAGE_ROOT), errorsPage());
}
