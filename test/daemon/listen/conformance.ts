/**
 * The contract of a listener, run against an engine. What an engine is known to do otherwise stands
 * in one table, case by case: a difference that goes away or a new one fails the suite.
 */

import type { EngineName } from '../../../daemon/listen/listener.ts';
import { connectionCases } from './connections.ts';
import { DIFFERENCES } from './differences.ts';
import { drainingCases } from './draining.ts';
import { framingCases } from './framing.ts';
import { heldCases } from './held.ts';
import { limitCases } from './limits.ts';
import { messageCases } from './messages.ts';
import { stormCases } from './storm.ts';
import { streamingCases } from './streaming.ts';
import type { Suite, Test } from './suite.ts';
import { uploadCases } from './uploads.ts';

export async function conformance(t: Test, engine: EngineName): Promise<void> {
  const differences = DIFFERENCES[engine];
  const asked = new Set<string>();
  const suite: Suite = {
    engine,
    differs(name) {
      asked.add(name);
      return differences.get(name);
    },
  };
  const cases = [
    ...messageCases, ...framingCases, ...limitCases, ...connectionCases, ...streamingCases,
    ...uploadCases, ...heldCases, ...drainingCases, ...stormCases,
  ];
  for (const { name, run } of cases) {
    await t.test(name, { timeout: 60_000 }, (child) => run(child, suite));
  }
  for (const name of differences.keys()) {
    t.ok(asked.has(name), `the difference ${JSON.stringify(name)} belongs to a case`);
  }
}
