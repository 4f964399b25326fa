/** The egress policy: by table, and with sockets that must not be opened. */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { EgressPolicy } from '../../../hostcalls/services/egress/policy.ts';
import {
  dnsReply,
  dnsServer,
  get,
  httpUpstream,
  reasonOf,
  recordA,
  scope,
  upstreamClient,
} from './support.ts';

const DENIED = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.0.1',
  '169.254.169.254',
  '168.63.129.16',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.0.192',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::7f00:1',
  '::8.8.8.8',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '::ffff:0:8.8.8.8',
  '64:ff9b::7f00:1',
  '64:ff9b::8.8.8.8',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:0:4137:9e76::1',
  '2001:2::1',
  '2001:10::1',
  '2001:20::1',
  '2001:db8::1',
  '2002:7f00:1::1',
  '2002:808:808::1',
  '3fff::1',
  '5f00::1',
  'fc00::1',
  'fd00:ec2::254',
  'fdff::1',
  'fe80::1',
  'fe80::1%eth0',
  'febf::1',
  'fec0::1',
  'ff02::1',
  'ff0e::1',
  '4000::1',
  '8000::1',
  '1::1',
  '200::1',
  '127.1',
  '0x7f000001',
  'not an address',
  '',
  'localhost',
  '1.2.3.4.5',
];
const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.1',
  '169.253.255.255',
  '169.255.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '2606:4700:4700::1111',
  '2a00::1',
  '2001:4860:4860::8888',
  '2003::1',
  '3ffe::1',
];

t.test('only public unicast addresses pass', async (t) => {
  const policy = new EgressPolicy([]);
  for (const address of DENIED) {
    const verdict = policy.judge(address, 443);
    t.equal(verdict.allowed, false, `${address}: ${verdict.reason}`);
    t.not(verdict.reason, '');
  }
  for (const address of PUBLIC) t.equal(policy.judge(address, 443).allowed, true, address);
});

t.test('mail ports are closed, unless the operator allows the address', async (t) => {
  const policy = new EgressPolicy(['9.9.9.9']);
  for (const port of [0, 25, 465, 587]) {
    t.match(policy.judge('8.8.8.8', port), { allowed: false, reason: `port ${port}` });
    t.equal(policy.judge('9.9.9.9', port).allowed, true);
  }
  for (const port of [1, 22, 80, 443, 3306, 8080, 65_535])
    t.ok(policy.judge('8.8.8.8', port).allowed);
});

t.test('ranges that the operator allows', async (t) => {
  const policy = new EgressPolicy([
    '10.1.0.0/16',
    '192.168.7.9',
    'fd12:3456::/32',
    '64:ff9b::/96',
    '::1',
  ]);
  for (const address of [
    '10.1.255.1',
    '::ffff:10.1.2.3',
    '192.168.7.9',
    '::ffff:192.168.7.9',
    'fd12:3456::1',
    '::1',
    '64:ff9b::a00:1',
  ])
    t.ok(policy.judge(address, 80).allowed, address);
  for (const address of [
    '10.2.0.1',
    '::ffff:10.2.0.1',
    '192.168.7.8',
    'fd12:3457::1',
    '::2',
    '::10.1.2.3',
    '2002:a01:203::1',
  ])
    t.notOk(policy.judge(address, 80).allowed, address);
  t.ok(new EgressPolicy(['::ffff:10.0.0.0/104']).judge('10.1.2.3', 80).allowed);
  for (const bad of [
    '10.0.0.0/33',
    'nonsense',
    '10.0.0/8x',
    '',
    'fe80::/129',
    '10/8',
    '10',
    '0x7f.1',
    '10.0.0.0/',
  ]) {
    t.throws(() => new EgressPolicy([bad]), { code: 'bad_argument' }, bad);
  }
});

t.test('literal addresses in URLs, in every notation, reach nothing', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end('secret'));
  let connections = 0;
  upstream.server.on('connection', () => {
    connections += 1;
  });
  const client = upstreamClient(t, { allow: [] });
  const hosts = [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '017700000001',
    '127.0.0.1.',
    '0',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '①②⑦.0.0.1',
    '%31%32%37.0.0.1',
    '127。0。0。1',
    'localhost',
    'LOCALHOST',
    'sub.localhost',
    'localhost.',
  ];
  for (const host of hosts) {
    const reason = await reasonOf(client.open(get(`http://${host}:${upstream.port}/`), scope()));
    t.equal(reason, 'denied_address', host);
  }
  t.equal(connections, 0, 'not one connection was made');
  const message = await client
    .open(get(upstream.url), scope())
    .catch((error: Error) => error.message);
  t.equal(message, '127.0.0.1: loopback address denied by egress policy');
});

t.test('a name is judged by its addresses: denied ones are left out', async (t) => {
  const addresses: Record<string, readonly string[]> = {
    'private.test': ['10.0.0.1', '192.168.0.1'],
    'mixed.test': ['10.0.0.1', '127.0.0.3'],
    'metadata.test': ['169.254.169.254'],
  };
  const dns = await dnsServer(t, (question, query) =>
    dnsReply(
      query,
      question.type === 'A'
        ? (addresses[question.name] ?? []).map((address) => recordA(question.name, address))
        : [],
    ),
  );
  const upstream = await httpUpstream(t, (_request, response) => response.end('ok'), '127.0.0.3');
  const client = upstreamClient(t, { allow: ['127.0.0.3'], dnsServers: [dns.address] });
  const open = (host: string) => client.open(get(`http://${host}:${upstream.port}/`), scope());
  t.equal(await reasonOf(open('private.test')), 'denied_address');
  t.equal(await reasonOf(open('metadata.test')), 'denied_address');
  t.equal(await reasonOf(open('nothing.test')), 'dns');
  t.equal((await open('mixed.test')).status, 200);
});

t.test('an answer that changes between check and connection changes nothing', async (t) => {
  // TTL 0, so that nothing is cached; the first answer is allowed, each later one is the victim.
  let queries = 0;
  const dns = await dnsServer(t, (question, query) => {
    if (question.type !== 'A') return dnsReply(query, []);
    queries += 1;
    return dnsReply(query, [recordA(question.name, queries === 1 ? '127.0.0.2' : '127.0.0.1', 0)]);
  });
  const victim = await httpUpstream(t, (_request, response) => response.end('secret'));
  const client = upstreamClient(t, { allow: ['127.0.0.2'], dnsServers: [dns.address] });
  const url = `http://rebind.test:${victim.port}/`;
  // 127.0.0.2 refuses on that port: had the name been looked up again, the victim would have
  // answered.
  t.equal(await reasonOf(client.open(get(url), scope())), 'connect');
  t.equal(queries, 1, 'one lookup per connection');
  t.equal(await reasonOf(client.open(get(url), scope())), 'denied_address');
  t.equal(queries, 2);
  t.same(victim.seen, []);
});

const fixture = (name: string): string =>
  readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8');

t.test('TLS is verified: authority and name', async (t) => {
  const [cert, key] = [fixture('upstream.cert.pem'), fixture('upstream.key.pem')];
  const names: (string | false | undefined)[] = [];
  const server = createServer({ cert, key }, (request, response) => {
    names.push((request.socket as { servername?: string }).servername);
    response.end('ok');
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const dns = await dnsServer(t, (question, query) =>
    dnsReply(query, question.type === 'A' ? [recordA(question.name, '127.0.0.1')] : []),
  );
  const open = (client: ReturnType<typeof upstreamClient>, host: string) =>
    client.fetchUpstream(get(`https://${host}:${port}/`), scope());
  const trusting = upstreamClient(t, { dnsServers: [dns.address], ca: cert });
  t.equal((await open(trusting, 'upstream.test')).status, 200);
  t.equal(await reasonOf(open(trusting, 'other.test')), 'tls', 'another name');
  t.equal(
    await reasonOf(open(trusting, '127.0.0.1')),
    'tls',
    'an address that the certificate lacks',
  );
  const strict = upstreamClient(t, { dnsServers: [dns.address] });
  t.equal(await reasonOf(open(strict, 'upstream.test')), 'tls', 'an unknown authority');
  t.same(names, ['upstream.test']);
  const plain = await httpUpstream(t, (_request, response) => response.end());
  t.equal(await reasonOf(strict.open(get(plain.url.replace('http:', 'https:')), scope())), 'tls');
});
