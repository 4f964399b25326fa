/** Who has the thread, as the main thread sees it. */

import t from 'tap';
import { HEARTBEAT_BYTES, Heartbeat } from '../../pool/heartbeat.ts';

function fresh(): { heartbeat: Heartbeat; shown: () => number[] } {
  const heartbeat = new Heartbeat(new SharedArrayBuffer(HEARTBEAT_BYTES));
  return {
    heartbeat,
    shown: () => [
      heartbeat.get('runningSequence'), heartbeat.get('runningDeadlineAt'),
      heartbeat.get('runningSince'),
    ],
  };
}

t.test('whoever entered last has it, and nobody else takes it away', async (t) => {
  const { heartbeat, shown } = fresh();
  heartbeat.enter(1, 100, 5);
  t.strictSame(shown(), [1, 100, 5]);
  heartbeat.enter(2, 200, 6);
  heartbeat.leave(1);
  t.strictSame(shown(), [2, 200, 6], 'the end of the one before is heard of late');
  heartbeat.leave(2);
  t.strictSame(shown(), [0, 0, 0]);
  heartbeat.leave(2);
  heartbeat.enter(3, 300, 7);
  heartbeat.clear();
  t.strictSame(shown(), [0, 0, 0]);
});
