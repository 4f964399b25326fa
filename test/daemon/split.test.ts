/** Which version serves while several share an app: shares, cookies, headers, and little moving. */

import t from 'tap';

import type { Route, Sticky } from '../../contract/deployment.ts';
import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import { chooseVersion, SPLIT_COOKIE } from '../../daemon/split.ts';

function route(weights: readonly number[], sticky?: Sticky): Route {
  return {
    tenantId: 1, tenantName: 'local', appId: 1, label: 'hello', versionId: 10, versionNumber: 1,
    generation: 1, limits: REQUEST_LIMITS_DEFAULT, debug: false, suspended: false,
    split: weights.map((weight, index) => ({
      versionId: 10 + index, versionNumber: 1 + index, weight,
    })),
    ...(sticky === undefined ? {} : { sticky }),
  };
}

const plain = { headers: [], secure: false };

function countsOf(of: Route, requests: number): number[] {
  const counts = (of.split ?? []).map(() => 0);
  for (let index = 0; index < requests; index += 1) {
    const at = chooseVersion(of, plain).route.versionNumber - 1;
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return counts;
}

t.test('each version gets its share', async (t) => {
  // 20,000 draws: six standard deviations are less than 1.5 per cent.
  const [first = 0, second = 0, third = 0] = countsOf(route([90, 9, 1]), 20_000);
  t.ok(Math.abs(first - 18_000) < 300, String(first));
  t.ok(Math.abs(second - 1_800) < 260, String(second));
  t.ok(third > 50 && third < 450, String(third));
  t.equal(first + second + third, 20_000);
});

t.test('the version is in the route: number and id belong together', async (t) => {
  const of = route([50, 50]);
  for (let index = 0; index < 50; index += 1) {
    const { route: chosen, cookie } = chooseVersion(of, plain);
    t.equal(chosen.versionId, chosen.versionNumber + 9);
    t.equal(chosen.label, 'hello');
    t.equal(cookie, null, 'nobody asked for a cookie');
  }
});

t.test('a cookie keeps a client with its version, and is set once', async (t) => {
  const of = route([50, 50], { by: 'cookie' });
  const { route: first, cookie } = chooseVersion(of, plain);
  t.match(cookie, /^wardian-split=\d{1,4}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/);
  t.match(chooseVersion(of, { headers: [], secure: true }).cookie, /; Secure$/);
  const pair = cookie?.split(';')[0] ?? '';
  for (const value of [pair, `a=b; ${pair}; c=d`, `${pair};c=d`]) {
    for (let index = 0; index < 20; index += 1) {
      const again = chooseVersion(of, { headers: ['cookie', value], secure: false });
      t.equal(again.route.versionNumber, first.versionNumber);
      t.equal(again.cookie, null);
    }
  }
  const split = { headers: ['cookie', 'a=b', 'cookie', pair], secure: false };
  t.equal(chooseVersion(of, split).cookie, null, 'in a second header as well');
});

t.test('cookies that are none are as good as absent', async (t) => {
  const of = route([50, 50], { by: 'cookie' });
  for (const value of [
    `${SPLIT_COOKIE}=`, `${SPLIT_COOKIE}=99999`, `${SPLIT_COOKIE}=-1`, `${SPLIT_COOKIE}=x`,
    `x${SPLIT_COOKIE}=5`, `${SPLIT_COOKIE}=5x`, ';'.repeat(10_000), ' '.repeat(10_000),
  ]) {
    const { cookie } = chooseVersion(of, { headers: ['cookie', value], secure: false });
    t.ok(cookie, value.slice(0, 30));
  }
});

t.test('requests with the same header value stay together, others spread', async (t) => {
  const of = route([50, 50], { by: 'header', name: 'x-user' });
  const versionFor = (user: string): number =>
    chooseVersion(of, { headers: ['accept', '*/*', 'x-user', user], secure: false })
      .route.versionNumber;
  let second = 0;
  for (let user = 0; user < 2_000; user += 1) {
    const version = versionFor(`user-${user}`);
    t.equal(versionFor(`user-${user}`), version);
    if (version === 2) second += 1;
  }
  t.ok(second > 800 && second < 1_200, `${second} of 2000 on the second version`);
});

t.test('when shares change, only as many move as must', async (t) => {
  const before = route([90, 10], { by: 'header', name: 'x-user' });
  const after = route([70, 30], { by: 'header', name: 'x-user' });
  let moved = 0;
  for (let user = 0; user < 5_000; user += 1) {
    const request = { headers: ['x-user', `user-${user}`], secure: false };
    const [was, is] = [before, after].map((r) => chooseVersion(r, request).route.versionNumber);
    if (was === is) continue;
    moved += 1;
    t.same([was, is], [1, 2], 'from the one that shrank to the one that grew');
  }
  t.ok(moved > 800 && moved < 1_200, `${moved} of 5000 moved`);
});
