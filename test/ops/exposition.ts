/** A strict reader of Prometheus text and OpenMetrics, for tests: whatever is not right throws. */

import { execFileSync } from 'node:child_process';

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const LINE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? (\\S+)$`);

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"/g)) {
    if (Object.hasOwn(labels, name)) throw new Error(`label ${name} twice in ${text}`);
    labels[name] = value.replaceAll(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
  }
  return labels;
}

function familyOf(families: Map<string, Family>, name: string): [string, Family] {
  for (const suffix of ['', '_bucket', '_sum', '_count', '_total']) {
    const base = name.slice(0, name.length - suffix.length);
    const family = name.endsWith(suffix) ? families.get(base) : undefined;
    if (family !== undefined) return [base, family];
  }
  throw new Error(`${name} has no TYPE before it`);
}

function head(families: Map<string, Family>, line: string): void {
  const match = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line);
  if (match === null) throw new Error(`not a comment of ours: ${line}`);
  const [, kind, name = '', text = ''] = match;
  if (kind === 'HELP') {
    if (families.has(name)) throw new Error(`${name} comes twice`);
    families.set(name, { type: '', help: text, samples: [] });
  } else {
    const family = families.get(name);
    if (family === undefined) throw new Error(`TYPE of ${name} without HELP`);
    families.set(name, { ...family, type: text });
  }
}

/** Families by name. Checks syntax, order, duplicates, and that histograms are whole. */
export function parse(text: string, open: boolean): Map<string, Family> {
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  if (!text.endsWith('\n')) throw new Error('no line feed at the end');
  const lines = text.slice(0, -1).split('\n');
  if (open && lines.pop() !== '# EOF') throw new Error('no # EOF at the end');
  for (const line of lines) {
    if (line === '' && !open) continue;
    if (line.startsWith('#')) {
      head(families, line);
      continue;
    }
    const match = LINE.exec(line);
    if (match === null) throw new Error(`not a sample: ${line}`);
    const [, name = '', labelText = '', number = ''] = match;
    const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
    if (Number.isNaN(value)) throw new Error(`not a number: ${line}`);
    const key = `${name}{${labelText}}`;
    if (seen.has(key)) throw new Error(`twice: ${key}`);
    seen.add(key);
    const [base, family] = familyOf(families, name);
    if (open && family.type === 'counter' && name !== `${base}_total`) {
      throw new Error(`a counter without _total: ${name}`);
    }
    family.samples.push({ name, labels: labelsOf(labelText), value });
  }
  for (const [name, family] of families) check(name, family);
  return families;
}

function check(name: string, { type, samples }: Family): void {
  if (!['counter', 'gauge', 'histogram'].includes(type)) throw new Error(`${name}: type ${type}`);
  if (type === 'counter' && samples.some(({ value }) => value < 0)) throw new Error(`${name} < 0`);
  if (type !== 'histogram') return;
  const series = new Map<string, { last: number; bound: number; count: number; sum: number }>();
  for (const sample of samples) {
    const { le, ...rest } = sample.labels;
    const key = JSON.stringify(rest);
    const one = series.get(key) ?? { last: 0, bound: -1, count: -1, sum: -1 };
    series.set(key, one);
    if (sample.name === `${name}_bucket`) {
      const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le);
      if (!(bound > one.bound)) throw new Error(`${name}: buckets out of order`);
      if (sample.value < one.last) throw new Error(`${name}: buckets fall`);
      one.last = sample.value;
      one.bound = bound;
    } else if (sample.name === `${name}_count`) one.count = sample.value;
    else one.sum = sample.value;
  }
  for (const [key, { last, bound, count, sum }] of series) {
    if (bound !== Number.POSITIVE_INFINITY) throw new Error(`${name}${key}: no +Inf`);
    if (count !== last || sum < 0) throw new Error(`${name}${key}: not whole`);
  }
}

/** The value of one series; undefined when there is none. */
export function valueOf(
  families: Map<string, Family>, name: string, labels: Readonly<Record<string, string>> = {},
): number | undefined {
  for (const { samples } of families.values()) {
    for (const sample of samples) {
      if (sample.name !== name) continue;
      const given = Object.entries(labels);
      if (given.every(([label, value]) => sample.labels[label] === value)) return sample.value;
    }
  }
  return undefined;
}

/** What `promtool check metrics` has to say; null where it is not installed. */
export function promtool(text: string): string | null {
  try {
    return execFileSync('promtool', ['check', 'metrics'], {
      input: text, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'],
    });
  } catch (error) {
    const { code, stderr, stdout } = error as { code?: string; stderr?: string; stdout?: string };
    if (code === 'ENOENT') return null;
    return `${stdout ?? ''}${stderr ?? ''}`;
  }
}
