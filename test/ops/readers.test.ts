/** Readers of the log: no tenant takes the places of others, or of the operator. */

import t from 'tap';

import {
  FOLLOWERS_OPERATOR_MAX, FOLLOWERS_PER_TENANT_MAX, FOLLOWERS_TENANTS_MAX,
} from '../../contract/limits.ts';
import { Readers } from '../../ops/readers.ts';

t.test('each tenant has its places, all have theirs, and so has the operator', async (t) => {
  const readers = new Readers();
  const enter = (tenant: string | undefined): (() => void) => {
    readers.assertRoom(tenant);
    return readers.enter(tenant);
  };
  const leaves = Array.from({ length: FOLLOWERS_PER_TENANT_MAX }, () => enter('loud'));
  t.throws(() => enter('loud'), { code: 'tenant_overloaded' });
  enter('quiet');
  for (let n = FOLLOWERS_PER_TENANT_MAX + 1; n < FOLLOWERS_TENANTS_MAX; n += 1) enter(`t${n}`);
  t.throws(() => enter('late'), { code: 'overloaded' });
  for (let n = 0; n < FOLLOWERS_OPERATOR_MAX; n += 1) enter(undefined);
  t.throws(() => enter(undefined), { code: 'overloaded' });
  for (const leave of leaves) leave();
  enter('late');
  enter('loud');
  t.throws(() => enter(undefined), { code: 'overloaded' });
});
