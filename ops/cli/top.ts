/**
 * `wardian top`: the node and its busiest apps, live in a terminal. Each view is made of the
 * difference between two looks at `/v1/top`.
 */

import { setTimeout as sleep } from 'node:timers/promises';

import { escapeControls } from '../escape.ts';
import type { TopApp, TopView } from '../metrics/top-view.ts';
import { table } from './apps.ts';
import { callApi, CliError } from './client.ts';
import type { ClientOptions } from './client.ts';

export interface TopFlags {
  readonly interval?: string;
  readonly sort?: string;
  readonly by?: string;
  /** Views, then it ends; absent: until interrupted. */
  readonly count?: string;
  readonly json?: boolean;
}

export const SORTS = ['rate', 'p99', 'fuel', 'failures', 'memory'] as const;
type Sort = (typeof SORTS)[number];

export const GROUPINGS = ['app', 'tenant'] as const;
type Grouping = (typeof GROUPINGS)[number];

/** Of one app, or of all apps of a tenant, whose `app` says how many there are. */
export interface AppRates {
  readonly tenant: string;
  readonly app: string;
  readonly version: number;
  /** What each version was asked for a second, and how much of that failed. */
  readonly versions: readonly VersionRates[];
  readonly rate: number;
  /** Milliseconds; the upper bound of the bucket, interpolated. NaN without requests. */
  readonly p50: number;
  readonly p99: number;
  readonly fuel: number;
  readonly failures: number;
  readonly failureShare: number;
  readonly reason: string;
  readonly memory: number;
  readonly memoryLimit: number;
}

export interface VersionRates {
  readonly version: number;
  readonly rate: number;
  readonly failures: number;
}

const INTERVAL_S_DEFAULT = 2;
const keyOf = (app: { tenant: string; app: string }): string => `${app.tenant}\n${app.app}`;
const CLEAR = '\u001b[H\u001b[2J';

/** A quantile of a histogram in milliseconds, interpolated within its bucket. */
export function quantile(
  counts: readonly number[], bounds: readonly number[], share: number,
): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return Number.NaN;
  let left = total * share;
  for (const [index, count] of counts.entries()) {
    if (left > count || count === 0) {
      left -= count;
      continue;
    }
    const low = index === 0 ? 0 : (bounds[index - 1] ?? 0);
    const high = bounds[index] ?? low;
    return (low + (high - low) * (left / count)) * 1_000;
  }
  return (bounds.at(-1) ?? 0) * 1_000;
}

/** Those that were asked for; one that begins again has had to make room meanwhile. */
function versionRates(now: TopApp, before: TopApp | undefined, s: number): VersionRates[] {
  const earlier = new Map(before?.versions.map((one) => [one.version, one]));
  return now.versions.flatMap(({ version, requests, failures }) => {
    const then = earlier.get(version);
    const goesOn = then !== undefined && then.requests <= requests;
    const asked = requests - (goesOn ? then.requests : 0);
    const failed = failures - (goesOn ? then.failures : 0);
    return asked === 0 ? [] : [{ version, rate: asked / s, failures: failed / s }];
  });
}

/** Shares of the requests, of several versions: `2:10% 3:90%`. */
function versionsText({ version, versions }: AppRates): string {
  if (versions.length < 2) return version === 0 ? '' : String(versions[0]?.version ?? version);
  const all = versions.reduce((sum, { rate }) => sum + rate, 0);
  return versions.map((one) => `${one.version}:${((one.rate / all) * 100).toFixed(0)}%`).join(' ');
}

/** All apps of a tenant as one; what its largest guest took, against the limit of that app. */
function tenantOf(name: string, apps: readonly TopApp[]): TopApp {
  const sum = (of: (app: TopApp) => number): number =>
    apps.reduce((total, app) => total + of(app), 0);
  const failures: Record<string, number> = {};
  for (const app of apps) {
    for (const [reason, count] of Object.entries(app.failures)) {
      failures[reason] = (failures[reason] ?? 0) + count;
    }
  }
  const largest = apps.reduce((most, app) =>
    (app.memoryPeakBytes > most.memoryPeakBytes ? app : most));
  return {
    ...largest, tenant: name, app: `${apps.length} app${apps.length === 1 ? '' : 's'}`,
    version: 0, versions: [], failures, requests: sum(({ requests }) => requests),
    serverErrors: sum(({ serverErrors }) => serverErrors), fuel: sum(({ fuel }) => fuel),
    runSeconds: sum(({ runSeconds }) => runSeconds),
    subrequests: sum(({ subrequests }) => subrequests),
    kvOperations: sum(({ kvOperations }) => kvOperations),
    latency: largest.latency.map((_, at) => sum(({ latency }) => latency[at] ?? 0)),
  };
}

/**
 * A look with one entry for each tenant. Only of apps that are in the other look, too: what comes
 * and goes between the two would be counted as if it had happened then.
 */
export function byTenant(view: TopView, other: TopView): TopView {
  const isRestarted = view.startedAtMs !== other.startedAtMs;
  const known = new Set(other.apps.map(keyOf));
  const tenants = Map.groupBy(
    view.apps.filter((app) => isRestarted || known.has(keyOf(app))), ({ tenant }) => tenant);
  return { ...view, apps: [...tenants].map(([name, apps]) => tenantOf(name, apps)) };
}

/** `before` is undefined for a daemon that was restarted: then all of it is new. */
function appRates(now: TopApp, before: TopApp | undefined, view: TopView, s: number): AppRates {
  const since = (value: number, earlier: number | undefined): number => value - (earlier ?? 0);
  const latency = now.latency.map((count, at) => since(count, before?.latency[at]));
  const requests = since(now.requests, before?.requests);
  let failures = 0;
  let reason = '';
  let most = 0;
  for (const [name, count] of Object.entries(now.failures)) {
    const fresh = since(count, before?.failures[name]);
    failures += fresh;
    if (fresh > most) [reason, most] = [name, fresh];
  }
  return {
    tenant: now.tenant, app: now.app, version: now.version, rate: requests / s,
    versions: versionRates(now, before, s),
    p50: quantile(latency, view.buckets, 0.5), p99: quantile(latency, view.buckets, 0.99),
    fuel: since(now.fuel, before?.fuel) / s, failures: failures / s,
    failureShare: requests === 0 ? 0 : failures / requests, reason,
    memory: now.memoryPeakBytes, memoryLimit: now.memoryLimitBytes,
  };
}

const BY: Readonly<Record<Sort, (app: AppRates) => number>> = {
  rate: (app) => app.rate,
  p99: (app) => (Number.isNaN(app.p99) ? -1 : app.p99),
  fuel: (app) => app.fuel,
  failures: (app) => app.failures,
  memory: (app) => app.memory,
};

export function ratesOf(
  now: TopView, before: TopView, sort: Sort, by: Grouping = 'app',
): readonly AppRates[] {
  if (by === 'tenant') {
    const shown = byTenant(now, before);
    const names = new Map(shown.apps.map((app) => [app.tenant, app.app]));
    const then = byTenant(before, now);
    // The number of its apps that made requests is a label here, not a name.
    const apps = then.apps.map((app) => ({ ...app, app: names.get(app.tenant) ?? app.app }));
    return ratesOf(shown, { ...then, apps }, sort);
  }
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1_000);
  const isRestarted = now.startedAtMs !== before.startedAtMs;
  const earlier = new Map(before.apps.map((app) => [keyOf(app), app]));
  const rates: AppRates[] = [];
  for (const app of now.apps) {
    const then = isRestarted ? undefined : earlier.get(keyOf(app));
    // One that was not there may have old counts: it was part of _other, and has its row again.
    if (app.requests === 0 || (then === undefined && !isRestarted)) continue;
    rates.push(appRates(app, then, now, seconds));
  }
  return rates.toSorted((a, b) => BY[sort](b) - BY[sort](a));
}

function short(value: number, digits = 1): string {
  if (Number.isNaN(value)) return '-';
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) {
    if (value >= size) return `${(value / size).toFixed(1)}${unit}`;
  }
  return value.toFixed(digits);
}

function nodeLine(now: TopView, before: TopView): string {
  const { node } = now;
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1_000);
  const grown = (name: string): number => (node[name] ?? 0) - (before.node[name] ?? 0);
  return [
    `in flight ${node['inFlight']}`, `suspended ${node['suspended']}`, `queued ${node['queued']}`,
    `shed ${short(grown('shed') / seconds)}/s`, `workers ${node['workers']}`,
    `restarts ${node['restarts']}`, `cpu ${((grown('cpuSeconds') / seconds) * 100).toFixed(0)} %`,
    `memory ${short(node['residentBytes'] ?? 0)}B`, `apps ${node['apps']}`,
  ].join('  ');
}

export function topText(
  now: TopView, before: TopView, sort: Sort, rows: number, columns: number, by: Grouping = 'app',
): string {
  const apps = ratesOf(now, before, sort, by).slice(0, Math.max(1, rows - 4));
  const cells = apps.map((app) => [
    app.tenant, app.app, versionsText(app), short(app.rate),
    short(app.p50, 2), short(app.p99, 2), short(app.fuel), short(app.failures),
    `${(app.failureShare * 100).toFixed(1)} %`, `${short(app.memory)}B`,
    app.memoryLimit === 0 ? '-' : `${((app.memory / app.memoryLimit) * 100).toFixed(0)} %`,
    app.reason,
  ]);
  const head = ['TENANT', by === 'app' ? 'APP' : 'APPS', 'VERSION', 'REQ/S', 'P50 MS', 'P99 MS',
    'FUEL/S', 'FAIL/S', 'FAIL', 'PEAK', 'OF LIMIT', 'MOST'];
  const lines = [nodeLine(now, before), '', ...table(head, cells).split('\n')];
  return lines.map((line) => escapeControls(line).slice(0, columns)).join('\n');
}

function settings(
  flags: TopFlags,
): { seconds: number; sort: Sort; by: Grouping; count: number } {
  const seconds = Number(flags.interval ?? INTERVAL_S_DEFAULT);
  if (!(seconds >= 0.1 && seconds <= 3_600)) {
    throw new CliError(`--interval ${flags.interval}: expected seconds from 0.1 to 3600`, 2);
  }
  const count = flags.count === undefined ? Number.POSITIVE_INFINITY : Number(flags.count);
  if (!(count >= 1)) throw new CliError(`--count ${flags.count}: expected a number of views`, 2);
  const { sort = 'rate', by = 'app' } = flags;
  return { seconds, sort: sort as Sort, by: by as Grouping, count };
}

export async function top(daemon: ClientOptions, flags: TopFlags): Promise<void> {
  const { seconds, sort, by, count } = settings(flags);
  const look = async (): Promise<TopView> =>
    (await callApi(daemon, { method: 'GET', path: '/v1/top' })) as TopView;
  let before = await look();
  for (let views = 0; views < count; views += 1) {
    await sleep(seconds * 1_000);
    const now = await look();
    if (flags.json === true) {
      const shown = { node: now.node, apps: ratesOf(now, before, sort, by) };
      process.stdout.write(`${JSON.stringify(shown)}\n`);
    } else {
      const { rows = 40, columns = 160, isTTY } = process.stdout;
      const text = topText(now, before, sort, rows, columns, by);
      process.stdout.write(isTTY ? `${CLEAR}${text}\n` : `${text}\n\n`);
    }
    before = now;
  }
}
