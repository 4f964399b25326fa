/**
 * The kinds of panels that the dashboards are made of. Each takes what a panel is about (title,
 * what it tells, expressions, unit) and leaves the looks to one place.
 */

import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  BigValueColorMode, BigValueGraphMode, LegendDisplayMode, LegendPlacement,
  ReduceDataOptionsBuilder, StackingConfigBuilder, StackingMode, TooltipDisplayMode,
  VizLegendOptionsBuilder, VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  DashboardLinkBuilder, ThresholdsConfigBuilder, ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import {
  HeatmapColorMode, HeatmapColorOptionsBuilder, PanelBuilder as Heatmap, YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as Table } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeSeries } from '@grafana/grafana-foundation-sdk/timeseries';

import { PANEL_WINDOW } from './series.ts';
import { DATASOURCE } from './variables.ts';

/** A line, or as many lines as the expression has series. `legend` may use their labels. */
export interface Line {
  readonly expression: string;
  readonly legend: string;
}

/** Units by Grafana's names for them. */
export type Unit =
  | 's' | 'bytes' | 'Bps' | 'reqps' | 'ops' | 'percentunit' | 'short' | 'dtdurations' | 'none';

export interface PanelText {
  readonly title: string;
  /** What the panel tells, and what to make of it. */
  readonly tells: string;
  readonly unit: Unit;
  /** Of the 24 columns of a dashboard. */
  readonly width: number;
  /** Rows; each kind of panel has its own by default. */
  readonly height?: number;
}

export interface LinesSpec extends PanelText {
  readonly lines: readonly Line[];
  readonly stacked?: boolean;
  readonly max?: number;
}

export interface StatSpec extends PanelText {
  readonly expression: string;
  /** From which value on it is shown as a warning, and as an alarm; `below`: down to which. */
  readonly warns?: { readonly at: number; readonly alarm: number; readonly below?: boolean };
}

export interface HeatSpec extends PanelText {
  /** A selector of a histogram's buckets. */
  readonly buckets: string;
}

export interface Column extends Line {
  readonly unit: Unit;
}

export interface TableSpec extends Omit<PanelText, 'unit'> {
  /** One column for each; rows are joined by the labels in `keys`. */
  readonly columns: readonly Column[];
  readonly keys: readonly string[];
  /** The column by which rows are sorted, largest first. */
  readonly sort: string;
  /** Where a click on the first key leads. */
  readonly link?: { readonly title: string; readonly url: string };
}

const HEIGHT = 8;
const STAT_HEIGHT = 4;
const TABLE_HEIGHT = 10;
const REF_IDS = 'ABCDEFGHIJ';
const [GREEN, AMBER, RED] = ['green', 'orange', 'red'] as const;

function query({ expression, legend }: Line, index: number): DataqueryBuilder {
  return new DataqueryBuilder()
    .datasource(DATASOURCE)
    .expr(expression)
    .legendFormat(legend)
    .refId(REF_IDS[index] ?? '');
}

export function lines(spec: LinesSpec): Builder<Panel> {
  const panel = new TimeSeries()
    .title(spec.title).description(spec.tells).unit(spec.unit).span(spec.width)
    .height(spec.height ?? HEIGHT)
    .datasource(DATASOURCE)
    .min(0)
    .lineWidth(1)
    .fillOpacity(spec.stacked === true ? 40 : 8)
    .legend(new VizLegendOptionsBuilder()
      .displayMode(LegendDisplayMode.Table).placement(LegendPlacement.Bottom).showLegend(true)
      .calcs(['lastNotNull', 'max']))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi));
  if (spec.stacked === true) {
    panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  }
  if (spec.max !== undefined) panel.max(spec.max);
  for (const [index, line] of spec.lines.entries()) panel.withTarget(query(line, index).range());
  return panel;
}

function thresholds(warns: StatSpec['warns']): ThresholdsConfigBuilder {
  const config = new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute);
  if (warns === undefined) return config.steps([{ value: null, color: GREEN }]);
  const { at, alarm, below } = warns;
  return config.steps(below === true
    ? [{ value: null, color: RED }, { value: alarm, color: AMBER }, { value: at, color: GREEN }]
    : [{ value: null, color: GREEN }, { value: at, color: AMBER }, { value: alarm, color: RED }]);
}

/** One number of now, over the line of how it came to be. */
export function stat(spec: StatSpec): Builder<Panel> {
  return new Stat()
    .title(spec.title).description(spec.tells).unit(spec.unit).span(spec.width)
    .height(spec.height ?? STAT_HEIGHT)
    .datasource(DATASOURCE)
    .graphMode(BigValueGraphMode.Area)
    .colorMode(BigValueColorMode.Value)
    .thresholds(thresholds(spec.warns))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .withTarget(query({ expression: spec.expression, legend: spec.title }, 0).range());
}

/** How many values fell into each bucket of a histogram, over time. */
export function heat(spec: HeatSpec): Builder<Panel> {
  const expression = `sum by (le) (increase(${spec.buckets}[${PANEL_WINDOW}]))`;
  return new Heatmap()
    .title(spec.title).description(spec.tells).span(spec.width)
    .height(spec.height ?? HEIGHT)
    .datasource(DATASOURCE)
    .calculate(false)
    .color(new HeatmapColorOptionsBuilder()
      .mode(HeatmapColorMode.Scheme).scheme('Oranges').steps(64))
    .yAxis(new YAxisConfigBuilder().unit(spec.unit))
    .withTarget(query({ expression, legend: '{{le}}' }, 0)
      .range().format(PromQueryFormat.Heatmap));
}

export function table(spec: TableSpec): Builder<Panel> {
  const panel = new Table()
    .title(spec.title).description(spec.tells).span(spec.width)
    .height(spec.height ?? TABLE_HEIGHT)
    .datasource(DATASOURCE);
  const names: Record<string, string> = {};
  const order: Record<string, number> = {};
  for (const [index, key] of spec.keys.entries()) order[key] = index;
  for (const [index, column] of spec.columns.entries()) {
    panel.withTarget(query(column, index).instant().format(PromQueryFormat.Table));
    const value = spec.columns.length === 1 ? 'Value' : `Value #${REF_IDS[index] ?? ''}`;
    names[value] = column.legend;
    order[value] = spec.keys.length + index;
    panel.overrideByName(column.legend, [{ id: 'unit', value: column.unit }]);
  }
  if (spec.link !== undefined) {
    const link = new DashboardLinkBuilder(spec.link.title).url(spec.link.url).build();
    panel.overrideByName(spec.keys[0] ?? '', [{ id: 'links', value: [link] }]);
  }
  return panel
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({ id: 'organize', options: {
      excludeByName: { Time: true }, indexByName: order, renameByName: names } })
    .withTransformation({ id: 'sortBy', options: {
      fields: {}, sort: [{ field: spec.sort, desc: true }] } });
}
