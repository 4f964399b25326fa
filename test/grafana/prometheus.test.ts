/**
 * The dashboards and rules against a real Prometheus that scrapes a real daemon under load, with
 * every kind of failure happening: each expression must return data, and not only zeros where
 * something happened. Then the dashboards are drawn from the same answers, and looked at.
 *
 * WARDIAN_TEST_SCREENSHOTS=480 loads for 480 seconds and puts the pictures into docs/screenshots.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';

import { ALERTS } from '../../grafana/alerts.ts';
import { RECORDINGS } from '../../grafana/recording.ts';
import { until } from '../e2e/world.ts';
import type { Daemon } from '../harness/daemon.ts';
import { promtool } from '../ops/exposition.ts';
import { pageOf, keyOf } from './draw/page.ts';
import { fewerColours, screenshot, sizeOf } from './draw/screenshot.ts';
import { FAILING } from './guests.ts';
import { DASHBOARDS, labelValuesOf, readDashboard, substituted } from './panels.ts';
import type { Choice } from './panels.ts';
import { SCRAPE_S, SCREENSHOTS_S, isInstalled, startPrometheus } from './prometheus.ts';
import type { Prometheus, Series, Span } from './prometheus.ts';
import { PICTURED, STEADY, openWorld, startLoad } from './world.ts';
import type { Load } from './world.ts';

const LOAD_S = SCREENSHOTS_S > 0 ? SCREENSHOTS_S : 10;
const ROUNDS_LEAST = 6;
const SCRAPES_LEAST = 6;
const SEEN_MS = 40_000 + SCRAPE_S * 2_500;
const PICTURES = new URL('../../docs/screenshots/', import.meta.url);
const PICTURE_BYTES_MAX = 200_000;

/** What this load does not make happen: these may be zero all along, but must be there. */
const QUIET: ReadonlySet<string> = new Set([
  'Internal errors: Internal errors', 'Refused and failed: failed', 'Under way: {{instance}}',
  'Waiting writes: {{instance}}', 'Requests counted as _other: apps that lost theirs',
  'Parts that do not tell: {{source}}',
  // Bodies of this load are small, so whether one is under way at a scrape is chance.
  'Bodies that flow: {{direction}}',
  // It is used up.
  'Budget of three days left: Budget of three days left',
]);

/** Annotations of what this load does not do: without their threshold they must have data. */
const UNMARKED: ReadonlySet<string> = new Set(['Restores']);

/** Error codes that the load must have brought about, beside those of guests that fail. */
const HAPPENED = [
  'deadline', 'storage_full', 'overloaded', 'tenant_overloaded', 'tenant_suspended',
  'client_closed', 'unknown_host', 'worker_lost',
];

const happened = (series: readonly Series[]): boolean =>
  series.some(({ values }) => values.some(([, value]) => Number.isFinite(value) && value !== 0));
const finite = (series: readonly Series[]): boolean =>
  series.some(({ values }) => values.some(([, value]) => Number.isFinite(value)));

/** Somebody who follows the log, so that there is one to be counted. */
function followLog(t: Test, { adminPort, token }: Daemon): void {
  const request = httpRequest({
    host: '127.0.0.1', port: adminPort, path: '/v1/logs?follow=true&status=5xx',
    headers: { authorization: `Bearer ${token}` },
  }, (response) => response.on('error', () => request.destroy()).resume());
  // The daemon is killed at the end, and this connection with it.
  request.on('error', () => request.destroy());
  request.end();
  t.teardown(() => request.destroy());
}

/** Asks for all that a dashboard shows, and checks that it is there. */
async function askAll(t: Test, prometheus: Prometheus, name: string, span: Span) {
  const dashboard = readDashboard(name);
  const answers = new Map<string, readonly Series[]>();
  for (const panel of dashboard.panels) {
    for (const target of panel.targets ?? []) {
      const expression = substituted(target.expr);
      const series = target.instant === true
        ? await prometheus.instant(expression, span.to)
        : await prometheus.range(expression, span);
      answers.set(keyOf(panel, target), series);
      const what = `${panel.title}: ${target.legendFormat}`;
      if (!finite(series)) t.fail(`${name}: ${what}: no data for ${expression}`);
      else if (!QUIET.has(what) && !happened(series)) {
        t.fail(`${name}: ${what}: nothing but zeros for ${expression}`);
      }
    }
  }
  for (const variable of dashboard.templating.list) {
    if (variable.type !== 'query') continue;
    const { selector, label } = labelValuesOf(variable);
    const values = await prometheus.instant(`count by (${label}) (${selector})`, span.to);
    t.ok(values.some(({ metric }) => (metric[label] ?? '') !== ''), `${name}: $${variable.name}`);
  }
  const annotations: Series[] = [];
  for (const { name: what, expr } of dashboard.annotations.list ?? []) {
    const asked = UNMARKED.has(what) ? expr.replace(/ > 0$/, '') : expr;
    const series = await prometheus.range(substituted(asked), span);
    t.ok(finite(series), `${name}: annotation ${what}`);
    if (UNMARKED.has(what)) continue;
    annotations.push(...series);
  }
  t.ok(answers.size > 10, `${name}: ${answers.size} expressions`);
  return { dashboard, answers, annotations };
}

/** Choices that somebody makes above a dashboard, each with what must be seen of no other. */
function choicesFor(instance: string): readonly Choice[] {
  return [
    { tenant: 'acme', app: 'shop' },
    { tenant: 'acme|globex', app: 'shop|guest-trap' },
    { instance, tenant: 'acme' },
  ];
}

/**
 * All panels again with something chosen. What a choice has none of may be empty, but all must be
 * understood, nothing of others shown, and most of it be there.
 */
async function askChosen(t: Test, prometheus: Prometheus, span: Span, choice: Choice) {
  const { panels } = readDashboard('tenant');
  const wanted = (label: 'tenant' | 'app'): string[] | undefined => choice[label]?.split('|');
  let answered = 0;
  let asked = 0;
  for (const panel of panels) {
    for (const target of panel.targets ?? []) {
      if (!/\$(tenant|app)\b/.test(target.expr)) continue;
      const expression = substituted(target.expr, choice);
      const series = await prometheus.range(expression, span);
      asked += 1;
      if (finite(series)) answered += 1;
      for (const { metric } of series) {
        for (const label of ['tenant', 'app'] as const) {
          const value = metric[label];
          // `none` stands for an empty panel, and for itself.
          if (value === undefined || value === 'none') continue;
          if (wanted(label)?.includes(value) !== false) continue;
          t.fail(`${panel.title}: ${value} is shown, but not chosen: ${expression}`);
        }
      }
    }
  }
  t.ok(answered > asked / 2, `${JSON.stringify(choice)}: ${answered} of ${asked} have data`);
}

async function checkRules(t: Test, prometheus: Prometheus, at: number): Promise<void> {
  const rules = await prometheus.rules();
  t.equal(rules.length, ALERTS.length + RECORDINGS.length, 'all rules are loaded');
  for (const { name, health, lastError = '' } of rules) {
    t.equal(health, 'ok', `${name}: ${lastError}`);
  }
  for (const { record } of RECORDINGS) {
    t.ok(finite(await prometheus.instant(record, at)), `${record} is recorded`);
  }
  for (const { name, when } of ALERTS) {
    for (const { value } of when.flat()) {
      t.ok(finite(await prometheus.instant(value, at)), `${name}: ${value} exists`);
    }
  }
  const pending = await prometheus.instant('ALERTS{alertname="WardianTenantFailing"}', at);
  t.ok(pending.some(({ metric }) => metric['tenant'] === 'globex'), 'a failing tenant is noticed');
  t.notOk(pending.some(({ metric }) => metric['tenant'] === 'acme'), 'one that behaves is not');
}

/** Codes of failures that Prometheus has not seen yet. */
async function notYet(prometheus: Prometheus): Promise<string[]> {
  const counts = await prometheus.instant(
    'sum by (reason) (wardian_request_failures_total) > 0', Date.now() / 1_000);
  const seen = new Set(counts.map(({ metric }) => metric['reason']));
  return [...Object.keys(FAILING), ...HAPPENED].filter((code) => !seen.has(code));
}

/** Waits until Prometheus has seen all of it, or for too long: then the checks say what lacks. */
async function untilSeen(prometheus: Prometheus, load: Load, from: number): Promise<void> {
  const end = Date.now() + SEEN_MS;
  const missing = async (): Promise<boolean> =>
    load.rounds() < ROUNDS_LEAST || (await prometheus.scrapes(from)) < SCRAPES_LEAST ||
    (await notYet(prometheus)).length > 0 ||
    !happened(await prometheus.instant('max_over_time(wardian_queue_length[2m])',
      Date.now() / 1_000));
  while (Date.now() < end && (await missing())) await sleep(500);
}

async function look(t: Test, name: string, page: ReturnType<typeof pageOf>): Promise<void> {
  t.notMatch(page.html, /no data/, `${name} is drawn in full`);
  t.notMatch(page.html, /NaN|undefined/, `${name} has numbers everywhere`);
  const picture = await screenshot(page);
  if (picture === null) {
    const why = `${name}: no picture: chromium is not installed (Debian package chromium)`;
    if (process.env['CI'] === 'true') t.fail(why);
    else t.comment(why);
    return;
  }
  t.strictSame(sizeOf(picture), { width: page.width, height: page.height });
  const marked = (readDashboard(name).annotations.list ?? [])
    .some(({ name: what }) => !UNMARKED.has(what));
  if (marked) t.match(page.html, /class="mark"/, `${name}: annotations are drawn`);
  t.ok(picture.length > 20_000, `${name}: ${picture.length} bytes, so something is on it`);
  if (SCREENSHOTS_S === 0) return;
  mkdirSync(PICTURES, { recursive: true });
  const small = fewerColours(picture);
  t.ok(small.length < PICTURE_BYTES_MAX, `${name}: ${small.length} bytes of picture`);
  writeFileSync(new URL(`${name}.png`, PICTURES), small);
}

const missing = isInstalled() || process.env['CI'] === 'true'
  ? false : 'prometheus is not installed (Debian package prometheus)';

const PATIENCE_MS = 150_000;
t.setTimeout(PATIENCE_MS + LOAD_S * 1_000);

t.test('dashboards and rules against Prometheus', { skip: missing }, async (t) => {
  t.setTimeout(PATIENCE_MS + LOAD_S * 1_000);
  const world = await openWorld(t);
  const { daemon } = world;
  followLog(t, daemon);
  const prometheus = await startPrometheus(t, `127.0.0.1:${daemon.adminPort}`);
  // A first look while nothing has happened yet: what increases is seen to increase.
  const before = Date.now() / 1_000;
  await until('Prometheus saw the daemon',
    async () => (await prometheus.scrapes(before)) >= 2, 20_000 + 5 * SCRAPE_S * 1_000);
  const from = Math.floor(Date.now() / 1_000);
  const load = startLoad(world, SCREENSHOTS_S > 0 ? PICTURED : STEADY);
  await sleep(LOAD_S * 1_000);
  await untilSeen(prometheus, load, from);
  const to = Math.floor(Date.now() / 1_000);
  const span: Span = { from: from + 1, to, step: SCRAPE_S };
  const metrics = await daemon.admin('GET', '/metrics');
  const drawings = new Map<string, ReturnType<typeof pageOf>>();
  for (const name of DASHBOARDS) {
    await t.test(`${name}: every expression returns data`, async (t) => {
      const { dashboard, answers, annotations } = await askAll(t, prometheus, name, span);
      drawings.set(name, pageOf(dashboard, answers, span, annotations));
    });
  }
  await t.test('the tenant dashboard with something chosen', async (t) => {
    for (const choice of choicesFor(`127.0.0.1:${daemon.adminPort}`)) {
      await askChosen(t, prometheus, span, choice);
    }
  });
  await t.test('every rule works', (t) => checkRules(t, prometheus, to));
  t.strictSame(await notYet(prometheus), [], 'every failure happened');
  await load.stop();
  t.equal(promtool(metrics.text) ?? 'no promtool', '', 'promtool has nothing against the metrics');
  for (const [name, page] of drawings) {
    await t.test(`${name}: drawn`, (t) => look(t, name, page));
  }
});
