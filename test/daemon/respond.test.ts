/** What an app in debug mode has in its answers beside them, and others have not. */

import t from 'tap';
import type { Route } from '../../contract/deployment.ts';
import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import type { Failure, ReplyMessage } from '../../contract/messages.ts';
import { replyAnswer } from '../../daemon/respond.ts';
import { NO_USAGE } from '../../pool/replies.ts';

const route = (debug: boolean): Route => ({
  debug, limits: { ...REQUEST_LIMITS_DEFAULT, logBytes: 100 },
}) as Route;

const reply = (
  failure: Failure | null, usage: Partial<ReplyMessage['usage']> = {},
): ReplyMessage => ({
  status: 200, headers: ['x-own', '1'], body: null, relay: null, failure,
  usage: { ...NO_USAGE, fuel: 7, memoryBytes: 65_536, ...usage },
});

function headersOf(of: ReplyMessage, debug = true): Record<string, string> {
  const { headers } = replyAnswer(of, route(debug), 'r1');
  const all: Record<string, string> = {};
  for (let i = 0; i < headers.length; i += 2) all[headers[i]!] = headers[i + 1]!;
  return all;
}

t.test('fuel and memory, in debug mode only', async (t) => {
  t.match(headersOf(reply(null)), {
    'x-own': '1', 'wardian-fuel': '7', 'wardian-memory': '65536', 'wardian-limit': undefined,
  });
  t.strictSame(headersOf(reply(null, { logOverBytes: 1 }), false), { 'x-own': '1' });
});

t.test('fuel that is the least that was used has another name', async (t) => {
  const trap = { code: 'guest_trap', message: 'm', backtrace: [], lastHostcall: null } as const;
  t.match(headersOf(reply(trap)), { 'wardian-error': 'guest_trap', 'wardian-fuel': '7' });
  const hidden = headersOf(reply({ ...trap, fuelIsAtLeast: true }));
  t.equal(hidden['wardian-fuel-at-least'], '7');
  t.notOk('wardian-fuel' in hidden);
  t.notOk('wardian-memory' in headersOf(reply(trap), false));
});

t.test('a log over its limit: which limit, its value, and what was used', async (t) => {
  t.equal(headersOf(reply(null, { logBytes: 99, logOverBytes: 41 }))['wardian-limit'],
    'log_bytes_exhausted: logged 99 bytes, and 41 more were over the limit of 100 bytes per '
    + 'request, of which each line takes one as well');
});
