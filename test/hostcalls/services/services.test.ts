/**
 * The services as a worker makes them: from its settings, with nothing under way until a guest
 * asks.
 */

import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import type { GuestLogLine } from '../../../contract/messages.ts';
import { createServices } from '../../../hostcalls/services/index.ts';
import { LIMITS, dnsReply, dnsServer, get, httpUpstream, reasonOf, recordA } from './support.ts';

t.test("one set of services, from the worker's settings", async (t) => {
  const dns = await dnsServer(t, (question, query) =>
    dnsReply(query, question.type === 'A' ? [recordA(question.name, '127.0.0.1')] : []),
  );
  const upstream = await httpUpstream(t, (_request, response) => response.end('ok'));
  const { port1, port2 } = new MessageChannel();
  t.teardown(() => port1.close());
  const lines: GuestLogLine[] = [];
  const services = createServices({
    settings: {
      databasePath: join(t.testdir({}), 'none.db'),
      egressAllow: ['127.0.0.0/8'],
      dnsServers: [dns.address],
    },
    storePort: port2,
    log: (line) => lines.push(line),
  });
  const guest = services.openSubrequests(3, LIMITS);
  const url = `http://service.example:${upstream.port}/`;
  const answer = await services.http.fetchUpstream(get(url), guest);
  t.equal(Buffer.from(answer.body).toString(), 'ok');
  t.equal((await services.dns.queryIp('service.example', false, guest)).length, 1);
  t.equal(dns.asked.length, 2, 'the same cache serves connections and guests');
  t.match(guest, { tenantId: 3, subrequests: 1, dnsQueries: 1, bytes: 2, aborted: false });
  const log = services.openLog(5, 'r', 100);
  log.line('debug', 'text');
  t.match(lines, [{ versionId: 5, requestId: 'r', text: 'text' }]);
  t.ok(services.clock.realtimeNanos() > 0n);
  t.type(services.random.nextU64(), 'bigint');
  t.throws(() => services.kv.get(1, new Uint8Array(1)), /could not be read/);
  await services.close();
  t.equal(await reasonOf(services.http.open(get(url), guest)), 'aborted');
});

t.test('wrong settings are told at once', async (t) => {
  const make = (settings: object) => () =>
    createServices({
      settings: { databasePath: '', egressAllow: [], dnsServers: [], ...settings },
      storePort: new MessageChannel().port1,
      log: () => {},
    });
  t.throws(make({ egressAllow: ['10.0.0.0/99'] }), /not an address range/);
  t.throws(make({ dnsServers: ['dns.example'] }), /not the address of a DNS server/);
});
