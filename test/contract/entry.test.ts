/** What of the process's own flags reaches the threads that run guests. */

import t from 'tap';

import { BARE_THREAD, threadFlags } from '../../contract/entry.ts';

t.test('flags about connections, with values of their own', async (t) => {
  t.strictSame(threadFlags([
    '--import', 'a-loader', '--tls-min-v1.3', '--dns-result-order', 'ipv6first', '--no-warnings',
    '--use-system-ca', '--no-network-family-autoselection', '--tls-cipher-list=A:B', 'script.js',
  ]), [
    '--tls-min-v1.3', '--dns-result-order', 'ipv6first', '--use-system-ca',
    '--no-network-family-autoselection', '--tls-cipher-list=A:B',
  ]);
});

t.test('nothing of the environment', async (t) => {
  t.strictSame(BARE_THREAD.env, { NODE_ENV: 'production' });
  t.notOk(BARE_THREAD.execArgv.some((flag) => flag.startsWith('--import')),
    'this test runs with some');
  t.ok(process.execArgv.some((flag) => flag.startsWith('--import')));
});
