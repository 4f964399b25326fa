/**
 * Upstreams that lie, hang, break off and flood. What must hold: a typed error, in time, and
 * bounded memory.
 */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import {
  UPSTREAM_HELD_BYTES_MAX,
  UPSTREAM_HELD_BYTES_PER_TENANT_MAX,
} from '../../../contract/limits.ts';
import { HeldBytes } from '../../../hostcalls/services/held-bytes.ts';
import { get, rawUpstream, reasonOf, scope, until, upstreamClient } from './support.ts';

const OK = 'HTTP/1.1 200 OK\r\n';

t.test('what is not HTTP/1.1 is a protocol error', async (t) => {
  const answers: Record<string, string | Buffer> = {
    nonsense: 'nonsense\r\n\r\n',
    tls: Buffer.from('160301020001000', 'hex'),
    'http/2': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    'bad status': 'HTTP/1.1 abc OK\r\n\r\n',
    'bad version': 'HTTP/9.9 200 OK\r\n\r\n',
    'two lengths': `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nab`,
    'negative length': `${OK}content-length: -1\r\n\r\n`,
    'length and chunked': `${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    'bad chunk': `${OK}transfer-encoding: chunked\r\n\r\nzz\r\n\r\n`,
    'huge chunk size': `${OK}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n`,
    'control in a value': `${OK}x: a\0b\r\n\r\n`,
    'space in a name': `${OK}x y: z\r\ncontent-length: 0\r\n\r\n`,
    'an upgrade nobody asked for':
      'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    '100 continue': 'HTTP/1.1 100 Continue\r\n\r\n',
    'informational without end': 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n'.repeat(1_000),
    'header of 100 KB': `${OK}x: ${'a'.repeat(100_000)}\r\n\r\n`,
    'endless headers': `${OK}${'x: y\r\n'.repeat(50_000)}`,
    '300 headers': `${OK}${'x: y\r\n'.repeat(300)}content-length: 0\r\n\r\n`,
  };
  const names = Object.keys(answers);
  const upstream = await rawUpstream(t, (socket, _count, received) => {
    const name = names[Number(/^GET \/(\d+)/.exec(received)?.[1])] ?? '';
    socket.end(answers[name] ?? '');
  });
  const client = upstreamClient(t);
  for (const [index, name] of names.entries()) {
    const reason = await reasonOf(client.fetchUpstream(get(`${upstream.url}/${index}`), scope()));
    t.equal(reason, 'protocol', name);
  }
});

t.test('breaking off: before, within and after the head', async (t) => {
  const answers = [
    '',
    'HTTP/1.1 200',
    `${OK}content-le`,
    `${OK}content-length: 10\r\n\r\nshort`,
    `${OK}transfer-encoding: chunked\r\n\r\n5\r\nab`,
    `${OK}transfer-encoding: chunked\r\n\r\n2\r\nab\r\n`,
  ];
  const upstream = await rawUpstream(t, (socket, _count, received) => {
    const [, how, index] = /^GET \/(\w+)\/(\d+)/.exec(received) ?? [];
    const answer = answers[Number(index)] ?? '';
    if (how === 'end') socket.end(answer);
    else
      socket.write(answer, () => {
        setTimeout(() => socket.resetAndDestroy(), 10);
      });
    if (how === 'reset' && answer === '') socket.resetAndDestroy();
  });
  const client = upstreamClient(t);
  for (const how of ['end', 'reset']) {
    for (const index of answers.keys()) {
      const work = client.fetchUpstream(get(`${upstream.url}/${how}/${index}`), scope());
      t.equal(await reasonOf(work), 'protocol', `${how} after ${JSON.stringify(answers[index])}`);
    }
  }
});

t.test('a body that ends with the connection is complete', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.end(`${OK}\r\nuntil the end`);
  });
  const answer = await upstreamClient(t).fetchUpstream(get(upstream.url), scope());
  t.equal(Buffer.from(answer.body).toString(), 'until the end');
});

t.test('bytes after an answer are not the next answer', async (t) => {
  const smuggled = `${OK}content-length: 5\r\n\r\nevil!`;
  const upstream = await rawUpstream(t, (socket, _count, received) => {
    const early = received.includes('/first') ? smuggled : '';
    socket.write(`${OK}content-length: 2\r\n\r\nok${early}`);
  });
  const client = upstreamClient(t);
  const first = await client.fetchUpstream(get(`${upstream.url}/first`), scope());
  t.equal(Buffer.from(first.body).toString(), 'ok');
  for (let turn = 0; turn < 3; turn += 1) {
    const answer = await client.fetchUpstream(get(`${upstream.url}/next`), scope());
    t.equal(Buffer.from(answer.body).toString(), 'ok');
    await sleep(5);
  }
});

t.test('hanging at every stage ends with the time limit', async (t) => {
  const stages = [
    '',
    'HTTP/1.1',
    OK,
    `${OK}content-length: 5\r\n\r\nab`,
    'HTTP/1.1 103 Hints\r\n\r\n',
  ];
  let closed = 0;
  const upstream = await rawUpstream(t, (socket, _count, received) => {
    socket.on('close', () => {
      closed += 1;
    });
    socket.write(stages[Number(/^GET \/(\d)/.exec(received)?.[1])] ?? '');
  });
  const client = upstreamClient(t);
  const works = stages.map((_stage, index) =>
    reasonOf(client.fetchUpstream(get(`${upstream.url}/${index}`), scope({ subrequestMs: 150 }))),
  );
  t.same(
    await Promise.all(works),
    stages.map(() => 'timeout'),
  );
  await until(() => closed === stages.length);
  t.equal(closed, stages.length, 'no connection is left');
});

t.test('an upstream that never reads cannot hold the guest', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.pause();
  });
  const client = upstreamClient(t);
  const body = Buffer.alloc(8 * 1024 * 1024);
  const request = { method: 'POST', url: upstream.url, headers: [], body };
  t.equal(await reasonOf(client.fetchUpstream(request, scope({ subrequestMs: 150 }))), 'timeout');
});

t.test('a flood of one-byte chunks is cut off, and costs no more memory than bytes', async (t) => {
  const piece = '1\r\nx\r\n'.repeat(10_000);
  const upstream = await rawUpstream(t, (socket) => {
    socket.write(`${OK}transfer-encoding: chunked\r\n\r\n`);
    const flood = (): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on('drain', flood);
    flood();
  });
  const guest = scope({ subrequestBytes: 8 * 1024 * 1024 });
  t.equal(await reasonOf(upstreamClient(t).fetchUpstream(get(upstream.url), guest)), 'too_large');
  t.ok(guest.bytes < 200_000, `${guest.bytes} bytes in pieces of one`);
});

t.test('a large declared length is not allocated before it comes', async (t) => {
  const length = 60 * 1024 * 1024;
  const upstream = await rawUpstream(t, (socket) => {
    socket.write(`${OK}content-length: ${length}\r\n\r\nx`);
  });
  const client = upstreamClient(t);
  const guest = scope({ subrequestBytes: 64 * 1024 * 1024, streamBytes: 64 * 1024 * 1024 });
  const before = process.memoryUsage().arrayBuffers;
  const exchanges = await Promise.all(
    Array.from({ length: 10 }, () => client.open(get(upstream.url), guest)),
  );
  const pieces = await Promise.all(exchanges.map((exchange) => exchange.read()));
  t.strictSame(pieces.map((piece) => piece?.length), Array.from({ length: 10 }, () => 1));
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < length, `${grown} bytes of buffers for ten answers that promise ${length} each`);
  for (const exchange of exchanges) exchange.cancel();
});

t.test('what all guests of a tenant hold together is bounded', async (t) => {
  const length = 1024 * 1024;
  const upstream = await rawUpstream(t, (socket) => {
    socket.write(`${OK}content-length: ${length}\r\n\r\n`);
    socket.write(Buffer.alloc(length));
  });
  const client = upstreamClient(t);
  const held = new HeldBytes();
  // As if other guests of the tenant held nearly all it may hold.
  t.ok(held.add(1, UPSTREAM_HELD_BYTES_PER_TENANT_MAX - 2 * length - 1_000));
  const guests = [1, 2, 3].map(() => scope({ subrequestBytes: 2 * length }, 1, held));
  const reasons: string[] = [];
  for (const guest of guests) {
    reasons.push(await reasonOf(client.fetchUpstream(get(upstream.url), guest)));
  }
  t.same(reasons, ['no error', 'no error', 'too_large']);
  const other = scope({ subrequestBytes: 2 * length }, 2, held);
  t.equal(await reasonOf(client.fetchUpstream(get(upstream.url), other)), 'no error');
  for (const guest of [...guests, other]) guest.abort();
  t.equal(held.of(1), UPSTREAM_HELD_BYTES_PER_TENANT_MAX - 2 * length - 1_000, 'all is back');
  t.equal(held.of(2), 0);
  t.equal(held.total, held.of(1));
  t.notOk(held.add(3, UPSTREAM_HELD_BYTES_PER_TENANT_MAX + 1));
  for (let tenant = 10; held.add(tenant, UPSTREAM_HELD_BYTES_PER_TENANT_MAX); tenant += 1);
  t.ok(held.total <= UPSTREAM_HELD_BYTES_MAX);
});

t.test('closing the client ends what is under way', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.write(`${OK}content-length: 9\r\n\r\nx`);
  });
  const client = upstreamClient(t);
  const exchange = await client.open(get(upstream.url), scope());
  await exchange.read();
  const rest = exchange.read();
  await client.close();
  t.match(await reasonOf(rest), /^(aborted|protocol)$/);
  t.equal(await reasonOf(client.open(get(upstream.url), scope())), 'aborted');
  upstream.server.close();
  await once(upstream.server, 'close');
});
