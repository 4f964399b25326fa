/**
 * What must not be kept: values of headers and of query parameters that are secrets by their name,
 * and whatever else the operator names.
 */

import type { FlatHeaders } from '../contract/messages.ts';

export const REDACTED = '[redacted]';

const SECRET_NAME =
  /auth|cookie|token|secret|passw|credential|session|api[-_]?key|signature|^(?:key|sig|code|jwt)$/i;

/** Of one report: more headers, or longer ones, are cut. */
const HEADERS_MAX = 64;
const VALUE_LENGTH_MAX = 256;

export class Redaction {
  readonly #names: ReadonlySet<string>;
  /** Named by the operator: no client addresses, no query strings at all. */
  readonly client: boolean;
  readonly query: boolean;

  /** Names of headers and query parameters; `client` and `query` stand for themselves. */
  constructor(names: readonly string[]) {
    this.#names = new Set(names.map((name) => name.toLowerCase()));
    this.client = this.#names.has('client');
    this.query = this.#names.has('query');
  }

  isSecret(name: string): boolean {
    return SECRET_NAME.test(name) || this.#names.has(name.toLowerCase());
  }

  address(address: string): string {
    return this.client ? REDACTED : address;
  }

  /** A request's target with the values of secret parameters taken out. */
  target(target: string): string {
    const mark = target.indexOf('?');
    if (mark < 0) return target;
    if (this.query) return `${target.slice(0, mark)}?${REDACTED}`;
    const query = target.slice(mark + 1).split('&').map((pair) => {
      const equals = pair.indexOf('=');
      if (equals < 0) return pair;
      return this.isSecret(decoded(pair.slice(0, equals)))
        ? `${pair.slice(0, equals)}=${REDACTED}` : pair;
    });
    return `${target.slice(0, mark)}?${query.join('&')}`;
  }

  /** Headers as pairs, secrets taken out, long ones cut. */
  headers(headers: FlatHeaders): readonly (readonly [string, string])[] {
    const pairs: (readonly [string, string])[] = [];
    for (let at = 0; at + 1 < headers.length && pairs.length < HEADERS_MAX; at += 2) {
      const name = (headers[at] ?? '').slice(0, VALUE_LENGTH_MAX);
      const value = headers[at + 1] ?? '';
      pairs.push([name, this.#value(name, value)]);
    }
    return pairs;
  }

  #value(name: string, value: string): string {
    if (this.isSecret(name)) return REDACTED;
    if (this.client && /^(?:forwarded|x-forwarded-for|x-real-ip)$/i.test(name)) return REDACTED;
    if (/^(?:referer|location|x-original-url)$/i.test(name)) return cut(this.target(value));
    return cut(value);
  }
}

/** A parameter's name may hide behind percent signs. */
function decoded(name: string): string {
  return name.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)));
}

export function cut(text: string, length = VALUE_LENGTH_MAX): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
