/** The generated dashboards as the tests read them: panels, and what they ask of Prometheus. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { FOLDER, SCRAPE_S } from './prometheus.ts';

export interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat: string;
  readonly instant?: boolean;
  readonly format?: string;
}

/** In columns, of which there are 24, and rows. */
export interface GridPosition {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: GridPosition;
  readonly targets?: readonly Target[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly max?: number;
      readonly thresholds?: { readonly steps: readonly { value: number | null; color: string }[] };
      readonly custom?: { readonly stacking?: { readonly mode: string } };
    };
    readonly overrides: readonly {
      readonly matcher: { readonly options: string };
      readonly properties: readonly { readonly id: string; readonly value: unknown }[];
    }[];
  };
  readonly options?: { readonly yAxis?: { readonly unit?: string } };
  readonly transformations?: readonly {
    readonly id: string;
    readonly options: Record<string, unknown>;
  }[];
}

export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
  readonly allValue?: string;
}

export interface DashboardFile {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: {
    readonly list?: readonly { readonly name: string; readonly expr: string }[];
  };
}

export const DASHBOARDS = ['hot-path', 'tenant', 'operations'] as const;

export function readDashboard(name: string): DashboardFile {
  const text = readFileSync(join(FOLDER, `dashboards/${name}.json`), 'utf8');
  return JSON.parse(text) as DashboardFile;
}

/** What is chosen of a dashboard's variables: one value, or several joined by `|`; absent: All. */
export interface Choice {
  readonly instance?: string;
  readonly tenant?: string;
  readonly app?: string;
}

/**
 * What Grafana would put for its variables: `.+` for All, a value as it is, several in parentheses
 * with the special characters of regular expressions escaped.
 */
export function substituted(expression: string, choice: Choice = {}): string {
  const text = expression
    .replaceAll('$__rate_interval', `${4 * SCRAPE_S}s`)
    .replaceAll(/\$(instance|tenant|app)\b/g, (_, name: keyof Choice) => {
      const values = choice[name]?.split('|');
      if (values === undefined) return '.+';
      const escaped = values.map((value) => value.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\\\$&'));
      return escaped.length === 1 ? escaped[0] ?? '' : `(${escaped.join('|')})`;
    });
  if (text.includes('$')) throw new Error(`a variable is left in ${text}`);
  return text;
}

/** The selector and label of a `label_values` query. */
export function labelValuesOf({ query }: Variable): { selector: string; label: string } {
  const text = typeof query === 'string' ? query : query.query;
  const match = /^label_values\((.+), (\w+)\)$/.exec(text);
  if (match === null) throw new Error(`not a query for label values: ${text}`);
  return { selector: substituted(match[1] ?? ''), label: match[2] ?? '' };
}
