/** Names that cannot be resolved: the guest is told, and its thread serves on. */

import t from 'tap';

import { example, startFor } from './world.ts';

t.test('a resolver that cannot be reached', async (t) => {
  const daemon = await startFor(t, {
    // Connecting to the broadcast address is refused by the system, at once.
    flags: ['--threads', '1', '--dns-servers', '255.255.255.255:53'],
  });
  await daemon.deploy('proxy', example('proxy'));
  await daemon.deploy('hello', example('hello-rust'));
  for (let i = 0; i < 3; i += 1) {
    const answer = await daemon.ask('proxy.localhost', '/?url=http://name.example/');
    t.equal(answer.status, 502);
    t.match(answer.text, /could not be fetched/, "the guest's own words");
    t.equal((await daemon.ask('hello.localhost')).status, 200);
  }
  t.notOk(daemon.log.some((line) => String(line['msg']).startsWith('worker lost')));
  t.equal(await daemon.stop(), 0);
});
