/**
 * A dashboard as a page of HTML: each panel where the generated JSON puts it, drawn from what
 * Prometheus answered. A renderer of our own; it does not claim to look like Grafana.
 */

import type { DashboardFile, Panel, Target } from '../panels.ts';
import type { Series, Span } from '../prometheus.ts';
import { heatMap, lineChart, sparkline } from './chart.ts';
import type { Frame } from './chart.ts';
import { escaped, formatted, legendOf } from './format.ts';

/** Answers by panel and query, such as `12A`. */
export type Answers = ReadonlyMap<string, readonly Series[]>;

export const keyOf = (panel: Panel, target: Target): string => `${panel.id}${target.refId}`;

const COLUMN = 60;
const ROW = 34;
const GAP = 6;
const TITLE = 26;
const TABLE_ROW = 23;
const RGB: Readonly<Record<string, string>> = {
  green: '#73bf69', orange: '#ff9830', red: '#f2495c',
};

const STYLE = `
  body { margin: 0; background: #111217; color: #ccccdc; font: 12px system-ui, sans-serif; }
  h1 { font-size: 18px; margin: 12px 14px; }
  main { position: relative; margin: 0 8px; }
  section { position: absolute; background: #181b1f; border: 1px solid #2c3035;
    box-sizing: border-box; overflow: hidden; border-radius: 2px; }
  section.row { background: none; border: 0; font-weight: 600; font-size: 14px; padding: 10px 4px; }
  h2 { font-size: 13px; font-weight: 500; margin: 6px 8px 4px; }
  svg text { fill: #9fa7b3; font-size: 11px; }
  svg .y { text-anchor: end; }
  svg .grid { stroke: #2c3035; }
  svg .line { fill: none; stroke-width: 1.4; }
  svg .mark { stroke: #5794f2; stroke-dasharray: 3 3; }
  .number { font-size: 30px; font-weight: 600; text-align: center; margin: 4px; }
  table { width: 100%; border-collapse: collapse; }
  td, th { text-align: right; padding: 3px 8px; border-top: 1px solid #2c3035; font-weight: 400; }
  th { color: #6e9fff; border: 0; }
  td.key, th.key { text-align: left; }
  .none { color: #f2495c; padding: 8px; }`;

interface Parts {
  readonly panel: Panel;
  readonly answers: Answers;
  readonly frame: Frame;
}

const seriesOf = ({ panel, answers }: Parts, target: Target): readonly Series[] =>
  answers.get(keyOf(panel, target)) ?? [];

const svg = ({ width, height }: Frame, inside: string): string =>
  `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${inside}</svg>`;

function timeSeries(parts: Parts): string {
  const { panel, frame } = parts;
  const drawn = (panel.targets ?? []).flatMap((target) => seriesOf(parts, target).map((series) => (
    { legend: legendOf(target.legendFormat, series.metric), series })));
  const { defaults } = panel.fieldConfig ?? {};
  const stacked = defaults?.custom?.stacking?.mode === 'normal';
  return svg(frame, lineChart(drawn, frame, stacked, defaults?.max));
}

function stat(parts: Parts): string {
  const { panel, frame } = parts;
  const [target] = panel.targets ?? [];
  const series = target === undefined ? undefined : seriesOf(parts, target)[0];
  const value = series?.values.findLast(([, one]) => Number.isFinite(one))?.[1] ?? Number.NaN;
  const steps = panel.fieldConfig?.defaults.thresholds?.steps ?? [];
  const step = steps.findLast((one) => one.value === null || value >= one.value);
  const colour = RGB[step?.color ?? ''] ?? '#ccccdc';
  const under = { ...frame, height: frame.height - 46 };
  return `<div class="number" style="color:${colour}">${formatted(value, frame.unit)}</div>` +
    svg(under, sparkline(series, under, colour));
}

function heatmap(parts: Parts): string {
  const { panel, frame } = parts;
  const series = (panel.targets ?? []).flatMap((target) => seriesOf(parts, target));
  const unit = panel.options?.yAxis?.unit;
  return svg(frame, heatMap(series, { ...frame, unit }));
}

function unitsByColumn({ fieldConfig }: Panel): Map<string, string> {
  const units = new Map<string, string>();
  for (const { matcher, properties } of fieldConfig?.overrides ?? []) {
    const unit = properties.find(({ id }) => id === 'unit')?.value;
    if (typeof unit === 'string') units.set(matcher.options, unit);
  }
  return units;
}

/** Rows of all queries that have the same labels are one row. */
function table(parts: Parts): string {
  const { panel } = parts;
  const targets = panel.targets ?? [];
  const units = unitsByColumn(panel);
  const rows = new Map<string, { keys: Readonly<Record<string, string>>; values: number[] }>();
  for (const [column, target] of targets.entries()) {
    for (const { metric, values } of seriesOf(parts, target)) {
      const { __name__: _name, ...keys } = metric;
      const row = rows.get(JSON.stringify(keys)) ?? { keys, values: [] };
      row.values[column] = values[0]?.[1] ?? Number.NaN;
      rows.set(JSON.stringify(keys), row);
    }
  }
  const sort = panel.transformations?.find(({ id }) => id === 'sortBy')?.options['sort'];
  const field = (sort as { field: string }[] | undefined)?.[0]?.field ?? '';
  const at = targets.findIndex(({ legendFormat }) => legendFormat === field);
  const value = (row: { values: number[] }): number => row.values[Math.max(at, 0)] ?? 0;
  const sorted = [...rows.values()].toSorted((a, b) => value(b) - value(a));
  const organize = panel.transformations?.find(({ id }) => id === 'organize')?.options;
  const order = organize?.['indexByName'] as Record<string, number> | undefined;
  const labels = [...new Set(sorted.flatMap(({ keys }) => Object.keys(keys)))]
    .toSorted((a, b) => (order?.[a] ?? 99) - (order?.[b] ?? 99));
  const head = [...labels.map((label) => `<th class="key">${escaped(label)}</th>`),
    ...targets.map(({ legendFormat }) => `<th>${escaped(legendFormat)}</th>`)];
  const most = Math.floor(parts.frame.height / TABLE_ROW) - 1;
  const body = sorted.slice(0, most).map(({ keys, values }) => {
    const cells = [...labels.map((label) => `<td class="key">${escaped(keys[label] ?? '')}</td>`),
      ...targets.map(({ legendFormat }, column) =>
        `<td>${formatted(values[column] ?? Number.NaN, units.get(legendFormat))}</td>`)];
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<table><tr>${head.join('')}</tr>${body.join('')}</table>`;
}

const KINDS: Readonly<Record<string, (parts: Parts) => string>> = {
  timeseries: timeSeries, stat, heatmap, table,
};

function drawn(panel: Panel, answers: Answers, span: Span, marks: readonly number[]): string {
  const { x, y, w, h } = panel.gridPos;
  const place = `left:${x * COLUMN}px;top:${y * ROW}px;` +
    `width:${w * COLUMN - GAP}px;height:${h * ROW - GAP}px`;
  if (panel.type === 'row') {
    return `<section class="row" style="${place}">${escaped(panel.title)}</section>`;
  }
  const draw = KINDS[panel.type];
  if (draw === undefined) throw new Error(`no way to draw a panel of type ${panel.type}`);
  const frame = { width: w * COLUMN - GAP - 2, height: h * ROW - GAP - TITLE - 2, span,
    unit: panel.fieldConfig?.defaults.unit, marks };
  const parts: Parts = { panel, answers, frame };
  const empty = (panel.targets ?? []).every((target) => seriesOf(parts, target).length === 0);
  const inside = empty ? '<p class="none">no data</p>' : draw(parts);
  return `<section style="${place}" data-panel="${panel.id}" title="` +
    `${escaped(panel.description ?? '')}"><h2>${escaped(panel.title)}</h2>${inside}</section>`;
}

export interface Page {
  readonly html: string;
  readonly width: number;
  readonly height: number;
}

/** When the series of an annotation began to be there: each time after it was not. */
export function momentsOf(series: readonly Series[], step: number): number[] {
  return series.flatMap(({ values }) => values.flatMap(([at], index) => {
    const before = values[index - 1]?.[0] ?? Number.NEGATIVE_INFINITY;
    return at - before > step * 1.5 ? [at] : [];
  }));
}

/** `annotations`: what the dashboard's annotations were answered. */
export function pageOf(
  { title, panels }: DashboardFile, answers: Answers, span: Span, annotations: readonly Series[],
): Page {
  const marks = momentsOf(annotations, span.step);
  const rows = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const sections = panels.map((panel) => drawn(panel, answers, span, marks)).join('\n');
  const html = `<!doctype html><html><head><meta charset="utf-8"><title>${escaped(title)}</title>` +
    `<style>${STYLE}</style></head><body><h1>${escaped(title)}</h1>` +
    `<main style="height:${rows * ROW}px">${sections}</main></body></html>`;
  return { html, width: 24 * COLUMN + 12, height: rows * ROW + 56 };
}
