/**
 * Redirects: which are followed, with what method, body and headers, and what they may not reach.
 */

import t from 'tap';
import { nextHop } from '../../../hostcalls/services/http/redirect.ts';
import type { Outgoing } from '../../../hostcalls/services/http/message.ts';
import {
  dnsReply,
  dnsServer,
  get,
  httpUpstream,
  reasonOf,
  recordA,
  scope,
  until,
  upstreamClient,
} from './support.ts';

const SENT: Outgoing = {
  method: 'POST',
  url: new URL('https://one.example/a/b?c'),
  body: Buffer.from('body'),
  upload: null,
  headers: [
    'authorization',
    'secret',
    'cookie',
    'a=1',
    'content-type',
    'text/plain',
    'x-kept',
    'yes',
  ],
};
const to = (location: string) => ['location', location];

t.test('methods and bodies follow the Fetch standard', async (t) => {
  const table: [number, string, string][] = [
    [301, 'POST', 'GET'],
    [302, 'POST', 'GET'],
    [303, 'POST', 'GET'],
    [307, 'POST', 'POST'],
    [308, 'POST', 'POST'],
    [301, 'PUT', 'PUT'],
    [303, 'PUT', 'GET'],
    [303, 'HEAD', 'HEAD'],
    [302, 'HEAD', 'HEAD'],
    [301, 'GET', 'GET'],
    [307, 'DELETE', 'DELETE'],
  ];
  for (const [status, method, expected] of table) {
    const next = nextHop({ ...SENT, method }, status, to('/next'));
    t.equal(next?.method, expected, `${status} ${method}`);
    t.equal(next?.url.href, 'https://one.example/next');
    const kept = expected === method;
    t.equal(next?.body === null, !kept);
    t.equal(next?.headers.includes('content-type'), kept);
    t.ok(next?.headers.includes('x-kept'));
    t.ok(next?.headers.includes('secret'), 'credentials stay on the same origin');
  }
});

t.test('what is not a redirect, or leads nowhere, is the answer', async (t) => {
  for (const status of [200, 300, 304, 305, 306, 399])
    t.equal(nextHop(SENT, status, to('/x')), null);
  t.equal(nextHop(SENT, 302, []), null);
  for (const location of ['ftp://x/', 'file:///etc/passwd', 'javascript:0', 'http://', 'data:,x']) {
    t.throws(() => nextHop(SENT, 302, to(location)), /redirects to what is not an HTTP URL/);
  }
});

t.test('targets are resolved against the URL that answered', async (t) => {
  const table = [
    ['c', 'https://one.example/a/c'],
    ['?d', 'https://one.example/a/b?d'],
    ['//two.example/x', 'https://two.example/x'],
    ['https://u:p@two.example/#frag', 'https://two.example/'],
    [Buffer.from('/é').toString('latin1'), 'https://one.example/%C3%A9'],
  ] as const;
  for (const [location, expected] of table) {
    t.equal(nextHop(SENT, 302, to(location))?.url.href, expected);
  }
});

t.test('credentials do not cross origins: host, port and scheme count', async (t) => {
  for (const location of [
    'https://two.example/',
    'https://one.example:444/',
    'http://one.example/',
  ]) {
    const next = nextHop(SENT, 307, to(location));
    t.same(next?.headers, ['content-type', 'text/plain', 'x-kept', 'yes'], location);
  }
});

t.test('hops are followed, counted, and end at ten', async (t) => {
  const upstream = await httpUpstream(t, (request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) response.end('done');
    else response.writeHead(302, { location: `/${left - 1}` }).end('moved');
  });
  const client = upstreamClient(t);
  const guest = scope();
  const answer = await client.fetchUpstream(get(`${upstream.url}/10`), guest);
  t.equal(Buffer.from(answer.body).toString(), 'done');
  t.equal(answer.url, `${upstream.url}/0`);
  t.equal(guest.subrequests, 11);
  t.equal(await reasonOf(client.open(get(`${upstream.url}/11`), scope())), 'too_many_redirects');
  t.equal(
    await reasonOf(client.open(get(`${upstream.url}/5`), scope({ subrequests: 3 }))),
    'too_many',
  );
});

t.test('a redirect body is neither waited for nor read at length', async (t) => {
  let closed = 0;
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.url === '/end') {
      response.end('end');
      return;
    }
    request.socket.on('close', () => {
      closed += 1;
    });
    response.writeHead(302, { location: '/end' });
    if (request.url === '/hang') response.write('never finished');
    else response.write(Buffer.alloc(1_000_000));
  });
  const client = upstreamClient(t);
  for (const path of ['/hang', '/huge']) {
    const guest = scope();
    const answer = await client.fetchUpstream(get(upstream.url + path), guest);
    t.equal(Buffer.from(answer.body).toString(), 'end');
    t.ok(guest.bytes < 500_000, `${guest.bytes} bytes`);
  }
  await until(() => closed === 2);
});

t.test('credentials and bodies over real hops', async (t) => {
  const seen: string[] = [];
  const second = await httpUpstream(t, (request, response) => {
    let body = '';
    request
      .on('data', (data) => {
        body += data;
      })
      .on('end', () => {
        seen.push(
          [request.method, request.headers.authorization, request.headers.cookie, body].join(' '),
        );
        response.end();
      });
  });
  const first = await httpUpstream(t, (request, response) => {
    const status = Number(request.url?.slice(1));
    response.writeHead(status, { location: `${second.url}/` }).end();
  });
  const client = upstreamClient(t);
  const headers = ['Authorization', 'Bearer secret', 'Cookie', 'a=1'];
  for (const status of [307, 302]) {
    await client.fetchUpstream(
      { method: 'POST', url: `${first.url}/${status}`, headers, body: Buffer.from('payload') },
      scope(),
    );
  }
  t.same(seen, ['POST   payload', 'GET   ']);
});

t.test('a redirect to a denied address is denied', async (t) => {
  const dns = await dnsServer(t, (question, query) =>
    dnsReply(
      query,
      question.type === 'A'
        ? [recordA(question.name, question.name === 'allowed.test' ? '127.0.0.2' : '127.0.0.1')]
        : [],
    ),
  );
  const secret = await httpUpstream(t, (_request, response) => response.end('secret'));
  const upstream = await httpUpstream(
    t,
    (request, response) => {
      response.writeHead(302, { location: decodeURIComponent(request.url?.slice(1) ?? '') }).end();
    },
    '127.0.0.2',
  );
  const client = upstreamClient(t, { allow: ['127.0.0.2'], dnsServers: [dns.address] });
  const targets = [
    secret.url,
    `http://[::ffff:127.0.0.1]:${secret.port}/`,
    `http://2130706433:${secret.port}/`,
    `http://internal.test:${secret.port}/`,
    'http://169.254.169.254/latest/meta-data/',
  ];
  for (const target of targets) {
    const url = `http://allowed.test:${upstream.port}/${encodeURIComponent(target)}`;
    t.equal(await reasonOf(client.open(get(url), scope())), 'denied_address', target);
  }
  t.equal(upstream.seen.length, targets.length);
  t.same(secret.seen, []);
});
