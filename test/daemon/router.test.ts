/** Routing by host: names, ports, case, custom hosts, moves and removals. */

import t from 'tap';

import type { Route } from '../../contract/deployment.ts';
import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import { createRouter, hostName, previewLabel } from '../../daemon/router.ts';

const route = (appId: number, label: string, versionId = appId): Route => ({
  tenantId: 1,
  tenantName: 'local',
  appId,
  label,
  versionId,
  versionNumber: 1,
  generation: 1,
  limits: REQUEST_LIMITS_DEFAULT,
  debug: false,
  suspended: false,
});

t.test('an app answers on its label under the base domain and on its hosts', async (t) => {
  const router = createRouter('edge.example');
  router.set(route(1, 'hello'), ['www.hello.org']);
  t.equal(router.find('hello.edge.example')?.appId, 1);
  t.equal(router.find('www.hello.org')?.appId, 1);
  t.equal(router.find('hello.org'), undefined);
  t.equal(router.find('edge.example'), undefined);
  t.equal(router.find('x.hello.edge.example'), undefined);
  t.equal(router.size, 1);
});

t.test('a redeploy replaces the route, and a host left out is dropped', async (t) => {
  const router = createRouter('localhost');
  router.set(route(1, 'hello', 10), ['a.org', 'b.org']);
  router.set(route(1, 'hello', 11), ['b.org']);
  t.equal(router.find('hello.localhost')?.versionId, 11);
  t.equal(router.find('a.org'), undefined);
  t.equal(router.find('b.org')?.versionId, 11);
});

t.test('a host that moved stays with its new app when the old one goes', async (t) => {
  const router = createRouter('localhost');
  router.set(route(1, 'one'), ['shared.org']);
  router.set(route(2, 'two'), ['shared.org']);
  router.remove(1);
  t.equal(router.find('shared.org')?.appId, 2);
  t.equal(router.find('one.localhost'), undefined);
  t.same(
    [...router.routes()].map((r) => r.appId),
    [2],
  );
});

t.test('preview hosts serve single versions of apps that are there', async (t) => {
  const asked: string[] = [];
  let generation = 1;
  const router = createRouter('edge.example', (label, number) => {
    asked.push(`${label} ${number}`);
    if (number > 3) return null;
    return { ...route(1, label, 100 + number), generation, versionNumber: number };
  });
  t.equal(router.find('2--hello.edge.example'), undefined, 'no such app');
  t.same(asked, [], 'which costs no query');
  router.set(route(1, 'hello'), []);
  t.equal(router.find('2--hello.edge.example')?.versionId, 102);
  t.equal(router.find('2--hello.edge.example')?.versionId, 102);
  t.same(asked, ['hello 2'], 'looked up once');
  t.equal(router.find('4--hello.edge.example'), undefined);
  for (const host of [
    '0--hello.edge.example', '02--hello.edge.example', '--hello.edge.example',
    '2--hello.example', '2--.edge.example', '2--hello', 'x--hello.edge.example',
    '2--hello.edge.example.org', `${'9'.repeat(30)}--hello.edge.example`,
  ]) t.equal(router.find(host), undefined, host);
  generation = 2;
  router.set({ ...route(1, 'hello'), generation }, []);
  asked.length = 0;
  t.equal(router.find('2--hello.edge.example')?.generation, 2);
  t.same(asked, ['hello 2'], 'a new generation is looked up anew');
  router.forgetPreviews();
  router.find('2--hello.edge.example');
  t.equal(asked.length, 2);
  router.remove(1);
  t.equal(router.find('2--hello.edge.example'), undefined, 'it goes with its app');
  t.equal(previewLabel('hello', 12), '12--hello');
  t.equal(previewLabel('a'.repeat(63), 1), null, 'longer than DNS allows');
});

t.test('preview hosts of versions that are not there cost a query at most once', async (t) => {
  const asked: string[] = [];
  let last = 5;
  const router = createRouter('edge.example', (label, number) => {
    asked.push(`${label} ${number}`);
    return null;
  }, () => last);
  router.set(route(1, 'hello'), []);
  for (let number = 6; number < 1_000; number += 1) {
    t.equal(router.find(`${number}--hello.edge.example`), undefined);
  }
  t.same(asked, [], 'numbers that were never given out');
  for (const number of [3, 4, 3, 4, 3]) router.find(`${number}--hello.edge.example`);
  t.same(asked, ['hello 3', 'hello 4'], 'versions that are gone');
  last = 6;
  router.set({ ...route(1, 'hello'), generation: 2 }, []);
  router.find('6--hello.edge.example');
  router.find('3--hello.edge.example');
  t.same(asked.slice(2), ['hello 6', 'hello 3'], 'a change of the app is looked up anew');
});

t.test('host names are read with care', async (t) => {
  const cases: [string, string | null][] = [
    ['Hello.LOCALHOST:8080', 'hello.localhost'],
    ['hello.localhost.', 'hello.localhost'],
    ['hello.localhost.:80', 'hello.localhost'],
    ['[::1]:80', '[::1]'],
    ['a_b.example', 'a_b.example'],
    ['', null],
    [':80', null],
    ['a b', null],
    ['a..b', null],
    ['-a.b', null],
    ['a:b', null],
    ['a:123456', null],
    ['[::1', null],
    ['[::1]x', null],
    ['x'.repeat(254), null],
    ['a/b', null],
    ['a@b', null],
  ];
  for (const [given, expected] of cases) t.equal(hostName(given), expected, JSON.stringify(given));
});
