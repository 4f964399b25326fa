/** Numbers as people read them, in the units that the panels name; and text safe for HTML. */

export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

function short(value: number): string {
  const size = Math.abs(value);
  for (const [factor, suffix] of [[1e9, ' G'], [1e6, ' M'], [1e3, ' k']] as const) {
    if (size >= factor) return `${trimmed(value / factor)}${suffix}`;
  }
  return trimmed(value);
}

function trimmed(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(size >= 100 ? 4 : 3)));
}

function seconds(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0 s';
  if (size < 0.001) return `${trimmed(value * 1e6)} µs`;
  if (size < 1) return `${trimmed(value * 1e3)} ms`;
  if (size < 120) return `${trimmed(value)} s`;
  return size < 7_200 ? `${trimmed(value / 60)} min` : `${trimmed(value / 3_600)} h`;
}

function bytes(value: number): string {
  const size = Math.abs(value);
  for (const [factor, suffix] of [[2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']] as const) {
    if (size >= factor) return `${trimmed(value / factor)} ${suffix}`;
  }
  return `${trimmed(value)} B`;
}

export function formatted(value: number, unit: string | undefined): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '–' : '∞';
  switch (unit) {
    case 's': case 'dtdurations': return seconds(value);
    case 'bytes': return bytes(value);
    case 'Bps': return `${bytes(value)}/s`;
    case 'reqps': case 'ops': return `${short(value)}/s`;
    case 'percentunit': return `${trimmed(value * 100)} %`;
    default: return short(value);
  }
}

/** A legend with the labels of a series put in. */
export function legendOf(
  format: string, metric: Readonly<Record<string, string>>,
): string {
  const text = format.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => metric[label] ?? '');
  return text.trim() === '' ? 'value' : text;
}
