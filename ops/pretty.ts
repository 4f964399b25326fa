/**
 * A line of the log for people: requests and guest lines in a form of their own, everything else as
 * pino-pretty has it. Used on the daemon's own terminal and by `wardian tail`.
 */

import pretty from 'pino-pretty';

import { escapeControls } from './escape.ts';

const COLORS = { red: 31, green: 32, yellow: 33, blue: 34, gray: 90 } as const;
type Color = keyof typeof COLORS;

interface Line {
  readonly level: number;
  readonly time: number;
  readonly kind?: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

const factories = new Map<boolean, (line: object) => string>();

function daemonLine(line: object, colors: boolean): string {
  let factory = factories.get(colors);
  if (factory === undefined) {
    const options = { colorize: colors, ignore: 'pid,hostname', singleLine: true };
    factory = pretty.prettyFactory(options) as (line: object) => string;
    factories.set(colors, factory);
  }
  return factory(line).trimEnd();
}

function statusColor(status: number): Color {
  if (status >= 500) return 'red';
  if (status >= 400) return 'yellow';
  return status >= 300 ? 'blue' : 'green';
}

function clock(time: number): string {
  const date = new Date(time);
  const two = (part: number): string => String(part).padStart(2, '0');
  const seconds = `${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
  return `${two(date.getHours())}:${two(date.getMinutes())}:${seconds}`;
}

function requestLine(line: Line, paint: (color: Color, text: string) => string): string {
  const status = Number(line['status']);
  const text = (field: string): string => String(line[field] ?? '-');
  const app = line['app'] === undefined ? '-' : `${text('app')}@${text('version')}`;
  const parts = [
    paint('gray', clock(line.time)),
    paint(statusColor(status), String(status)),
    line['method'] === undefined ? text('msg')
      : `${text('method')} ${text('host')}${text('target')}`,
    paint('gray', app),
  ];
  if (line['totalMs'] !== undefined) parts.push(`${text('totalMs')} ms`);
  if (line['fuel'] !== undefined) parts.push(paint('gray', `fuel ${text('fuel')}`));
  if (line['error'] !== undefined) {
    parts.push(paint('red', `${text('error')}: ${text('reason')}`));
  }
  parts.push(paint('gray', text('requestId')));
  return parts.join('  ');
}

/** Text of clients and guests gets into the daemon's own lines too; a stack keeps its lines. */
function safe(field: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (field !== 'stack') return escapeControls(value);
  return value.split('\n').map(escapeControls).join('\n');
}

/** One line of JSON as text, without a line feed; control characters are escaped. */
export function prettyLine(json: string, colors: boolean): string {
  const paint = (color: Color, text: string): string =>
    colors ? `\u001b[${COLORS[color]}m${text}\u001b[0m` : text;
  const line = JSON.parse(json, safe) as Line;
  if (line.kind === 'request') return requestLine(line, paint);
  if (line.kind !== 'guest') return daemonLine(line, colors);
  const color = line.level >= 50 ? 'red' : line.level >= 40 ? 'yellow' : 'blue';
  const text = (field: string): string => String(line[field] ?? '-');
  const app = `${text('app')}@${text('version')}`;
  const source = paint(color, text('source'));
  return [paint('gray', clock(line.time)), source, paint('gray', app), line.msg ?? ''].join('  ');
}
