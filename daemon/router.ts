/**
 * Which app serves a host. One map from full host names to routes, so that a look-up costs the same
 * with one app and with a hundred thousand; changed by deploys, the admin API and expiry.
 */

import { LRUCache } from 'lru-cache';

import type { Route } from '../contract/deployment.ts';

export interface Router {
  /**
   * `host` in lower case, without port. Undefined when nobody serves it. Also for the preview hosts
   * of single versions, `<number>--<label>.<base domain>`.
   */
  find(host: string): Route | undefined;
  /**
   * Puts a route on the app's own host and on its custom hosts; hosts it had before and lacks now
   * are dropped.
   */
  set(route: Route, customHosts: readonly string[]): void;
  remove(appId: number): void;
  /** Versions were removed: what was looked up of single ones is looked up again. */
  forgetPreviews(): void;
  /** Every app's route, once. */
  routes(): IterableIterator<Route>;
  /** What is held for the app, or undefined. */
  routeOf(appId: number): Route | undefined;
  hostOf(label: string): string;
  readonly size: number;
}

/** The route of one version of an app, whether it serves or not; null when there is none. */
export type FindVersion = (label: string, number: number) => Route | null;

/** The number of the newest version that the app has ever had. */
export type LastNumber = (appId: number) => number;

const DNS_LABEL_MAX = 63;
const PREVIEWS_MAX = 1_000;
const MISSES_MAX = 10_000;
const PREVIEW = /^([1-9]\d{0,8})--([a-z0-9-]+)$/;

interface AppEntry {
  readonly route: Route;
  readonly hosts: readonly string[];
  /** What was asked of the store for preview hosts. */
  numbered?: { readonly generation: number; readonly last: number };
}

/** The first label of a version's preview host; null when DNS does not allow one so long. */
export function previewLabel(label: string, number: number): string | null {
  const preview = `${number}--${label}`;
  return preview.length <= DNS_LABEL_MAX ? preview : null;
}

export function createRouter(
  baseDomain: string, findVersion: FindVersion = () => null,
  lastNumber: LastNumber = () => Number.POSITIVE_INFINITY,
): Router {
  const byHost = new Map<string, Route>();
  const byApp = new Map<number, AppEntry>();
  const previews = new LRUCache<string, Route>({ max: PREVIEWS_MAX });
  /** Preview hosts of versions that are not there: their app and its generation when asked for. */
  const misses = new LRUCache<string, string>({ max: MISSES_MAX });
  const base = `.${baseDomain}`;

  const hostOf = (label: string): string => `${label}${base}`;

  function remove(appId: number): void {
    const entry = byApp.get(appId);
    if (entry === undefined) return;
    byApp.delete(appId);
    for (const host of entry.hosts) {
      // A host may have moved to another app meanwhile: that one keeps it.
      if (byHost.get(host)?.appId === appId) byHost.delete(host);
    }
  }

  /** Numbers that the app has never given out cost no query, whoever makes them up. */
  function mayExist({ appId, generation }: Route, number: number): boolean {
    const entry = byApp.get(appId);
    if (entry === undefined) return true;
    if (entry.numbered?.generation !== generation) {
      entry.numbered = { generation, last: lastNumber(appId) };
    }
    return number <= entry.numbered.last;
  }

  /** Costs a query the first time; only for hosts that name an app which is there. */
  function findPreview(host: string): Route | undefined {
    if (!host.endsWith(base)) return undefined;
    const match = PREVIEW.exec(host.slice(0, -base.length));
    if (match === null) return undefined;
    const app = byHost.get(hostOf(match[2] ?? ''));
    if (app === undefined) return undefined;
    const known = previews.get(host);
    if (known !== undefined && known.appId === app.appId && known.generation === app.generation) {
      return known;
    }
    const asOf = `${app.appId}.${app.generation}`;
    if (misses.get(host) === asOf || !mayExist(app, Number(match[1]))) return undefined;
    const route = findVersion(app.label, Number(match[1]));
    // A host of one app may look like another's preview host: only its own app serves there.
    if (route === null || route.appId !== app.appId) {
      misses.set(host, asOf);
      return undefined;
    }
    previews.set(host, route);
    return route;
  }

  return {
    find: (host) => byHost.get(host) ?? (host.includes('--') ? findPreview(host) : undefined),
    set(route, customHosts) {
      remove(route.appId);
      const hosts = [hostOf(route.label), ...customHosts];
      for (const host of hosts) byHost.set(host, route);
      byApp.set(route.appId, { route, hosts });
    },
    remove,
    forgetPreviews() {
      previews.clear();
      misses.clear();
    },
    *routes() {
      for (const { route } of byApp.values()) yield route;
    },
    routeOf: (appId) => byApp.get(appId)?.route,
    hostOf,
    get size() {
      return byApp.size;
    },
  };
}

const HOST_PATTERN =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;

/**
 * The name of a `Host` header in lower case, without port and trailing dot; null when it is not a
 * host.
 */
export function hostName(header: string): string | null {
  let host = header.toLowerCase();
  if (host.startsWith('[')) {
    const end = host.indexOf(']');
    return end > 0 && /^(:\d{0,5})?$/.test(host.slice(end + 1)) ? host.slice(0, end + 1) : null;
  }
  const colon = host.indexOf(':');
  if (colon >= 0) {
    if (!/^\d{0,5}$/.test(host.slice(colon + 1))) return null;
    host = host.slice(0, colon);
  }
  if (host.endsWith('.')) host = host.slice(0, -1);
  return HOST_PATTERN.test(host) ? host : null;
}

/** Who serves the host of a `Host` header, read as `hostName` does. */
export function findAsked(router: Router, header: string): Route | undefined {
  // Most clients send the plain name and a port: look that up before reading it with care.
  const colon = header.indexOf(':');
  const route = router.find(colon < 0 ? header : header.slice(0, colon));
  if (route !== undefined) return route;
  const host = hostName(header);
  return host === null ? undefined : router.find(host);
}
