/**
 * Which version serves a request while several share an app. Requests fall into 10,000 buckets, and
 * each version has a range of them in the order of their numbers: when shares change, only as many
 * clients move to another version as must. The bucket is drawn, or comes from the client's cookie
 * or from a header of its request.
 */

import { randomInt } from 'node:crypto';

import type { Route } from '../contract/deployment.ts';
import type { FlatHeaders } from '../contract/messages.ts';

export const SPLIT_COOKIE = 'wardian-split';
const BUCKETS = 10_000;
const BUCKETS_PER_CENT = BUCKETS / 100;
const COOKIE_SECONDS = 30 * 24 * 3_600;
const COOKIE_VALUE = /(?:^|;)\s*wardian-split=(\d{1,4})\s*(?:;|$)/;
const COOKIES_LENGTH_MAX = 16 * 1_024;

export interface Choice {
  /** Of the version that serves. */
  readonly route: Route;
  /** Value of a `set-cookie` header that keeps the client there, or null. */
  readonly cookie: string | null;
}

const variants = new WeakMap<Route, readonly Route[]>();

/** The route once for each share. */
function variantsOf(route: Route): readonly Route[] {
  let known = variants.get(route);
  if (known === undefined) {
    known = (route.split ?? [])
      .map(({ versionId, versionNumber, streamsBody }) =>
        ({ ...route, versionId, versionNumber, streamsBody: streamsBody === true }));
    variants.set(route, known);
  }
  return known;
}

function valuesOf(headers: FlatHeaders, name: string): string | null {
  let found: string | null = null;
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== name) continue;
    const value = headers[index + 1] ?? '';
    found = found === null ? value : `${found}; ${value}`;
  }
  return found;
}

/** FNV-1a, then MurmurHash3's finisher, so that similar values fall far apart. */
function bucketOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % BUCKETS;
}

function at(route: Route, bucket: number): Route {
  let end = 0;
  for (const [index, { weight }] of (route.split ?? []).entries()) {
    end += weight * BUCKETS_PER_CENT;
    if (bucket < end) return variantsOf(route)[index] ?? route;
  }
  return route;
}

function cookieFor(bucket: number, secure: boolean): string {
  const attributes = `Path=/; Max-Age=${COOKIE_SECONDS}; HttpOnly; SameSite=Lax`;
  return `${SPLIT_COOKIE}=${bucket}; ${attributes}${secure ? '; Secure' : ''}`;
}

/** `route` has a split. */
export function chooseVersion(
  route: Route, request: { readonly headers: FlatHeaders; readonly secure: boolean },
): Choice {
  const { sticky } = route;
  if (sticky?.by === 'header') {
    const value = valuesOf(request.headers, sticky.name);
    if (value !== null) return { route: at(route, bucketOf(value)), cookie: null };
  }
  if (sticky?.by === 'cookie') {
    const cookies = valuesOf(request.headers, 'cookie')?.slice(0, COOKIES_LENGTH_MAX) ?? '';
    const given = COOKIE_VALUE.exec(cookies)?.[1];
    if (given !== undefined) return { route: at(route, Number(given)), cookie: null };
  }
  const bucket = randomInt(BUCKETS);
  return {
    route: at(route, bucket),
    cookie: sticky?.by === 'cookie' ? cookieFor(bucket, request.secure) : null,
  };
}
