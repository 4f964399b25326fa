/**
 * Every engine against the one contract, and how an engine is chosen.
 */

import t from 'tap';

import { AUTO_ENGINES, listen } from '../../../daemon/listen/listener.ts';
import type { EngineName } from '../../../daemon/listen/listener.ts';
import { loadHyperExpress } from '../../../daemon/listen/uws-engine.ts';
import { conformance } from './conformance.ts';

t.setTimeout(120_000);
const loaded = loadHyperExpress();
const missing = typeof loaded === 'string' ? loaded : '';

t.test('node:net', (child) => conformance(child, 'node:net'));
t.test('node:http', (child) => conformance(child, 'node:http'));

if (missing === '') {
  t.test('uwebsockets', (child) => conformance(child, 'uwebsockets'));
} else if (process.env['CI'] === 'true') {
  t.fail(`CI must have the uwebsockets engine: ${missing}`);
} else {
  t.comment(`uwebsockets: skipped, the engine does not load here: ${missing}`);
}

t.test('the choice of an engine', async (child) => {
  const loads = (engine: EngineName): boolean => engine !== 'uwebsockets' || missing === '';
  const listener = await listen({ host: '127.0.0.1', port: 0 }, () => {});
  child.teardown(() => listener.close());
  child.equal(listener.engine, AUTO_ENGINES.find(loads));
  child.equal(listener.engineNote !== '', !loads(AUTO_ENGINES[0] as EngineName), 'it says why');
  for (const engine of ['node:net', 'node:http', 'uwebsockets'] as const) {
    const forced = listen({ host: '127.0.0.1', port: 0, engine }, () => {});
    if (loads(engine)) {
      child.equal((await forced).engine, engine);
      await (await forced).close();
    } else {
      await child.rejects(forced, { message: new RegExp(`${engine} does not load: .`) });
    }
  }
});
