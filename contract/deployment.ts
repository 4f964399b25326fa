/**
 * Tenants, apps, versions and hosts as the store keeps them, and the route that the main thread
 * looks up for every request. An app is what a tenant deploys under a label; each deploy makes an
 * immutable version of it.
 */

import { KV_STORE_BYTES_MAX, KV_STORE_KEYS_MAX, KV_VALUE_BYTES_MAX } from './limits.ts';
import type { RequestLimits } from './limits.ts';

export type Language = 'wasm' | 'wat' | 'assemblyscript' | 'c' | 'rust';

export interface Tenant {
  readonly id: number;
  readonly name: string;
  readonly suspended: boolean;
  readonly limits: Partial<RequestLimits>;
}

/** What a tenant may keep. Operator defaults, overridden by tenant. */
export interface TenantQuotas {
  readonly apps: number;
  readonly namespaces: number;
  /** Of each store: an app's own, or a namespace. */
  readonly storeKeys: number;
  /** Keys and values of each store together. */
  readonly storeBytes: number;
  readonly valueBytes: number;
}

export const TENANT_QUOTAS_DEFAULT: TenantQuotas = {
  apps: 10_000,
  namespaces: 100,
  storeKeys: KV_STORE_KEYS_MAX,
  storeBytes: KV_STORE_BYTES_MAX,
  valueBytes: KV_VALUE_BYTES_MAX,
};

/** A key-value store that a tenant owns and binds to apps by name. */
export interface Namespace {
  /** What commands and reads name as the store. */
  readonly id: number;
  readonly tenantId: number;
  readonly name: string;
  readonly keys: number;
  readonly bytes: number;
  readonly createdAtMs: number;
}

/** `read` sees, `deploy` also changes apps, `admin` also tenants' tokens and settings. */
export type TokenScope = 'read' | 'deploy' | 'admin';

/** A token as it is kept: never the secret itself. */
export interface Token {
  readonly id: number;
  /** Null: the operator's, for all tenants. */
  readonly tenantId: number | null;
  readonly name: string;
  readonly scope: TokenScope;
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
  /** To the minute. */
  readonly lastUsedAtMs: number | null;
}

/** One value of a secret, without the value. */
export interface SecretVersion {
  readonly name: string;
  /** Rises with each version; of a name that was removed, none comes again. */
  readonly number: number;
  readonly effectiveAtMs: number;
  readonly createdAtMs: number;
}

/** The same in a list. */
export interface ListedSecret extends SecretVersion {
  /** It is the value in effect. */
  readonly active: boolean;
}

/** A version's share of an app's requests. */
export interface SplitShare {
  readonly versionId: number;
  readonly versionNumber: number;
  /** Per cent; the shares of an app add up to 100. */
  readonly weight: number;
  /** As in `ModuleFacts`. */
  readonly streamsBody?: boolean;
}

/** What keeps a client with one version while several serve. */
export type Sticky =
  | { readonly by: 'cookie' }
  /** Requests with the same value of the header, whose name is in lower case. */
  | { readonly by: 'header'; readonly name: string };

export interface AppSettings {
  readonly limits: Partial<RequestLimits>;
  /** Answers carry `wardian-fuel`, `wardian-memory` and others: docs/observability.md. */
  readonly debug: boolean;
  /** Memories are reused between requests (zeroed in between). */
  readonly recycleMemory: boolean;
  /** Absent: each request is on its own. */
  readonly sticky?: Sticky;
}

/** What is to change of an app's settings: what is not named stays, null takes a value away. */
export interface SettingsChange {
  readonly limits?: Readonly<Partial<Record<keyof RequestLimits, number | null>>>;
  readonly debug?: boolean;
  readonly recycleMemory?: boolean;
  readonly sticky?: Sticky | null;
}

export const APP_SETTINGS_DEFAULT: AppSettings = { limits: {}, debug: false, recycleMemory: true };

export interface App {
  readonly id: number;
  readonly tenantId: number;
  /** A DNS label, unique on this node: the app answers on `<label>.<base domain>`. */
  readonly label: string;
  readonly settings: AppSettings;
  readonly activeVersionId: number | null;
  /** Milliseconds since the epoch, or null: when the app and its store are removed. */
  readonly expiresAtMs: number | null;
  readonly createdAtMs: number;
  readonly generation: number;
}

export interface Version {
  readonly id: number;
  readonly appId: number;
  /** 1, 2, 3, … within the app. */
  readonly number: number;
  /** SHA-256 of the module as uploaded or built, hex. */
  readonly moduleHash: string;
  /** SHA-256 of the rewritten module, hex. */
  readonly artifactHash: string;
  readonly language: Language;
  readonly createdAtMs: number;
  /** When it last began to serve its app's requests; null: never, apart from its preview host. */
  readonly servedAtMs: number | null;
}

/** What the rewriter learnt of a module that instantiation needs; stored beside the artifact. */
export interface ModuleFacts {
  /** The ABI that serves the module: a folder name under `hostcalls/`. */
  readonly abi: string;
  /** The export that a request calls. */
  readonly entry: string;
  /** Null when the module has no memory. */
  readonly memory: { readonly initialPages: number; readonly maximumPages: number } | null;
  readonly tableEntries: number;
  readonly hasStart: boolean;
  /** Table 0 is exported. False where it was made a list. */
  readonly hasTable: boolean;
  /** Entries of the table that was made a list; 0 when there is none. */
  readonly listedEntries: number;
  /**
   * True when it imports a hostcall that can wait: only then are its calls made through
   * `promising`.
   */
  readonly suspends: boolean;
  /**
   * True when it imports a hostcall that reads the request's body piece by piece: only then is a
   * large body not gathered. Absent in facts from before there were such hostcalls.
   */
  readonly streamsBody?: boolean;
  /** Units the host charges for active segments. */
  readonly fuelAtInstantiation: number;
}

/** What the router holds for a host: all that the hot path needs, and nothing it has to look up. */
export interface Route {
  readonly tenantId: number;
  readonly tenantName: string;
  readonly appId: number;
  readonly label: string;
  readonly versionId: number;
  readonly versionNumber: number;
  readonly generation: number;
  readonly limits: RequestLimits;
  readonly debug: boolean;
  readonly suspended: boolean;
  /** As in `ModuleFacts`. */
  readonly streamsBody?: boolean;
  /** Absent: the one version serves all requests. */
  readonly split?: readonly SplitShare[];
  readonly sticky?: Sticky;
}

/**
 * Operator defaults, narrowed or widened by the tenant, then by the app; the app never exceeds the
 * tenant.
 */
export function resolveLimits(
  operator: RequestLimits, tenant: Partial<RequestLimits>, app: Partial<RequestLimits>,
): RequestLimits {
  const ceiling = { ...operator, ...tenant };
  const resolved: Record<string, number> = { ...ceiling };
  for (const [name, value] of Object.entries(app)) {
    resolved[name] = Math.min(value, ceiling[name as keyof RequestLimits]);
  }
  return resolved as unknown as RequestLimits;
}
