/**
 * DNS for guests: against a real server on loopback that answers well, badly, late and not at all.
 */

import { unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import packet from 'dns-packet';
import type { Answer, DecodedPacket } from 'dns-packet';
import t from 'tap';
import type { Test } from 'tap';
import { AnswerCache } from '../../../hostcalls/services/dns/answer-cache.ts';
import { HostsFile, parseHosts } from '../../../hostcalls/services/dns/hosts.ts';
import { normalizeName } from '../../../hostcalls/services/dns/message.ts';
import { nameservers } from '../../../hostcalls/services/dns/exchange.ts';
import { CachingResolver } from '../../../hostcalls/services/dns/resolver.ts';
import { dnsReply, dnsServer, reasonOf, recordA, scope } from './support.ts';
import type { DnsAnswering } from './support.ts';

const NO_HOSTS = '/nonexistent/hosts';

async function setUp(t: Test, answering: DnsAnswering, timeoutMs = 3_000) {
  const server = await dnsServer(t, answering);
  const resolver = new CachingResolver({
    servers: [server.address],
    hostsPath: NO_HOSTS,
    timeoutMs,
  });
  return { server, resolver };
}

const plain = (list: readonly Uint8Array[]): number[][] => list.map((bytes) => [...bytes]);
const refused = (query: DecodedPacket, rcode: number) => dnsReply(query, [], { flags: rcode });

t.test("addresses of both families, in the answer's order", async (t) => {
  const { server, resolver } = await setUp(t, (question, query) =>
    dnsReply(
      query,
      question.type === 'A'
        ? [recordA(question.name, '192.0.2.7'), recordA(question.name, '10.0.0.1')]
        : [{ type: 'AAAA', name: question.name, data: '2001:db8::7', ttl: 60 }],
    ),
  );
  const guest = scope();
  t.same(plain(await resolver.queryIp('Host.Example.', false, guest)), [
    [192, 0, 2, 7],
    [10, 0, 0, 1],
  ]);
  const [v6] = await resolver.queryIp('host.example', true, guest);
  t.equal(Buffer.from(v6 ?? []).toString('hex'), '20010db8000000000000000000000007');
  t.same(server.asked, ['udp A host.example', 'udp AAAA host.example']);
  t.equal(guest.dnsQueries, 2);
  t.same(await resolver.lookup('host.example', 1), ['192.0.2.7', '10.0.0.1', '2001:db8::7']);
});

t.test('aliases are followed within the answer, and nothing else is believed', async (t) => {
  const cname = (name: string, data: string): Answer => ({ type: 'CNAME', name, data, ttl: 60 });
  const { resolver, server } = await setUp(t, ({ name }, query) => {
    switch (name) {
      case 'www.example':
        return dnsReply(
          query,
          [
            recordA('victim.example', '6.6.6.6'),
            cname('www.example', 'B.example'),
            cname('b.example', 'c.example'),
            recordA('C.EXAMPLE', '192.0.2.1'),
          ],
          { additionals: [recordA('www.example', '6.6.6.6')] },
        );
      case 'loop.example':
        return dnsReply(query, [
          cname('loop.example', 'l2.example'),
          cname('l2.example', 'loop.example'),
        ]);
      case 'victim.example':
        return dnsReply(query, [recordA('victim.example', '192.0.2.9')]);
      default:
        return dnsReply(query, [recordA('other.example', '6.6.6.6')]);
    }
  });
  t.same(plain(await resolver.queryIp('www.example', false, scope())), [[192, 0, 2, 1]]);
  t.same(await resolver.queryIp('loop.example', false, scope()), []);
  t.same(await resolver.queryIp('mine.example', false, scope()), []);
  t.same(plain(await resolver.queryIp('victim.example', false, scope())), [[192, 0, 2, 9]]);
  t.ok(server.asked.includes('udp A victim.example'), 'what came unasked was not cached');
});

t.test('literals, localhost and malformed names are not asked about', async (t) => {
  const { server, resolver } = await setUp(t, () => null);
  const guest = scope();
  t.same(plain(await resolver.queryIp('1.2.3.4', false, guest)), [[1, 2, 3, 4]]);
  t.same(await resolver.queryIp('1.2.3.4', true, guest), []);
  t.equal((await resolver.queryIp('::1', true, guest))[0]?.length, 16);
  t.same(plain(await resolver.queryIp('LOCALHOST', false, guest)), [[127, 0, 0, 1]]);
  t.equal((await resolver.queryIp('a.localhost', true, guest))[0]?.[15], 1);
  const bad = [
    '',
    '.',
    '..',
    'a..b',
    '.a',
    'a b',
    'a\0b',
    'a/b',
    `${'a'.repeat(64)}.b`,
    'a.'.repeat(130),
    'x'.repeat(9_999),
    'a_é\u0000',
    'a:b',
  ];
  for (const name of bad) {
    t.equal(
      await reasonOf(resolver.queryIp(name, false, scope())),
      'bad_query',
      JSON.stringify(name.slice(0, 20)),
    );
  }
  t.same(server.asked, []);
  t.equal(normalizeName('Bücher.Example.'), 'xn--bcher-kva.example');
  t.equal(normalizeName('_dmarc.a-b.example'), '_dmarc.a-b.example');
  t.equal(
    normalizeName(`${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`)
      ?.length,
    253,
  );
});

t.test('the hosts file comes first, and is read again when it changes', async (t) => {
  const { server } = await setUp(t, () => null);
  const hostsPath = join(
    t.testdir({ hosts: '# comment\n10.1.2.3 db Db.Internal # x\n::5 db\nbad line\n' }),
    'hosts',
  );
  const resolver = new CachingResolver({ servers: [server.address], hostsPath });
  t.same(plain(await resolver.queryIp('DB', false, scope())), [[10, 1, 2, 3]]);
  t.equal((await resolver.queryIp('db', true, scope()))[0]?.[15], 5);
  t.same(await resolver.queryIp('db.internal', true, scope()), []);
  const file = new HostsFile(hostsPath, -1);
  t.same(await file.lookup('db'), ['10.1.2.3', '::5']);
  await writeFile(hostsPath, '10.9.9.9 db more\n');
  t.same(await file.lookup('db'), ['10.9.9.9']);
  t.same(await file.lookup('more'), ['10.9.9.9']);
  await unlink(hostsPath);
  t.equal(await file.lookup('db'), undefined);
  t.same(server.asked, []);
  t.same(
    [...parseHosts('1.2.3.4\ta  b\n\n1.2.3.5 a').entries()],
    [
      ['a', ['1.2.3.4', '1.2.3.5']],
      ['b', ['1.2.3.4']],
    ],
  );
});

t.test('answers are cached for their time to live, equal lookups are shared', async (t) => {
  const { server, resolver } = await setUp(t, (question, query) => {
    if (question.name === 'none.example') return refused(query, 3);
    const ttl = question.name === 'zero.example' ? 0 : 300;
    return dnsReply(query, [recordA(question.name, '192.0.2.1', ttl)]);
  });
  const ask = (name: string) => resolver.queryIp(name, false, scope());
  await Promise.all(Array.from({ length: 20 }, () => ask('shared.example')));
  await ask('shared.example');
  t.equal(server.asked.length, 1);
  await ask('zero.example');
  await ask('zero.example');
  t.equal(server.asked.length, 3, 'a TTL of zero is not cached');
  t.equal(await reasonOf(ask('none.example')), 'not_found');
  t.equal(await reasonOf(ask('none.example')), 'not_found');
  t.equal(server.asked.length, 4, 'that a name does not exist is remembered');
  t.equal(await reasonOf(resolver.lookup('none.example', 1)), 'not_found');
});

t.test('forged and malformed answers are passed over', async (t) => {
  const { server, resolver } = await setUp(t, (question, query) => {
    const wrong = (extra: object) =>
      packet.encode({
        ...dnsReply(query, [recordA(question.name, '6.6.6.6')]),
        ...extra,
      });
    const notAnAnswer = packet.encode({
      type: 'query',
      id: query.id ?? 0,
      questions: query.questions ?? [],
    });
    return [
      Buffer.from('x'),
      Buffer.alloc(12),
      wrong({ id: ((query.id ?? 0) + 1) & 0xffff }),
      wrong({ questions: [] }),
      wrong({ questions: [{ type: 'A', name: 'other.example' }] }),
      wrong({ questions: [{ type: 'TXT', name: question.name }] }),
      notAnAnswer,
      packet.encode(dnsReply(query, [recordA(question.name, '192.0.2.1')])),
    ];
  });
  t.same(plain(await resolver.queryIp('forged.example', false, scope())), [[192, 0, 2, 1]]);
  const names = Array.from({ length: 16 }, (_, index) => `n${index}.example`);
  await Promise.all(names.map((name) => resolver.queryIp(name, false, scope())));
  t.ok(server.ids.size > 12, `${server.ids.size} ids for 17 queries`);
  t.ok(server.ports.size > 12, `${server.ports.size} source ports for 17 queries`);
});

t.test('an answer that cannot be parsed is a failure of the server', async (t) => {
  const { resolver } = await setUp(t, (_question, query) => {
    const answer = packet.encode(dnsReply(query, []));
    answer.writeUInt16BE(40, 6);
    return Buffer.concat([answer, Buffer.from([0xc0, 0xff, 1, 2, 3])]);
  });
  t.equal(await reasonOf(resolver.queryIp('broken.example', false, scope())), 'server_failure');
});

t.test('truncated answers are asked for again over TCP', async (t) => {
  const many = Array.from({ length: 200 }, (_, index) => `10.0.${index}.1`);
  const { server, resolver } = await setUp(t, (question, query, transport) =>
    transport === 'udp'
      ? dnsReply(query, [], { flags: packet.TRUNCATED_RESPONSE })
      : dnsReply(
          query,
          many.map((address) => recordA(question.name, address)),
        ),
  );
  const list = await resolver.queryIp('many.example', false, scope());
  t.equal(list.length, 64, 'of very many addresses some are enough');
  t.same(server.asked, ['udp A many.example', 'tcp A many.example']);
  const query = packet.encode({
    type: 'query',
    id: 77,
    questions: [{ type: 'A', name: 'many.example' }],
  });
  const raw = packet.decode(Buffer.from(await resolver.queryRaw(query, scope())));
  t.equal(raw.answers?.length, 200, 'a raw answer is whole');
});

t.test('a lost packet is sent again, a dead server is passed over', async (t) => {
  let dropped = 0;
  const { server, resolver } = await setUp(t, (question, query) => {
    dropped += 1;
    return dropped === 1 ? null : dnsReply(query, [recordA(question.name, '192.0.2.1')]);
  });
  t.same(plain(await resolver.queryIp('lossy.example', false, scope())), [[192, 0, 2, 1]]);
  t.equal(dropped, 2);
  const failing = await dnsServer(t, (_question, query) => refused(query, 2));
  const two = new CachingResolver({
    servers: [failing.address, server.address],
    hostsPath: NO_HOSTS,
  });
  t.same(plain(await two.queryIp('second.example', false, scope())), [[192, 0, 2, 1]]);
  await two.queryIp('third.example', false, scope());
  t.equal(failing.asked.length, 1, 'the one that answered is asked first from then on');
  const alone = new CachingResolver({ servers: [failing.address], hostsPath: NO_HOSTS });
  t.equal(await reasonOf(alone.queryIp('a.example', false, scope())), 'server_failure');
});

t.test('silence ends with the time limit', async (t) => {
  const { resolver } = await setUp(t, () => null, 200);
  t.equal(await reasonOf(resolver.queryIp('silent.example', false, scope())), 'timeout');
  t.equal(await reasonOf(resolver.lookup('silent.example', 1)), 'timeout');
});

t.test('a server that cannot even be sent to is a failure of the server', async (t) => {
  // Connecting to the broadcast address is refused by the system, at once.
  const resolver = new CachingResolver({ servers: ['255.255.255.255'], hostsPath: NO_HOSTS });
  t.equal(await reasonOf(resolver.queryIp('a.example', false, scope())), 'server_failure');
  const query = packet.encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'a.b' }] });
  t.equal(await reasonOf(resolver.queryRaw(query, scope())), 'server_failure');
});

t.test('a late second family does not hold up the first', async (t) => {
  const { resolver } = await setUp(
    t,
    (question, query) =>
      question.type === 'A' ? dnsReply(query, [recordA(question.name, '192.0.2.1')]) : null,
    60_000,
  );
  t.same(await resolver.lookup('dual.example', 1), ['192.0.2.1']);
});

t.test('raw queries: id restored, everything else as it came', async (t) => {
  const { server, resolver } = await setUp(t, (question, query) =>
    dnsReply(query, [{ type: 'TXT', name: question.name, data: ['hello'], ttl: 1 }]),
  );
  const query = packet.encode({
    type: 'query',
    id: 0xbeef,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type: 'TXT', name: 'Text.Example' }],
  });
  const before = Buffer.from(query);
  const answer = packet.decode(Buffer.from(await resolver.queryRaw(query, scope())));
  t.equal(answer.id, 0xbeef);
  t.match(answer.answers, [{ type: 'TXT', name: 'Text.Example' }]);
  t.ok(before.equals(query), "the guest's message is not written to");
  t.same(server.asked, ['udp TXT Text.Example']);
  const missing = await setUp(t, (_question, asked) => refused(asked, 3));
  const nothing = packet.decode(Buffer.from(await missing.resolver.queryRaw(query, scope())));
  t.equal((nothing as { rcode?: string }).rcode, 'NXDOMAIN', 'a "no" is an answer');
});

t.test('raw answers are kept by their question, and age', async (t) => {
  let now = 1_000;
  const cache = new AnswerCache(() => now);
  const query = (id: number, name = 'a.example', flags = packet.RECURSION_DESIRED) =>
    packet.encode({ type: 'query', id, flags, questions: [{ type: 'TXT', name }] });
  const opt = {
    type: 'OPT' as const, name: '.' as const, udpPayloadSize: 4096, flags: 0, options: [],
    extendedRcode: 0, ednsVersion: 0, flag_do: false,
  };
  const answer = packet.encode(dnsReply(packet.decode(query(7)), [
    { type: 'TXT', name: 'a.example', data: ['x'], ttl: 60 },
    { type: 'TXT', name: 'a.example', data: ['y'], ttl: 90 },
  ], { additionals: [opt] }));
  cache.keep(query(7), answer);
  const found = (id: number) => {
    const bytes = cache.find(query(id));
    if (bytes === null) return null;
    const { id: under, answers } = packet.decode(bytes);
    return [under, ...(answers ?? []).map((one) => (one as { ttl?: number }).ttl)];
  };
  t.same(found(9), [9, 60, 90]);
  t.equal(cache.find(query(9, 'A.example')), null, 'case is part of the question');
  t.equal(cache.find(query(9, 'a.example', 0)), null, 'so are flags');
  now += 30_500;
  t.same(found(0xffff), [0xffff, 30, 60], 'what is left');
  t.ok(cache.find(query(7))?.subarray(-11).equals(answer.subarray(-11)), 'OPT is left alone');
  now += 29_600;
  t.equal(found(1), null, 'the shortest life counts');

  const keeps = (change: (bytes: Buffer) => void, from: Buffer = answer): boolean => {
    const bytes = Buffer.from(from);
    const fresh = new AnswerCache(() => now);
    change(bytes);
    fresh.keep(query(7), bytes);
    return fresh.find(query(7)) !== null;
  };
  t.ok(keeps(() => {}));
  t.notOk(keeps((bytes) => bytes.writeUInt16BE(0x8182, 2)), 'a failure');
  t.notOk(keeps((bytes) => bytes.writeUInt16BE(40, 6)), 'records that are not there');
  t.notOk(keeps(() => {}, Buffer.concat([answer, Buffer.of(0)])), 'bytes behind');
  t.notOk(keeps(() => {}, answer.subarray(0, -1)), 'cut off');
  const dead = packet.encode(dnsReply(packet.decode(query(7)), [
    { type: 'TXT', name: 'a.example', data: ['x'], ttl: 0 },
  ]));
  t.notOk(keeps(() => {}, dead), 'a life of no time');
  t.notOk(keeps(() => {}, packet.encode(dnsReply(packet.decode(query(7)), []))), 'no records');
});

t.test('a raw question that was answered is not asked again', async (t) => {
  const { server, resolver } = await setUp(t, (question, query) => (
    question.name === 'none.example' ? refused(query, 3)
      : dnsReply(query, [recordA(question.name, '192.0.2.1')])));
  const ask = async (id: number, name: string): Promise<number> => {
    const query = packet.encode({ type: 'query', id, questions: [{ type: 'A', name }] });
    return Buffer.from(await resolver.queryRaw(query, scope())).readUInt16BE();
  };
  t.equal(await ask(1, 'a.example'), 1);
  t.equal(await ask(2, 'a.example'), 2);
  t.equal(server.asked.length, 1);
  await ask(3, 'none.example');
  await ask(4, 'none.example');
  t.equal(server.asked.length, 3, 'a bare "no" says nothing of its life');
});

t.test('raw messages that are not plain queries are refused', async (t) => {
  const { server, resolver } = await setUp(t, () => null);
  const question = { type: 'A' as const, name: 'x.example' };
  const good = packet.encode({ type: 'query', id: 1, questions: [question] });
  const changed = (change: (message: Buffer) => void): Buffer => {
    const copy = Buffer.from(good);
    change(copy);
    return copy;
  };
  const cases: Record<string, Uint8Array> = {
    empty: new Uint8Array(),
    short: good.subarray(0, 11),
    'cut off': good.subarray(0, good.length - 1),
    'bytes behind': Buffer.concat([good, Buffer.from('x')]),
    'too long': Buffer.alloc(4_097),
    'an answer': packet.encode({ type: 'response', id: 1, questions: [question] }),
    'two questions': packet.encode({ type: 'query', id: 1, questions: [question, question] }),
    'no question': packet.encode({ type: 'query', id: 1 }),
    'with an answer': packet.encode({
      type: 'query',
      id: 1,
      questions: [question],
      answers: [recordA('x', '1.1.1.1')],
    }),
    'an update': changed((message) => {
      message[2] = 0x28;
    }),
    'a notify': changed((message) => {
      message[2] = 0x20;
    }),
    'class CHAOS': changed((message) => {
      message[message.length - 1] = 3;
    }),
    'a zone transfer': changed((message) => {
      message[message.length - 3] = 252;
    }),
    'an incremental transfer': changed((message) => {
      message[message.length - 3] = 251;
    }),
    'a compressed name': changed((message) => {
      message[12] = 0xc0;
    }),
    'a record behind': packet.encode({
      type: 'query',
      id: 1,
      questions: [question],
      additionals: [recordA('x', '1.1.1.1')],
    }),
  };
  for (const [name, message] of Object.entries(cases)) {
    t.equal(await reasonOf(resolver.queryRaw(message, scope())), 'bad_query', name);
  }
  t.same(server.asked, []);
});

t.test('a raw query may carry EDNS', async (t) => {
  const { resolver } = await setUp(t, (question, query) =>
    dnsReply(query, [recordA(question.name, '192.0.2.1')]),
  );
  const query = packet.encode({
    type: 'query',
    id: 9,
    questions: [{ type: 'A', name: 'edns.example' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 4096,
        flags: 0,
        options: [],
        extendedRcode: 0,
        ednsVersion: 0,
        flag_do: false,
      },
    ],
  });
  t.equal((await resolver.queryRaw(query, scope())).length > 12, true);
});

t.test('limits: per guest, per tenant, and the end of the guest', async (t) => {
  const { server, resolver } = await setUp(t, () => null, 300);
  const guest = scope({ dnsQueries: 2 });
  await reasonOf(resolver.queryIp('localhost', false, guest));
  await reasonOf(resolver.queryIp('bad..name', false, guest));
  t.equal(await reasonOf(resolver.queryIp('localhost', false, guest)), 'too_many');
  t.equal(await reasonOf(resolver.queryRaw(new Uint8Array(), guest)), 'too_many');
  t.equal(guest.dnsQueries, 2);

  const ended = scope();
  const cancelled = resolver.queryIp('slow.example', false, ended);
  ended.abort();
  t.equal(await reasonOf(cancelled), 'aborted');
  t.equal(await reasonOf(resolver.queryIp('localhost', false, ended)), 'aborted');

  const greedy = Array.from({ length: 80 }, (_, index) =>
    reasonOf(resolver.queryIp(`n${index}.example`, false, scope({}, 7))),
  );
  const other = reasonOf(resolver.queryIp('other.example', false, scope({}, 8)));
  const reasons = await Promise.all(greedy);
  t.equal(reasons.filter((reason) => reason === 'timeout').length, 64);
  t.equal(reasons.filter((reason) => reason === 'too_many').length, 16);
  t.equal(await other, 'timeout', 'another tenant is not affected');
  t.equal(
    await reasonOf(resolver.queryIp('again.example', false, scope({}, 7))),
    'timeout',
    'all are given back',
  );
  t.ok(server.asked.length > 64);
});

t.test('addresses of servers', async (t) => {
  t.same(nameservers(['1.1.1.1', '1.1.1.1:5353', '::1', '[::1]:54', '[2606:4700::1]']), [
    { address: '1.1.1.1', port: 53 },
    { address: '1.1.1.1', port: 5353 },
    { address: '::1', port: 53 },
    { address: '::1', port: 54 },
    { address: '2606:4700::1', port: 53 },
  ]);
  for (const bad of ['dns.example', '1.1.1.1:0', '1.1.1.1:99999', '', '[::1', '1.1.1.1:x']) {
    t.throws(() => nameservers([bad]), /not the address of a DNS server/);
  }
  t.ok(nameservers([]).length > 0);
});
