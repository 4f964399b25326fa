/** The page of settings is what its generator writes today, and leaves no setting out. */

import { readFileSync } from 'node:fs';
import t from 'tap';

import { LIMIT_NAMES, SETTING_NAMES, SETTINGS_HELP } from '../../daemon/config.ts';
import { configurationPage } from '../../daemon/configuration-page.ts';

t.test('docs/configuration.md follows the settings', async (t) => {
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  t.equal(page, configurationPage(), 'run: node daemon/configuration-page.ts');
  for (const name of [...SETTING_NAMES, ...LIMIT_NAMES]) t.match(page, `| \`${name}\` |`);
  for (const { flag, help } of SETTINGS_HELP) t.not(help, '', `${flag} has a word of help`);
});
