/**
 * Rows into routes: what the router holds for an app, with its limits resolved and the shares of
 * its versions.
 */

import type { DatabaseSync } from 'node:sqlite';

import { resolveLimits } from '../../contract/deployment.ts';
import type { Route, SplitShare } from '../../contract/deployment.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import { artifactHas } from '../../contract/schema.ts';
import type { RouteChange } from './commands.ts';
import { prepared } from './prepared.ts';
import { limitsFromText, settingsFrom } from './records.ts';
import type { Row } from './records.ts';

const ROUTE_COLUMNS = `tenant.id AS tenant_id, tenant.name AS tenant_name, tenant.suspended,
  tenant.limits AS tenant_limits, app.id AS app_id, app.label, app.settings, app.generation,
  version.id AS version_id, version.number AS version_number,
  json_extract(${artifactHas('facts')}, '$.streamsBody') AS streams_body`;

const SELECT_ROUTES = `
  SELECT ${ROUTE_COLUMNS}
  FROM app
  JOIN tenant ON tenant.id = app.tenant_id
  JOIN version ON version.id = app.active_version_id
  JOIN artifact ON artifact.hash = version.artifact_hash`;

const SELECT_VERSION_ROUTE = `
  SELECT ${ROUTE_COLUMNS}
  FROM app
  JOIN tenant ON tenant.id = app.tenant_id
  JOIN version ON version.app_id = app.id
  JOIN artifact ON artifact.hash = version.artifact_hash
  WHERE app.label = ? AND version.number = ?
    AND (app.expires_at_ms IS NULL OR app.expires_at_ms > ?)`;

const SELECT_SHARES = `
  SELECT split.app_id, version.id AS version_id, version.number AS version_number, split.weight,
    json_extract(${artifactHas('facts')}, '$.streamsBody') AS streams_body
  FROM split
  JOIN version ON version.id = split.version_id
  JOIN artifact ON artifact.hash = version.artifact_hash`;

function routeFrom(
  row: Row, operator: RequestLimits, split: readonly SplitShare[] | undefined,
): Route {
  const settings = settingsFrom(row.settings);
  return {
    tenantId: Number(row.tenant_id),
    tenantName: String(row.tenant_name),
    appId: Number(row.app_id),
    label: String(row.label),
    versionId: Number(row.version_id),
    versionNumber: Number(row.version_number),
    generation: Number(row.generation),
    limits: resolveLimits(operator, limitsFromText(row.tenant_limits), settings.limits),
    debug: settings.debug,
    suspended: row.suspended !== 0,
    streamsBody: row.streams_body === 1,
    ...(split === undefined ? {} : { split }),
    ...(split === undefined || settings.sticky === undefined ? {} : { sticky: settings.sticky }),
  };
}

function shareFrom(row: Row): SplitShare {
  return {
    versionId: Number(row.version_id),
    versionNumber: Number(row.version_number),
    weight: Number(row.weight),
    streamsBody: row.streams_body === 1,
  };
}

function grouped<T>(rows: readonly Row[], from: (row: Row) => T): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const row of rows) {
    const appId = Number(row.app_id);
    const group = groups.get(appId);
    if (group === undefined) groups.set(appId, [from(row)]);
    else group.push(from(row));
  }
  return groups;
}

/** What the router is to hold for one app, as the connection sees it now. */
export function routeOf(
  database: DatabaseSync, appId: number, operator: RequestLimits,
): RouteChange {
  const row = prepared(database, `${SELECT_ROUTES} WHERE app.id = ?`).get(appId);
  const hosts = prepared(database, 'SELECT host FROM host WHERE app_id = ? ORDER BY host')
    .all(appId);
  const shares = prepared(
    database, `${SELECT_SHARES} WHERE split.app_id = ? ORDER BY version.number`)
    .all(appId).map(shareFrom);
  const split = shares.length === 0 ? undefined : shares;
  return {
    appId,
    route: row === undefined ? null : routeFrom(row, operator, split),
    customHosts: hosts.map((host) => String(host.host)),
  };
}

/** Every app that serves and has not expired, in three queries. */
export function allRoutes(
  database: DatabaseSync, operator: RequestLimits, nowMs: number,
): RouteChange[] {
  const hosts = grouped(
    database.prepare('SELECT app_id, host FROM host ORDER BY host').all(),
    (row) => String(row.host));
  const shares = grouped(
    database.prepare(`${SELECT_SHARES} ORDER BY version.number`).all(), shareFrom);
  const rows = database.prepare(
    `${SELECT_ROUTES} WHERE app.expires_at_ms IS NULL OR app.expires_at_ms > ?`).all(nowMs);
  return rows.map((row) => {
    const appId = Number(row.app_id);
    const route = routeFrom(row, operator, shares.get(appId));
    return { appId, route, customHosts: hosts.get(appId) ?? [] };
  });
}

/** One version of an app whether it serves or not, for its preview host. */
export function versionRoute(
  database: DatabaseSync, label: string, number: number, operator: RequestLimits, nowMs: number,
): Route | null {
  const row = prepared(database, SELECT_VERSION_ROUTE).get(label, number, nowMs);
  return row === undefined ? null : routeFrom(row, operator, undefined);
}
