/** The committed example modules do what their sources say, and the list of them is sound. */

import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';

import { EXAMPLES, sourceFolder, wasmPath } from '../../guests/build/example.ts';
import { BEHAVIOURS } from './behaviour.ts';

t.test('the list names each example once, by a DNS label, with its module', async (t) => {
  const names = EXAMPLES.map(({ name }) => name);
  t.equal(new Set(names).size, names.length);
  t.strictSame(names.toSorted(), Object.keys(BEHAVIOURS).toSorted());
  for (const example of EXAMPLES) {
    t.match(example.name, /^[a-z][a-z0-9-]{0,62}$/);
    t.ok(existsSync(sourceFolder(example)), sourceFolder(example));
    t.not(example.description, '');
  }
});

for (const example of EXAMPLES) {
  t.test(`${example.name} behaves`, async (t) => {
    BEHAVIOURS[example.name]?.(t, readFileSync(wasmPath(example)));
  });
}

t.test('no module says where it was built', async (t) => {
  for (const example of EXAMPLES) {
    const text = readFileSync(wasmPath(example)).toString('latin1');
    t.notMatch(text, /\/(home|root|work|tmp|Users|builds)\//, example.name);
  }
});
