/** How values are written on the command line: times, limits, shares, stickiness. */

import { InvalidArgumentError } from 'commander';

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  s: 1, m: 60, h: 3_600, d: 24 * 3_600, w: 7 * 24 * 3_600,
};

/** `90s`, `5m`, `12h`, `30d`, `2w` or plain seconds, in seconds. */
export function seconds(text: string): number {
  const match = /^([1-9]\d{0,9})([smhdw]?)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected a time such as 90s, 5m, 12h or 30d');
  return Number(match[1]) * (UNIT_SECONDS[match[2] === '' ? 's' : match[2] ?? 's'] ?? 1);
}

/** Seconds, or null for `never`. */
export function secondsOrNever(text: string): number | null {
  return text === 'never' ? null : seconds(text);
}

export function wholeNumber(text: string): number {
  if (/^(0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  throw new InvalidArgumentError('expected a whole number');
}

export function versionNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('expected a version number such as 3');
}

const camel = (name: string): string =>
  name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

export type Values = Readonly<Record<string, number | null>>;

/** `fuel=1000000` or `memory_bytes=default`; each further one is added. */
export function limit(text: string, before: Values = {}): Values {
  const digits = text.replaceAll(/(?<=\d)_(?=\d)/g, '');
  const match = /^([a-zA-Z_]{1,64})=(\d{1,16}|default)$/.exec(digits);
  if (match === null) {
    throw new InvalidArgumentError('expected a limit such as fuel=1000000 or fuel=default');
  }
  const value = match[2] === 'default' ? null : Number(match[2]);
  return { ...before, [camel(match[1] ?? '')]: value };
}

export interface Share {
  readonly version: number;
  readonly weight: number;
}

/** `3@90`, or `3` for all. */
export function share(text: string): Share {
  const match = /^([1-9]\d{0,8})(?:@([1-9]\d?|100))?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected shares such as 3@90 4@10');
  return { version: Number(match[1]), weight: Number(match[2] ?? 100) };
}

export type Sticky = { readonly by: 'cookie' } | { readonly by: 'header'; readonly name: string };

/** `cookie`, `header:<name>` or `none`. */
export function sticky(text: string): Sticky | null {
  if (text === 'none') return null;
  if (text === 'cookie') return { by: 'cookie' };
  const name = /^header:([A-Za-z0-9!#$%&'*+.^_`|~-]{1,256})$/.exec(text)?.[1];
  if (name !== undefined) return { by: 'header', name: name.toLowerCase() };
  throw new InvalidArgumentError('expected cookie, header:<name> or none');
}
