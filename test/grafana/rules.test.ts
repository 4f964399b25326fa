/**
 * The generated files without a daemon: that they are what the code makes, that alerts and
 * runbooks belong together, and what promtool says of configuration, rules, and each alert.
 */

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';
import { parse, stringify } from 'yaml';

import { ALERTS } from '../../grafana/alerts.ts';
import { generated } from '../../grafana/build.ts';
import { UIDS } from '../../grafana/dashboard.ts';
import { RUNBOOKS, anchorOf } from '../../grafana/rules.ts';
import { METRICS } from '../../ops/metrics.ts';
import { ALERT_CASES } from './alert-cases.ts';
import type { AlertCase } from './alert-cases.ts';

const FOLDER = fileURLToPath(new URL('../../grafana/', import.meta.url));
const runbooks = readFileSync(new URL(`../../${RUNBOOKS}`, import.meta.url), 'utf8');
const RULES = ['recordings', 'alerts'].map((name) => join(FOLDER, `rules/${name}.yaml`));

/** What promtool printed, and whether it was content; null where it is not installed. */
function promtool(...args: string[]): Promise<{ ok: boolean; text: string } | null> {
  return new Promise((done, failed) => {
    execFile('promtool', args, (error, stdout, stderr) => {
      if (error === null) return done({ ok: true, text: stdout + stderr });
      if (error.code === 'ENOENT') return done(null);
      if (typeof error.code !== 'number') return failed(error);
      done({ ok: false, text: stdout + stderr });
    });
  });
}

async function isContent(t: Test, ...args: string[]): Promise<void> {
  const said = await promtool(...args);
  if (said !== null) t.ok(said.ok, `promtool ${args[0]} ${args[1]}: ${said.text}`);
  else if (process.env['CI'] === 'true') t.fail('promtool is not installed');
  else t.comment('skipped: promtool is not installed (Debian package prometheus)');
}

t.test('the generated files are what the code makes', async (t) => {
  for (const [path, text] of generated()) {
    t.equal(readFileSync(join(FOLDER, path), 'utf8'), text, `${path}; run: node grafana/build.ts`);
  }
});

t.test('the address of the runbooks can be changed', async (t) => {
  const text = generated('https://wiki.example/runbooks').get('rules/alerts.yaml') ?? '';
  t.match(text, 'https://wiki.example/runbooks#wardiannodedown');
  t.notMatch(text, RUNBOOKS);
});

t.test('each alert has a runbook, and each runbook an alert', async (t) => {
  const sections = runbooks.split(/^## /m).slice(1);
  const headings = sections.map((section) => section.slice(0, section.indexOf('\n')));
  t.strictSame(headings.toSorted(), ALERTS.map(({ name }) => name).toSorted());
  for (const section of sections) t.ok(section.length > 200, section.slice(0, 30));
  const rules = parse(readFileSync(RULES[1] ?? '', 'utf8')) as {
    groups: { rules: { alert: string; annotations: Record<string, string> }[] }[];
  };
  const alerts = rules.groups.flatMap((group) => group.rules);
  for (const { alert, annotations } of alerts) {
    t.equal(annotations['runbook_url'], `${RUNBOOKS}#${anchorOf(alert)}`);
    t.ok(Object.values<string>(UIDS).includes(annotations['dashboard'] ?? ''), alert);
  }
});

t.test('runbooks speak of what there is', async (t) => {
  const dashboards = [...generated()].filter(([path]) => path.startsWith('dashboards/'))
    .map(([, text]) => text).join();
  const prose = runbooks.replaceAll(/\s+/g, ' ');
  const panels = [...prose.matchAll(/(?<!\*)\*([A-Z][^*]+)\*/g)].map(([, title = '']) => title);
  t.ok(panels.length > 20);
  const missing = new Set(panels.filter(
    (title) => title !== 'past its deadline' && !dashboards.includes(`"title": "${title}"`)));
  t.strictSame([...missing], [], 'panels that are not there');
  const metrics: readonly string[] = METRICS.map(({ name }) => name);
  const named = [...prose.matchAll(/`(wardian_\w+)`/g)].map(([, name = '']) => name);
  t.strictSame(named.filter((name) => !metrics.includes(name)), []);
  const alerts = new Set(ALERTS.map(({ name }) => name));
  const seen = [...prose.matchAll(/\bWardian[A-Z]\w+/g)].map(([name]) => name);
  t.strictSame(seen.filter((name) => !alerts.has(name)), []);
});

t.test('promtool accepts configuration and rules', async (t) => {
  await isContent(t, 'check', 'rules', ...RULES);
  await isContent(t, 'check', 'config', '--syntax-only', join(FOLDER, 'prometheus.yaml'));
});

/** A case as `promtool test rules` has it. */
function ruleTest({ alert, series, at, interval, fires }: AlertCase) {
  const anchor = `${RUNBOOKS}#${anchorOf(alert)}`;
  const { dashboard } = ALERTS.find(({ name }) => name === alert) ?? {};
  return {
    interval: interval ?? '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [{
      eval_time: at,
      alertname: alert,
      exp_alerts: fires === null ? [] : [{
        exp_labels: fires.labels,
        exp_annotations: { summary: fires.summary, runbook_url: anchor, dashboard },
      }],
    }],
  };
}

t.test('each alert fires when it should, and only then', async (t) => {
  for (const { name } of ALERTS) {
    const cases = ALERT_CASES.filter(({ alert }) => alert === name);
    t.ok(cases.some(({ fires }) => fires !== null), `${name} is seen firing`);
    t.ok(cases.some(({ fires }) => fires === null), `${name} is seen quiet`);
  }
  const folder = mkdtempSync(join(tmpdir(), 'wardian-rules-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const interval of ['1m', '5m']) {
    const cases = ALERT_CASES.filter((one) => (one.interval ?? '1m') === interval);
    const file = join(folder, `${interval}.yaml`);
    writeFileSync(file, stringify({
      rule_files: RULES,
      evaluation_interval: interval,
      group_eval_order: ['wardian-recordings', 'wardian-alerts'],
      tests: cases.map(ruleTest),
    }, { aliasDuplicateObjects: false }));
    await isContent(t, 'test', 'rules', file);
  }
});

interface Compose {
  readonly services: Readonly<Record<string, {
    readonly command?: readonly string[];
    readonly volumes: readonly string[];
  }>>;
}

t.test('compose.yaml fits what is generated', async (t) => {
  const root = new URL('../../', import.meta.url);
  const { services } = parse(readFileSync(new URL('compose.yaml', root), 'utf8')) as Compose;
  const mounts = Object.values(services).flatMap(({ volumes }) => volumes)
    .filter((volume) => volume.startsWith('./'));
  t.equal(mounts.length, 4);
  for (const mount of mounts) {
    t.ok(existsSync(new URL(mount.split(':')[0] ?? '', root)), mount);
  }
  const address = services['prometheus']?.command
    ?.find((flag) => flag.startsWith('--web.listen-address='))?.split('=')[1];
  t.match(generated().get('provisioning/datasources/wardian.yaml'), `url: http://${address}\n`);
  t.match(generated().get('provisioning/dashboards/wardian.yaml'), mounts
    .find((mount) => mount.includes('/dashboards:'))?.split(':')[1] ?? 'no mount');
  t.match(generated().get('prometheus.yaml'), '/etc/prometheus/rules/*.yaml');
  t.ok(mounts.some((mount) => mount.includes(':/etc/prometheus/rules:')));
});
