/**
 * Writes all that is generated here: dashboards as JSON, rules and provisioning as YAML. A test
 * holds the files to this code.
 *
 * usage: node grafana/build.ts [--runbooks <URL of the runbooks, for the alerts>] [--out <folder>]
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';

import { hotPath } from './hot-path.ts';
import { operations } from './operations.ts';
import { dashboardProviders, datasources, prometheusConfig } from './provisioning.ts';
import { RUNBOOKS, alertRules, recordingRules } from './rules.ts';
import { tenant } from './tenant.ts';

const NOTE = '# Written by grafana/build.ts; change it there.\n';
const COLUMNS = 100;

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
const yaml = (value: unknown): string =>
  NOTE + stringify(value, { lineWidth: COLUMNS, aliasDuplicateObjects: false });

/** Every generated file by its path in this folder. */
export function generated(runbooks: string = RUNBOOKS): ReadonlyMap<string, string> {
  return new Map([
    ['dashboards/hot-path.json', json(hotPath())],
    ['dashboards/tenant.json', json(tenant())],
    ['dashboards/operations.json', json(operations())],
    ['rules/recordings.yaml', yaml(recordingRules())],
    ['rules/alerts.yaml', yaml(alertRules(runbooks))],
    ['prometheus.yaml', yaml(prometheusConfig())],
    ['provisioning/datasources/wardian.yaml', yaml(datasources())],
    ['provisioning/dashboards/wardian.yaml', yaml(dashboardProviders())],
  ]);
}

function main(): void {
  const { values } = parseArgs({ options: {
    runbooks: { type: 'string', default: RUNBOOKS },
    out: { type: 'string', default: fileURLToPath(new URL('.', import.meta.url)) },
  } });
  for (const [path, text] of generated(values.runbooks)) {
    const file = resolve(values.out, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    console.log(file);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
