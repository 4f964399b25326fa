/**
 * Header fields as the host keeps them: name, value, name, value, …, names in lower case, values as
 * byte strings (one character per byte), so that what is not UTF-8 passes unchanged. And what RFC
 * 9110 allows in them.
 */

import {
  GUEST_HEADER_BYTES_MAX, GUEST_HEADER_COUNT_MAX, HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX,
} from '../contract/limits.ts';

/** RFC 9110, 5.6.2: token. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/**
 * RFC 9110, 5.5: visible characters, obs-text, space and tab; every other control character is
 * refused.
 */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

export function isHeaderName(name: string): boolean {
  return name.length <= HEADER_NAME_BYTES_MAX && TOKEN.test(name);
}

export function isHeaderValue(value: string): boolean {
  return value.length <= HEADER_VALUE_BYTES_MAX && VALUE.test(value);
}

/** The values of `name` (lower case), in order. */
export function headerValues(fields: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] === name) values.push(fields[at + 1]!);
  }
  return values;
}

/** The names that occur, each once, in the order of their first occurrence. */
export function headerNames(fields: readonly string[]): string[] {
  const names = new Set<string>();
  for (let at = 0; at < fields.length; at += 2) names.add(fields[at]!);
  return [...names];
}

/** Takes all fields called `name` (lower case) out of `fields`. */
export function removeHeader(fields: string[], name: string): void {
  let kept = 0;
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] === name) continue;
    fields[kept] = fields[at]!;
    fields[kept + 1] = fields[at + 1]!;
    kept += 2;
  }
  fields.length = kept;
}

/**
 * Replaces all values of `name` by `values`; none removes the field. False, with `fields`
 * unchanged, if the name or a value is malformed or the fields would be too many or too large.
 */
export function setHeader(fields: string[], name: string, values: readonly string[]): boolean {
  if (!isHeaderName(name)) return false;
  for (const value of values) if (!isHeaderValue(value)) return false;
  const lowerName = name.toLowerCase();
  let count = values.length;
  let bytes = 0;
  for (const value of values) bytes += lowerName.length + value.length;
  let present = false;
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] === lowerName) { present = true; continue; }
    count++;
    bytes += fields[at]!.length + fields[at + 1]!.length;
  }
  if (count > GUEST_HEADER_COUNT_MAX || bytes > GUEST_HEADER_BYTES_MAX) return false;
  if (present) removeHeader(fields, lowerName);
  for (const value of values) fields.push(lowerName, value);
  return true;
}
