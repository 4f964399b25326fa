/** A run's time is told to the watchdog from its very beginning. */

import t from 'tap';
import type { RequestMessage } from '../../contract/messages.ts';
import type { Guest } from '../../hostcalls/index.ts';
import { HEARTBEAT_BYTES, Heartbeat } from '../../pool/heartbeat.ts';
import { GuestRun, type Thread } from '../../pool/instance.ts';
import type { Served } from '../../pool/module-cache.ts';

t.test('instantiation counts as the guest holding the thread', async (t) => {
  const heartbeat = new Heartbeat(new SharedArrayBuffer(HEARTBEAT_BYTES));
  const seen: number[] = [];
  const thread = {
    heartbeat,
    host: {
      open(): Guest {
        seen.push(heartbeat.get('runningDeadlineAt'), heartbeat.get('runningSince'));
        throw new RangeError('no room');
      },
    },
    heap: { release: () => {} },
    settled: () => {},
    onInternalError: () => {},
  } as unknown as Thread;
  const run = new GuestRun(thread, { sequence: 7, deadlineAt: 1_234 } as RequestMessage, null);
  run.begin({ limits: {} } as Served);
  t.equal(seen[0], 1_234);
  t.ok((seen[1] ?? 0) > 0);
  t.equal(heartbeat.get('runningDeadlineAt'), 0, 'and not after its end');
  t.equal(run.reply?.failure?.code, 'internal');
});
