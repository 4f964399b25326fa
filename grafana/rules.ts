/** Alerts and recordings as Prometheus reads them. */

import { ALERTS } from './alerts.ts';
import type { Alert, Condition } from './alerts.ts';
import { RECORDINGS } from './recording.ts';

/** Where the runbooks are published; alerts point into it. */
export const RUNBOOKS = 'docs/runbooks.md';

/** The anchor of a heading, as GitHub and most others make it. */
export const anchorOf = (alert: string): string => alert.toLowerCase();

const isPlain = (value: string): boolean => /^[a-z_:][\w:]*(\{[^}]*\})?$/i.test(value);

function conditionText({ value, operator, threshold }: Condition): string {
  return `${isPlain(value) ? value : `(${value})`} ${operator} ${threshold}`;
}

export function expressionOf(alert: Alert): string {
  const ways = alert.when.map((all) => all.map(conditionText).join(' and '));
  return ways.length === 1 ? ways.join() : ways.map((way) => `(${way})`).join(' or ');
}

function alertRule(alert: Alert, runbooks: string) {
  return {
    alert: alert.name,
    expr: expressionOf(alert),
    ...(alert.holds === undefined ? {} : { for: alert.holds }),
    labels: { severity: alert.severity },
    annotations: {
      summary: alert.summary,
      runbook_url: `${runbooks}#${anchorOf(alert.name)}`,
      dashboard: alert.dashboard,
    },
  };
}

export function recordingRules() {
  return { groups: [{
    name: 'wardian-recordings',
    rules: RECORDINGS.map(({ record, expression }) => ({ record, expr: expression })),
  }] };
}

export function alertRules(runbooks: string) {
  return { groups: [
    { name: 'wardian-alerts', rules: ALERTS.map((alert) => alertRule(alert, runbooks)) },
  ] };
}
