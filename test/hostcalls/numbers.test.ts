/** Numbers of hostcalls: complete, and never another for what stored modules call by them. */

import { createHash } from 'node:crypto';
import t from 'tap';

import { HOSTCALL_PARAMETERS } from '../../contract/reserved.ts';
import type { Hostcall } from '../../hostcalls/define.ts';
import { HOSTCALL_NUMBERS, NUMBERED_HOSTCALLS } from '../../hostcalls/numbers.ts';
import { HOSTCALLS } from '../../hostcalls/tables.ts';

/** Of the numbers that modules were ever stored with. */
const RELEASED = '93f385ba30e8ab68cbccb247995c96663dd6d6a2f25747714c26ddf56304537c';

function fits({ waits, parameters, result }: Hostcall): boolean {
  return !waits && parameters.length <= HOSTCALL_PARAMETERS
    && parameters.every(({ type }) => type === 'i32') && (result === null || result === 'i32');
}

t.test('all hostcalls that can have a number have one, and no others', async (t) => {
  for (const [module, hostcalls] of HOSTCALLS) {
    for (const [name, called] of hostcalls) {
      const number = HOSTCALL_NUMBERS.get(module)?.get(name);
      t.equal(number !== undefined, fits(called),
        `${module} ${name}: new ones go to the end of hostcalls/numbers.ts`);
    }
  }
  for (const [module, name] of NUMBERED_HOSTCALLS) {
    t.ok(HOSTCALLS.get(module)?.has(name), `${module} ${name}: a number is never given up`);
  }
});

t.test('numbers stay what they were', async (t) => {
  const released = NUMBERED_HOSTCALLS.slice(0, 63).map(([module, name]) => `${module} ${name}`);
  t.equal(createHash('sha256').update(released.join('\n')).digest('hex'), RELEASED,
    'modules that are stored call by these numbers');
});
