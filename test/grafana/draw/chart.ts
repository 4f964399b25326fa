/** Charts as SVG: lines, stacked areas, and heat maps of a histogram's buckets. */

import type { Series, Span } from '../prometheus.ts';
import { escaped, formatted } from './format.ts';

export interface Drawn {
  readonly legend: string;
  readonly series: Series;
}

export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly span: Span;
  readonly unit: string | undefined;
  /** Moments to mark: annotations of the dashboard. */
  readonly marks?: readonly number[];
}

const COLOURS = [
  '#73bf69', '#f2cc0c', '#5794f2', '#ff780a', '#f2495c', '#b877d9', '#37872d', '#8ab8ff',
  '#fade2a', '#c4162a', '#3274d9', '#ffa6b0', '#96d98d', '#a352cc', '#e0b400', '#1f60c4',
];
const LEFT = 76;
const BOTTOM = 18;
const LEGEND_ROW = 15;
const LEGEND_ROWS_MAX = 6;
const GRID_LINES = 4;

const colourOf = (index: number): string => COLOURS[index % COLOURS.length] ?? '#ccc';

/** The next number above that makes round grid lines. */
function roundedUp(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const factor of [1, 2, 4, 5, 10]) if (factor * power >= value) return factor * power;
  return value;
}

const lastOf = ({ series }: Drawn): number =>
  series.values.findLast(([, value]) => Number.isFinite(value))?.[1] ?? Number.NaN;

interface Plot {
  readonly x: (at: number) => number;
  readonly y: (value: number) => number;
  readonly height: number;
  readonly width: number;
}

function plotOf({ width, height, span }: Frame, top: number, legendRows: number): Plot {
  const inner = height - BOTTOM - legendRows * LEGEND_ROW - 4;
  const across = width - LEFT - 8;
  return {
    x: (at) => LEFT + ((at - span.from) / (span.to - span.from)) * across,
    y: (value) => 4 + (1 - value / top) * inner,
    height: inner, width: across,
  };
}

function axes({ span, unit }: Frame, plot: Plot, top: number): string {
  const parts: string[] = [];
  for (let line = 0; line <= GRID_LINES; line += 1) {
    const value = (top * line) / GRID_LINES;
    const y = plot.y(value).toFixed(1);
    parts.push(`<line x1="${LEFT}" x2="${LEFT + plot.width}" y1="${y}" y2="${y}" class="grid"/>`,
      `<text x="${LEFT - 5}" y="${y}" dy="4" class="y">${formatted(value, unit)}</text>`);
  }
  for (const share of [0, 0.5, 1]) {
    const at = new Date((span.from + share * (span.to - span.from)) * 1_000);
    const x = LEFT + share * plot.width;
    const anchor = ['start', 'middle', 'end'][share * 2] ?? '';
    parts.push(`<text x="${x}" y="${plot.height + 18}" text-anchor="${anchor}">` +
      `${at.toISOString().slice(11, 19)}</text>`);
  }
  return parts.join('');
}

function legends({ height, unit, width }: Frame, drawn: readonly Drawn[], rows: number): string {
  const shown = drawn.length > rows ? drawn.slice(0, rows - 1) : drawn;
  const lines = shown.map((one, index) => ({
    colour: colourOf(index), text: one.legend, last: formatted(lastOf(one), unit) }));
  if (shown.length < drawn.length) {
    lines.push({ colour: 'none', text: `and ${drawn.length - shown.length} more`, last: '' });
  }
  return lines.map(({ colour, text, last }, index) => {
    const y = height - (lines.length - index) * LEGEND_ROW + 10;
    return `<rect x="8" y="${y - 7}" width="10" height="3" fill="${colour}"/>` +
      `<text x="24" y="${y}">${escaped(text)}</text>` +
      `<text x="${width - 8}" y="${y}" text-anchor="end">${last}</text>`;
  }).join('');
}

const finite = (value: number): number => (Number.isFinite(value) ? value : 0);

/** Values of all series at each step; those below are added where they are stacked. */
function levels(drawn: readonly Drawn[], stacked: boolean): Map<number, number>[] {
  const sums = new Map<number, number>();
  return drawn.map(({ series }) => new Map(series.values.map(([at, value]) => {
    const level = stacked ? (sums.get(at) ?? 0) + finite(value) : value;
    sums.set(at, finite(level));
    return [at, level] as const;
  })));
}

/** Points in a row; a gap begins another. */
function pieces(values: ReadonlyMap<number, number>, plot: Plot, step: number): string[][] {
  const found: string[][] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const [at, value] of values) {
    if (!Number.isFinite(value)) continue;
    if (at - last > step * 1.5) found.push([]);
    found.at(-1)?.push(`${plot.x(at).toFixed(1)},${plot.y(value).toFixed(1)}`);
    last = at;
  }
  return found;
}

/** Upright lines at the annotations' moments. */
function markLines({ marks = [] }: Frame, plot: Plot): string {
  return marks.map((at) => {
    const x = plot.x(at).toFixed(1);
    return `<line x1="${x}" x2="${x}" y1="4" y2="${plot.y(0).toFixed(1)}" class="mark"/>`;
  }).join('');
}

export function lineChart(
  all: readonly Drawn[], frame: Frame, stacked: boolean, max: number | undefined,
): string {
  const drawn = all.toSorted((a, b) => finite(lastOf(b)) - finite(lastOf(a)));
  const rows = Math.min(drawn.length, LEGEND_ROWS_MAX);
  const values = levels(drawn, stacked);
  const finites = values.flatMap((one) => [...one.values()].filter(Number.isFinite));
  const largest = Math.max(0, ...finites);
  const top = max ?? roundedUp(largest);
  const plot = plotOf(frame, top, rows);
  const shapes = values.map((one, index) => pieces(one, plot, frame.span.step).map((points) => {
    const colour = colourOf(index);
    const line = `<polyline points="${points.join(' ')}" stroke="${colour}" class="line"/>`;
    if (!stacked) return line;
    const [first = '', end = ''] = [points[0], points.at(-1)].map((point) => point?.split(',')[0]);
    return `<polygon points="${first},${plot.y(0)} ${points.join(' ')} ${end},${plot.y(0)}" ` +
      `fill="${colour}" fill-opacity="0.55"/>${line}`;
  }).join(''));
  // The lowest area last, so that it lies over those that were drawn down to the ground.
  const order = stacked ? shapes.toReversed() : shapes;
  const within = `<svg x="0" y="0" width="${frame.width}" height="${plot.height + 6}">`;
  return `${axes(frame, plot, top)}${within}${order.join('')}${markLines(frame, plot)}</svg>` +
    legends(frame, drawn, rows);
}

/** Prometheus's buckets hold all that is smaller too: how many fell into each alone. */
export function heatMap(series: readonly Series[], frame: Frame): string {
  const bound = ({ metric }: Series): number => Number(metric['le']?.replace('+Inf', 'Infinity'));
  const buckets = series.toSorted((a, b) => bound(a) - bound(b));
  const plot = plotOf(frame, buckets.length, 0);
  const cells: { at: number; row: number; count: number }[] = [];
  const below = new Map<number, number>();
  for (const [row, bucket] of buckets.entries()) {
    for (const [at, value] of bucket.values) {
      const count = finite(value) - (below.get(at) ?? 0);
      below.set(at, finite(value));
      if (count > 0.01) cells.push({ at, row, count });
    }
  }
  const most = Math.max(1, ...cells.map(({ count }) => count));
  const across = (plot.width * frame.span.step) / (frame.span.to - frame.span.from) + 0.6;
  const rects = cells.map(({ at, row, count }) => {
    const heat = Math.log1p(count) / Math.log1p(most);
    return `<rect x="${plot.x(at).toFixed(1)}" y="${plot.y(row + 1).toFixed(1)}" ` +
      `width="${across.toFixed(1)}" height="${(plot.height / buckets.length - 1).toFixed(1)}" ` +
      `fill="hsl(${(45 - 40 * heat).toFixed(0)} 95% ${(20 + 42 * heat).toFixed(0)}%)"/>`;
  });
  const names = buckets.map((bucket, row) => {
    if (row % Math.ceil(buckets.length / 9) !== 0 && row !== buckets.length - 1) return '';
    return `<text x="${LEFT - 5}" y="${plot.y(row + 0.5).toFixed(1)}" dy="4" class="y">` +
      `${formatted(bound(bucket), frame.unit)}</text>`;
  });
  return names.join('') + rects.join('');
}

/** The line under a number. */
export function sparkline(series: Series | undefined, frame: Frame, colour: string): string {
  if (series === undefined) return '';
  const largest = Math.max(...series.values.map(([, value]) => finite(value)));
  const { x: _x, ...plot } = plotOf({ ...frame, height: frame.height + BOTTOM }, largest || 1, 0);
  const x = (at: number): number =>
    ((at - frame.span.from) / (frame.span.to - frame.span.from)) * frame.width;
  const points = series.values.map(([at, value]) =>
    `${x(at).toFixed(1)},${plot.y(finite(value)).toFixed(1)}`).join(' ');
  return `<polyline points="${points}" stroke="${colour}" class="line"/>`;
}
