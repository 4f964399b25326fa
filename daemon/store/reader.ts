/**
 * What the main thread reads of apps: routes at boot, versions, hosts and the build cache.
 */

import type { App, ModuleFacts, Route, Tenant, Version } from '../../contract/deployment.ts';
import { DEPLOY_KEYS_KEPT_MS } from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import { artifactHas, bytesOf, SELECT_ARTIFACT_OF } from '../../contract/schema.ts';
import type { DeployKey, RouteChange } from './commands.ts';
import { SELECT_DEPLOY_KEY, keptFrom } from './deploy-keys.ts';
import type { KeptDeploy } from './deploy-keys.ts';
import { boundsOf } from './query.ts';
import type { Page, Query } from './query.ts';
import {
  APP_COLUMNS, TENANT_COLUMNS, VERSION_COLUMNS, appFrom, tenantFrom, versionFrom,
} from './records.ts';
import { allRoutes, routeOf, versionRoute } from './routes.ts';

export interface OutdatedArtifact {
  readonly hash: string;
  readonly moduleHash: string;
  readonly rewriteKey: string;
  /** An active version serves it. */
  readonly active: boolean;
}

export interface StoredArtifact {
  readonly hash: string;
  readonly facts: ModuleFacts;
  readonly byteLength: number;
}

export class StoreReader {
  readonly #query: Query;
  readonly #limits: RequestLimits;

  constructor(query: Query, limits: RequestLimits) {
    this.#query = query;
    this.#limits = limits;
  }

  /** Every app that serves, with what the router holds for it. */
  loadRoutes(nowMs: number = Date.now()): readonly RouteChange[] {
    return this.#query.read((database) => allRoutes(database, this.#limits, nowMs));
  }

  /** What the router is to hold for one app. `route` is null when it does not serve. */
  routeOf(appId: number): RouteChange {
    return this.#query.read((database) => routeOf(database, appId, this.#limits));
  }

  /** One version whether it serves or not, for its preview host. Null when there is none. */
  routeOfVersion(label: string, number: number, nowMs: number = Date.now()): Route | null {
    return this.#query.read(
      (database) => versionRoute(database, label, number, this.#limits, nowMs));
  }

  getTenant(name: string): Tenant | null {
    const row = this.#query.row(`SELECT ${TENANT_COLUMNS} FROM tenant WHERE name = ?`, name);
    return row === null ? null : tenantFrom(row);
  }

  getApp(label: string): App | null {
    const row = this.#query.row(`SELECT ${APP_COLUMNS} FROM app WHERE label = ?`, label);
    return row === null ? null : appFrom(row);
  }

  hasApp(appId: number): boolean {
    return this.#query.row('SELECT 1 FROM app WHERE id = ?', appId) !== null;
  }

  /** Of one tenant, or of all when `tenantId` is null; in the order they were made. */
  listApps(tenantId: number | null = null, page: Page = {}): readonly App[] {
    const [after, limit] = boundsOf(page);
    const rows = tenantId === null
      ? this.#query.rows(
        `SELECT ${APP_COLUMNS} FROM app WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
      : this.#query.rows(
        `SELECT ${APP_COLUMNS} FROM app WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?`,
        tenantId, after, limit);
    return rows.map(appFrom);
  }

  /** The number of the newest version that the app has ever had. */
  lastNumberOf(appId: number): number {
    return Number(this.#query.row('SELECT last_number FROM app WHERE id = ?', appId)?.last_number);
  }

  getVersion(versionId: number): Version | null {
    const row = this.#query.row(`SELECT ${VERSION_COLUMNS} FROM version WHERE id = ?`, versionId);
    return row === null ? null : versionFrom(row);
  }

  /** Oldest first; `after` is a version's number. */
  listVersions(appId: number, page: Page = {}): readonly Version[] {
    const [after, limit] = boundsOf(page);
    return this.#query.rows(
      `SELECT ${VERSION_COLUMNS} FROM version WHERE app_id = ? AND number > ?
       ORDER BY number LIMIT ?`, appId, after, limit).map(versionFrom);
  }

  /**
   * What a deploy under the key has made, or null. Throws WardianError `conflict` when the key was
   * used for something else, or what it made was collected since.
   */
  findDeploy(tenantId: number, once: DeployKey, nowMs: number = Date.now()): KeptDeploy | null {
    const row = this.#query.row(
      SELECT_DEPLOY_KEY, tenantId, once.key, nowMs - DEPLOY_KEYS_KEPT_MS);
    return row === null ? null : keptFrom(row, once);
  }

  /** Versions with a lower number that have served the app's requests, the newest first. */
  listServedBefore(appId: number, number: number, limit: number): readonly Version[] {
    return this.#query.rows(
      `SELECT ${VERSION_COLUMNS} FROM version
       WHERE app_id = ? AND number < ? AND served_at_ms IS NOT NULL
       ORDER BY number DESC LIMIT ?`, appId, number, limit).map(versionFrom);
  }

  listHosts(appId: number): readonly string[] {
    return this.#query.rows('SELECT host FROM host WHERE app_id = ? ORDER BY host', appId)
      .map((row) => String(row.host));
  }

  /**
   * Artifacts whose key does not begin with `keyStart`: of another rewriter. Those that serve come
   * first.
   */
  listOutdatedArtifacts(keyStart: string, limit: number): readonly OutdatedArtifact[] {
    return this.#query.rows(`
      SELECT artifact.hash, artifact.module_hash, ${artifactHas('rewrite_key')} AS rewrite_key,
        EXISTS (SELECT 1 FROM version JOIN app ON app.active_version_id = version.id
          WHERE version.artifact_hash = artifact.hash) AS active
      FROM artifact WHERE substr(${artifactHas('rewrite_key')}, 1, ?) <> ?
        AND EXISTS (SELECT 1 FROM version WHERE version.artifact_hash = artifact.hash)
      ORDER BY active DESC, hash LIMIT ?`, keyStart.length, keyStart, limit)
      .map((row) => ({
        hash: String(row.hash), moduleHash: String(row.module_hash),
        rewriteKey: String(row.rewrite_key), active: row.active === 1,
      }));
  }

  /** What an artifact was made with, or null. */
  readArtifactKey(hash: string): string | null {
    const row = this.#query.row(
      `SELECT ${artifactHas('rewrite_key')} AS rewrite_key FROM artifact WHERE hash = ?`, hash);
    return row === null ? null : String(row.rewrite_key);
  }

  /** A module as it was deployed, or null. */
  readModule(hash: string): Uint8Array | null {
    const row = this.#query.row(
      `SELECT ${bytesOf('module')} AS bytes FROM module WHERE hash = ?`, hash);
    return row === null ? null : row.bytes as Uint8Array;
  }

  /**
   * The build cache: what the rewriter made of this module under this key, or null. Of a column as
   * it is SQLite knows the length without reading it, and its pages may lead nowhere.
   */
  findArtifact(moduleHash: string, rewriteKey: string): StoredArtifact | null {
    const row = this.#query.row(`
      SELECT hash, ${artifactHas('facts')} AS facts, coalesce(
        (SELECT length(bytes) FROM mended WHERE mended.hash = artifact.hash),
        length(artifact.bytes)) AS size
      FROM artifact WHERE hash = (${SELECT_ARTIFACT_OF})`, moduleHash, rewriteKey);
    if (row === null) return null;
    return {
      hash: String(row.hash),
      facts: JSON.parse(String(row.facts)) as ModuleFacts,
      byteLength: Number(row.size),
    };
  }
}
