/**
 * A real Prometheus (Debian package `prometheus`) with the configuration and rules that are
 * shipped, but for what a test must change: whom it scrapes, how often, and where rules are.
 */

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { parse, stringify } from 'yaml';

import { until } from '../e2e/world.ts';

export const FOLDER = fileURLToPath(new URL('../../grafana/', import.meta.url));
/** How long to load for pictures; 0: none are wanted. */
export const SCREENSHOTS_S = Number(process.env['WARDIAN_TEST_SCREENSHOTS'] ?? '0');
/** Not shorter: a scrape may take no longer, and the machine may be busy. */
export const SCRAPE_S = SCREENSHOTS_S > 0 ? 10 : 2;

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Seconds since the epoch, and the value. */
  readonly values: readonly (readonly [number, number])[];
}

export interface Rule {
  readonly name: string;
  readonly query: string;
  readonly health: string;
  readonly lastError?: string;
  readonly type: string;
  readonly state?: string;
}

export interface Span {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

export interface Prometheus {
  /** Values at one moment; each series has one. */
  instant(expression: string, at: number): Promise<Series[]>;
  range(expression: string, span: Span): Promise<Series[]>;
  rules(): Promise<Rule[]>;
  /** Scrapes since a moment that the daemon answered in time. */
  scrapes(since: number): Promise<number>;
}

export function isInstalled(): boolean {
  return spawnSync('prometheus', ['--version'], { stdio: 'ignore' }).error === undefined;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

interface ShippedConfig {
  global: Record<string, string>;
  rule_files: string[];
  scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
}

function configFor(target: string): string {
  const config = parse(readFileSync(join(FOLDER, 'prometheus.yaml'), 'utf8')) as ShippedConfig;
  config.global = { scrape_interval: `${SCRAPE_S}s`, evaluation_interval: `${SCRAPE_S}s` };
  config.rule_files = [join(FOLDER, 'rules/*.yaml')];
  for (const job of config.scrape_configs) job.static_configs = [{ targets: [target] }];
  return stringify(config);
}

interface ApiSeries {
  readonly metric: Record<string, string>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}

const numberOf = ([at, text]: readonly [number, string]): readonly [number, number] =>
  [at, text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text)];

function seriesOf({ metric, value, values }: ApiSeries): Series {
  return { metric, values: (values ?? (value === undefined ? [] : [value])).map(numberOf) };
}

/** An API of Prometheus; throws with its message when it refuses. */
async function api<T>(base: string, path: string, query: Record<string, string>): Promise<T> {
  const answer = await fetch(`${base}/api/v1/${path}?${new URLSearchParams(query)}`);
  const body = await answer.json() as { status: string; data: T; error?: string };
  if (body.status !== 'success') throw new Error(`${query['query'] ?? path}: ${body.error}`);
  return body.data;
}

export async function startPrometheus(t: Test, target: string): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'wardian-prometheus-'));
  const port = await freePort();
  const config = join(folder, 'prometheus.yaml');
  writeFileSync(config, configFor(target));
  const child = spawn('prometheus', [
    `--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn',
  ], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = new Promise((done) => child.once('exit', done));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  const base = `http://127.0.0.1:${port}`;
  const ready = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`prometheus ended: ${said}`);
    // Refused connections are what it is like before it listens.
    return fetch(`${base}/-/ready`).then(({ ok }) => ok, () => false);
  };
  await until('prometheus is ready', ready, 30_000);
  return {
    async instant(query, at) {
      const data = await api<{ result: ApiSeries[] }>(base, 'query', { query, time: String(at) });
      return data.result.map(seriesOf);
    },
    async range(query, { from, to, step }) {
      const data = await api<{ result: ApiSeries[] }>(base, 'query_range', {
        query, start: String(from), end: String(to), step: String(step) });
      return data.result.map(seriesOf);
    },
    async rules() {
      const data = await api<{ groups: { rules: Rule[] }[] }>(base, 'rules', {});
      return data.groups.flatMap(({ rules }) => rules);
    },
    async scrapes(since) {
      const now = Date.now() / 1_000;
      const seconds = Math.max(1, Math.ceil(now - since));
      const query = `count_over_time(wardian_build_info[${seconds}s])`;
      const data = await api<{ result: ApiSeries[] }>(
        base, 'query', { query, time: String(now) });
      return Number(data.result[0]?.value?.[1] ?? 0);
    },
  };
}
