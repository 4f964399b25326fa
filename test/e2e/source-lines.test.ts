/**
 * A guest deployed as source traps, and its failure report names the line: through the daemon, its
 * builder, and `wardian failures show`.
 */

import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import t from 'tap';

import { skipWithout } from '../harness/tools.ts';
import { startFor, until } from './world.ts';

const SOURCE = `#include "http_hostcalls.h"
static volatile int zero;
static __attribute__((noinline)) int divide(int by) {
  return 7 / by; /* HERE */
}
void run(void) {
  hostcall_resp_set_response_code(RESPONSE_OUTGOING, divide(zero));
}
`;

interface Report {
  readonly backtrace: readonly string[];
  readonly lines: readonly ({ readonly source: string; readonly line: number } | null)[];
}

t.setTimeout(240_000);

t.test('the line of a trap', { skip: skipWithout('clang') }, async (t) => {
  const daemon = await startFor(t, { environment: { WARDIAN_BUILD_LANGUAGES: 'c' } });
  const archive = pack();
  archive.entry({ name: 'src.c' }, SOURCE);
  archive.finalize();
  const tar = await buffer(archive);
  const events = await daemon.tryDeploy('broken', tar, '?language=c', 'application/x-tar');
  t.match(events.at(-1), { stage: 'done' });
  const answer = await daemon.ask('broken.localhost');
  t.equal(answer.status, 500);
  t.equal(answer.headers['wardian-error'], 'guest_trap');
  const listed = await daemon.admin('GET', '/v1/failures');
  const { failures } = JSON.parse(listed.text) as { failures: { id: string }[] };
  t.equal(failures.length, 1);
  const path = `/v1/failures/${failures[0]?.id}`;
  let report: Report = { backtrace: [], lines: [] };
  await until('the lines are found', async () => {
    report = JSON.parse((await daemon.admin('GET', path)).text) as Report;
    return report.lines.length > 0;
  });
  t.match(report.backtrace[0], /^divide@0x/);
  t.match(report.lines[0], {
    source: /src\.c$/, line: SOURCE.split('\n').findIndex((line) => line.includes('HERE')) + 1,
  });
  t.equal(await daemon.stop(), 0);
});
