/**
 * Making connections: several addresses, both families, handshakes that hang, and the bound per
 * tenant.
 */

import { networkInterfaces } from 'node:os';
import t from 'tap';
import { UPSTREAM_SOCKETS_PER_TENANT_MAX } from '../../../contract/limits.ts';
import { createConnector } from '../../../hostcalls/services/egress/connector.ts';
import { EgressPolicy } from '../../../hostcalls/services/egress/policy.ts';
import {
  dnsReply,
  dnsServer,
  get,
  httpUpstream,
  rawUpstream,
  reasonOf,
  recordA,
  scope,
  until,
  upstreamClient,
} from './support.ts';

t.test('the next address is tried when one refuses', async (t) => {
  const dns = await dnsServer(t, (question, query) =>
    dnsReply(
      query,
      question.type === 'A'
        ? ['127.0.0.4', '127.0.0.5', '127.0.0.3'].map((one) => recordA(question.name, one))
        : [],
    ),
  );
  const upstream = await httpUpstream(t, (_request, response) => response.end('ok'), '127.0.0.3');
  const client = upstreamClient(t, { dnsServers: [dns.address] });
  const url = `http://several.example:${upstream.port}/`;
  t.equal((await client.fetchUpstream(get(url), scope())).status, 200);
  upstream.server.closeAllConnections();
  upstream.server.close();
  const refused = upstreamClient(t, { dnsServers: [dns.address] });
  t.equal(await reasonOf(refused.open(get(url), scope())), 'connect');
});

const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((one) => one?.address === '::1');

t.test('IPv6', { skip: hasIpv6 ? false : 'this machine has no IPv6 loopback' }, async (t) => {
  const dns = await dnsServer(t, (question, query) =>
    dnsReply(
      query,
      question.type === 'AAAA' ? [{ type: 'AAAA', name: question.name, data: '::1', ttl: 60 }] : [],
    ),
  );
  let host: string | undefined;
  const upstream = await httpUpstream(
    t,
    (request, response) => {
      ({ host } = request.headers);
      response.end('ok');
    },
    '::1',
  );
  const client = upstreamClient(t, { allow: ['::1'], dnsServers: [dns.address] });
  t.equal((await client.fetchUpstream(get(`${upstream.url}/`), scope())).status, 200);
  t.equal(host, `[::1]:${upstream.port}`);
  const named = client.fetchUpstream(get(`http://six.example:${upstream.port}/`), scope());
  t.equal((await named).status, 200);
  t.equal(host, `six.example:${upstream.port}`);
});

t.test('a TLS handshake that hangs ends with the time limit', async (t) => {
  const upstream = await rawUpstream(t, () => {});
  const client = upstreamClient(t);
  const url = upstream.url.replace('http:', 'https:');
  t.equal(await reasonOf(client.open(get(url), scope({ subrequestMs: 100 }))), 'timeout');
});

t.test('connections of a tenant are counted, bounded, and given back', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end('ok'));
  const sockets = { open: UPSTREAM_SOCKETS_PER_TENANT_MAX };
  const connect = createConnector({
    policy: new EgressPolicy(['127.0.0.1']),
    lookup: async () => [],
    tenantId: 1,
    sockets,
    port: upstream.port,
  });
  const attempt = () =>
    new Promise<Error | null>((resolve) => {
      const target = { hostname: '127.0.0.1', protocol: 'http:', port: String(upstream.port) };
      connect(target, (error, socket) => {
        socket?.destroy();
        resolve(error);
      });
    });
  t.match(await attempt(), { reason: 'too_many' });
  t.equal(upstream.connections, 0);
  sockets.open = 0;
  t.equal(await attempt(), null);
  await until(() => sockets.open === 0);
  upstream.server.close();
  t.match(await attempt(), { reason: 'connect' });
  await until(() => sockets.open === 0);
});

t.test('a guest that ends while its name is looked up leaves nothing behind', async (t) => {
  const dns = await dnsServer(t, () => null);
  const client = upstreamClient(t, { dnsServers: [dns.address] });
  const guest = scope();
  const waiting = reasonOf(client.open(get('http://slow.example/'), guest));
  await until(() => dns.asked.length > 0);
  guest.abort();
  t.equal(await waiting, 'aborted', 'at once, not when the resolver gives up');
  t.equal(client.pools.socketsOf(1), 1, 'the attempt itself runs on');
  await until(() => client.pools.socketsOf(1) === 0);
});
