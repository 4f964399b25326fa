/**
 * A daemon with several tenants whose apps do all that the dashboards show: work, wait, store, ask
 * upstreams, log, and fail in every way; and the load that makes them.
 *
 * Tenants: `acme` behaves; `globex` fails by itself; `initech` asks for too much; `hooli` holds
 * threads; `stark` is busy; `umbrella` is suspended. All others are `local`.
 */

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';

import type { TenantQuotas } from '../../contract/deployment.ts';
import { MIB } from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import { Client, assemble, example } from '../e2e/world.ts';
import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { SCRAPE_S } from './prometheus.ts';
import {
  FAILING, STUCK, answering, chatting, fetching, hoarding, resolving, working,
} from './guests.ts';

const LIMITS = {
  WARDIAN_LIMITS_FUEL: '20000000',
  WARDIAN_LIMITS_MEMORY_BYTES: String(8 * MIB),
  WARDIAN_LIMITS_DEADLINE_MS: '1500',
  WARDIAN_LIMITS_HOSTCALLS: '1000',
  WARDIAN_LIMITS_HOSTCALL_BYTES: '500000',
  WARDIAN_LIMITS_RESPONSE_BYTES: '100000',
};
const FLAGS = [
  '--threads', '2', '--guests-in-flight', '90', '--queue-length', '40',
  '--tenant-requests', '90', '--guest-log-rate', '10', '--access-log-sample', '0.5',
  '--metrics-apps', '20', '--egress-allow', '127.0.0.0/8', '--dns-servers', '127.0.0.1:9',
  '--durability', 'process',
];
const labelOf = (code: string): string => code.replaceAll('_', '-');

interface TenantPlan {
  readonly apps: readonly string[];
  readonly limits?: Partial<RequestLimits>;
  readonly quotas?: Partial<TenantQuotas>;
  readonly suspended?: boolean;
}

const TENANTS: Readonly<Record<string, TenantPlan>> = {
  acme: { apps: ['shop', 'pictures', 'visits', 'relay'] },
  globex: { apps: Object.keys(FAILING).map(labelOf) },
  initech: { apps: ['slow', 'hoard', 'late'], quotas: { storeBytes: 10_000 } },
  hooli: { apps: ['stuck'],
    limits: { fuel: Number.MAX_SAFE_INTEGER, deadlineMs: 800, subrequestMs: 800 } },
  stark: { apps: ['crunch'] },
  umbrella: { apps: ['gone'], suspended: true },
};

/** Every app, and how many milliseconds pass between two requests to it; null: not by itself. */
function guestsFor(upstream: string): ReadonlyMap<string, [Uint8Array, number | null]> {
  const guests = new Map<string, [Uint8Array, number | null]>([
    ['shop', [example('hello-rust'), 15]],
    ['pictures', [assemble(working(400_000)), 60]],
    ['visits', [example('visits'), 40]],
    ['relay', [assemble(fetching(upstream, 2)), 60]],
    // Nobody listens there.
    ['cut-off', [assemble(fetching('http://127.0.0.1:9/', 1)), 300]],
    ['names', [assemble(resolving('example.test')), 250]],
    ['chatty', [assemble(chatting(30)), 150]],
    ['moved', [assemble(answering(302)), 200]],
    ['crunch', [assemble(working(3_000_000)), null]],
    ['slow', [assemble(fetching(`${upstream}slow`, 1)), null]],
    ['patient', [assemble(fetching(`${upstream}slow`, 1)), 300]],
    ['late', [assemble(fetching(`${upstream}slow`, 10)), 700]],
    ['hoard', [assemble(hoarding(20_000)), 400]],
    ['stuck', [assemble(STUCK), null]],
    ['gone', [assemble(answering(200)), 500]],
  ]);
  for (const [code, text] of Object.entries(FAILING)) {
    guests.set(labelOf(code), [assemble(text), 250]);
  }
  // The last ones are deployed first, and have series of their own from then on: those of the
  // tenant that is looked at by itself, and one whose versions are seen to change.
  for (const label of TENANTS['acme']?.apps ?? []) {
    const own = guests.get(label);
    guests.delete(label);
    if (own !== undefined) guests.set(label, own);
  }
  guests.set('missing', [assemble(answering(404)), 100]);
  return guests;
}

/** Answers at once, or under `/slow` after half a second. */
async function openUpstream(t: Test): Promise<string> {
  const server = createServer((request, response) => {
    const answer = (): void => {
      response.end('from upstream\n');
    };
    if (request.url === '/slow') setTimeout(answer, 500);
    else answer();
  });
  server.listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** A call of the admin API that must succeed. */
async function call(daemon: Daemon, method: string, path: string, body: object): Promise<void> {
  const answer = await daemon.admin(method, path, {
    body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
}

const ownerOf = (label: string): string =>
  Object.entries(TENANTS).find(([, { apps }]) => apps.includes(label))?.[0] ?? 'local';

async function deployFor(daemon: Daemon, label: string, guest: Uint8Array): Promise<void> {
  const last = (await daemon.tryDeploy(label, guest, `?tenant=${ownerOf(label)}`)).at(-1);
  if (last?.stage !== 'done') throw new Error(`${label}: ${last?.error?.message ?? 'no result'}`);
}

export interface World {
  readonly daemon: Daemon;
  /** How often each app is asked, by label. */
  readonly paces: ReadonlyMap<string, number>;
}

export async function openWorld(t: Test): Promise<World> {
  const upstream = await openUpstream(t);
  const guests = guestsFor(upstream);
  // It takes traces as it takes everything.
  const tracing = ['--otlp-endpoint', upstream, '--trace-sample', '0.2'];
  const daemon = await startDaemon({ flags: [...FLAGS, ...tracing], environment: LIMITS });
  t.teardown(() => daemon.kill());
  for (const [name, { limits = {}, quotas = {} }] of Object.entries(TENANTS)) {
    await call(daemon, 'POST', '/v1/tenants', { name, limits, quotas });
  }
  const left = [...guests];
  const deploySome = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      await deployFor(daemon, next[0], next[1][0]);
    }
  };
  await Promise.all([deploySome(), deploySome()]);
  for (const [name, { suspended }] of Object.entries(TENANTS)) {
    if (suspended === true) await call(daemon, 'PATCH', `/v1/tenants/${name}`, { suspended });
  }
  const paces = new Map<string, number>();
  for (const [label, [, pace]] of guests) if (pace !== null) paces.set(label, pace);
  return { daemon, paces };
}

/**
 * Writes a request, and leaves before it is answered, or is answered at once for being wrong. By a
 * reset: one that only ends its half is still served.
 */
function visit(port: number, text: string, staysMs: number): Promise<void> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(text);
      setTimeout(() => socket.resetAndDestroy(), staysMs);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => done());
    socket.resume();
  });
}

/** In rounds. */
const STUCK_EVERY = 3;
const SIEGE_EVERY = 4;
/** Longer than from one scrape to the next, so that the queue is seen. */
const SIEGE_MS = SCRAPE_S * 1_000 + 300;

/** More clients than may run at once, each asking again as soon as it is answered. */
async function besiege(client: Client, label: string, clients: number): Promise<void> {
  const end = performance.now() + SIEGE_MS;
  await Promise.all(Array.from({ length: clients }, async () => {
    while (performance.now() < end) {
      const { status } = await client.ask(`${label}.localhost`);
      if (status !== 200) await sleep(100);
    }
  }));
}

/** What happens in a round beside what is asked for steadily. */
interface Disturbance {
  /** More than the node takes: of guests that calculate, or that wait. */
  readonly rush: 'siege' | 'crowds' | null;
  /** A guest that holds its thread. */
  readonly stuck: boolean;
  readonly deploy: boolean;
}

export type Pattern = (round: number) => Disturbance;

/** All of it within a few rounds, over and over. */
export const STEADY: Pattern = (round) => ({
  rush: round % SIEGE_EVERY === 2 ? 'siege' : 'crowds',
  stuck: round % STUCK_EVERY === 1,
  deploy: true,
});

/** For pictures: a time that is bad among good ones, and deploys that are far apart. */
const BAD_FROM = 100;
const BAD_TO = 114;
const DEPLOY_FIRST = 15;
const DEPLOY_EVERY = 60;
export const PICTURED: Pattern = (round) => {
  const isBad = round >= BAD_FROM && round < BAD_TO;
  return isBad ? { ...STEADY(round), deploy: false }
    : { rush: null, stuck: false, deploy: round % DEPLOY_EVERY === DEPLOY_FIRST };
};

/** While others wait in the threads: they are lost with the one that this guest holds. */
const holdThread = (client: Client): Promise<unknown> =>
  sleep(200).then(() => client.ask('stuck.localhost'));

/** One round of what is not asked for steadily: crowds, rude clients, deploys good and bad. */
async function disturb(
  { daemon }: World, client: Client, round: number, pattern: Pattern,
): Promise<void> {
  const { rush, stuck, deploy } = pattern(round);
  const crowd = (label: string, size: number) =>
    Array.from({ length: size }, () => client.ask(`${label}.localhost`));
  const leaving = 'GET / HTTP/1.1\r\nhost: patient.localhost\r\n\r\n';
  const done: Promise<unknown>[] = [
    visit(daemon.port, leaving, 100), visit(daemon.port, 'nonsense\r\n\r\n', 100),
    client.ask('nobody.localhost'),
    daemon.ask('shop.localhost', '/', { method: 'POST', body: Buffer.alloc(10_000) }),
  ];
  if (rush === 'siege') done.push(besiege(client, 'crunch', 85));
  if (rush === 'crowds') done.push(...crowd('slow', 100), ...crowd('chatty', 60));
  if (stuck) done.push(holdThread(client));
  if (deploy) {
    done.push(
      daemon.deploy('missing', assemble(answering(404 + (round % 2) * 6))),
      daemon.tryDeploy('broken', Buffer.from('this is no module')),
      daemon.tryDeploy('broken', assemble('(module (import "env" "nothing" (func)))')),
    );
  }
  await Promise.all(done);
}

export interface Load {
  /** Rounds that are over; all that is not steady happens within five. */
  readonly rounds: () => number;
  stop(): Promise<void>;
}

/** Asks all apps at their paces until it is stopped. A refused connection is an error. */
export function startLoad(world: World, pattern: Pattern, roundMs = 1_500): Load {
  const client = new Client(world.daemon.port, 400);
  const ending = new AbortController();
  const { signal } = ending;
  const steady = [...world.paces].map(async ([label, pace]) => {
    while (!signal.aborted) {
      await Promise.all([client.ask(`${label}.localhost`, '/'), sleep(pace)]);
    }
  });
  let over = 0;
  const rounds = (async () => {
    while (!signal.aborted) {
      await Promise.all([disturb(world, client, over, pattern), sleep(roundMs)]);
      over += 1;
    }
  })();
  return {
    rounds: () => over,
    async stop() {
      ending.abort();
      await Promise.all([...steady, rounds]);
      client.close();
    },
  };
}
