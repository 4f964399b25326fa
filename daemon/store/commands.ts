/**
 * The control plane's commands: what the main thread asks of the writer, and what each answers.
 * Workers' commands are in `contract/messages.ts`.
 */

import type {
  App, Language, ModuleFacts, Namespace, Route, SecretVersion, SettingsChange, Tenant,
  TenantQuotas, Token, TokenScope, Version,
} from '../../contract/deployment.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import type { RequestLimits } from '../../contract/limits.ts';

export interface Deploy {
  readonly tenantId: number;
  readonly label: string;
  readonly language: Language;
  /** As uploaded or built. Its hash is taken when it is saved. */
  readonly module: Uint8Array;
  /** When given, the module must have this SHA-256 (hex). */
  readonly moduleHash?: string;
  /** Rewriter version, cost table version and options: the other half of the build cache's key. */
  readonly rewriteKey: string;
  /** Null: the stored artifact of (module, rewriteKey), which `findArtifact` has found. */
  readonly artifact: { readonly bytes: Uint8Array; readonly facts: ModuleFacts } | null;
  /** Of the app's own, or of the defaults for a new one. */
  readonly settings?: SettingsChange;
  /** Absent: as it is, or never for a new app. Null: never. */
  readonly expiresAtMs?: number | null;
  /** False: the version is stored and does not serve yet, unless it is the app's first. */
  readonly activate?: boolean;
  readonly once?: DeployKey & { readonly warnings: readonly string[] };
}

/** Whoever asks again with the same key and fingerprint gets the version that the first made. */
export interface DeployKey {
  /** SHA-256, hex. */
  readonly key: string;
  /** SHA-256 of all that was asked for, hex. */
  readonly fingerprint: string;
}

/** What the router is to hold for an app from now on. */
export interface RouteChange {
  readonly appId: number;
  /** Null: the app is gone, or has no active version. */
  readonly route: Route | null;
  /** Hosts beside the app's own. */
  readonly customHosts: readonly string[];
}

export interface Deployed extends RouteChange {
  readonly app: App;
  readonly version: Version;
}

export interface Changed extends RouteChange {
  readonly app: App;
}

export interface Removed {
  readonly appId: number;
  readonly label: string;
  /** What workers may forget. */
  readonly versionIds: readonly number[];
}

export interface Expired {
  readonly removed: readonly Removed[];
  /** True when there are more: ask again. */
  readonly more: boolean;
}

export interface Collected {
  readonly versionIds: readonly number[];
  readonly artifacts: number;
  readonly modules: number;
  readonly more: boolean;
}

export interface NewToken {
  readonly tenantId: number | null;
  readonly name: string;
  readonly scope: TokenScope;
  readonly expiresAtMs: number | null;
  /** SHA-256 of the token, hex: the writer never sees the token. */
  readonly hash: string;
}

/** A secret's value as `sealSecret` has made it: the writer never sees the value. */
export interface SealedSecret {
  readonly name: string;
  readonly keyId: string;
  readonly sealed: Uint8Array;
  /** Null: at once. */
  readonly effectiveAtMs: number | null;
}

export interface ResealedSecret {
  readonly id: number;
  readonly keyId: string;
  readonly sealed: Uint8Array;
}

/** Counts since the writer started. */
export interface WriterStats {
  readonly commits: number;
  readonly commands: number;
  readonly refusals: number;
  readonly failures: number;
  /** The most commands that one commit has held. */
  readonly largestCommit: number;
  readonly commitUs: number;
  readonly pending: number;
  readonly pendingBytes: number;
}

export type ControlCommand =
  | { readonly op: 'ensure_tenant'; readonly name: string }
  | {
    readonly op: 'change_tenant';
    readonly tenantId: number;
    readonly suspended?: boolean;
    readonly limits?: Partial<RequestLimits>;
    readonly quotas?: Partial<TenantQuotas>;
  }
  | { readonly op: 'save_deploy'; readonly deploy: Deploy }
  | {
    readonly op: 'change_app';
    readonly appId: number;
    readonly settings?: SettingsChange;
    readonly expiresAtMs?: number | null;
  }
  | { readonly op: 'set_active_version'; readonly appId: number; readonly versionId: number }
  | { readonly op: 'delete_app'; readonly appId: number }
  | { readonly op: 'add_host'; readonly appId: number; readonly host: string }
  | { readonly op: 'remove_host'; readonly appId: number; readonly host: string }
  /** Like `ensure_tenant`, but an existing one is a conflict. */
  | {
    readonly op: 'create_tenant';
    readonly name: string;
    readonly limits?: Partial<RequestLimits>;
    readonly quotas?: Partial<TenantQuotas>;
  }
  | { readonly op: 'delete_tenant'; readonly tenantId: number }
  | { readonly op: 'create_token'; readonly token: NewToken }
  | { readonly op: 'revoke_token'; readonly tokenId: number }
  | { readonly op: 'use_token'; readonly tokenId: number }
  | { readonly op: 'create_namespace'; readonly tenantId: number; readonly name: string }
  | { readonly op: 'delete_namespace'; readonly namespaceId: number }
  | {
    readonly op: 'bind_namespace';
    readonly appId: number;
    readonly name: string;
    /** Null: unbinds. */
    readonly namespaceId: number | null;
  }
  | {
    readonly op: 'set_split';
    readonly appId: number;
    readonly shares: readonly { readonly versionId: number; readonly weight: number }[];
    readonly settings?: SettingsChange;
  }
  | {
    readonly op: 'set_env';
    readonly appId: number;
    /** Null removes. */
    readonly values: Readonly<Record<string, string | null>>;
  }
  | { readonly op: 'put_secret'; readonly appId: number; readonly secret: SealedSecret }
  | { readonly op: 'delete_secret'; readonly appId: number; readonly name: string }
  | { readonly op: 'reseal_secrets'; readonly secrets: readonly ResealedSecret[] }
  | { readonly op: 'expire_apps'; readonly nowMs: number }
  | {
    /** A newer rewriter has rewritten a module again: its versions serve that from now on. */
    readonly op: 'replace_artifact';
    readonly hash: string;
    readonly moduleHash: string;
    readonly rewriteKey: string;
    readonly artifact: { readonly bytes: Uint8Array; readonly facts: ModuleFacts };
  }
  | { readonly op: 'collect_garbage'; readonly keepVersions: number };

export type ControlOp = ControlCommand['op'];
export type CommandOf<Op extends ControlOp> = Extract<ControlCommand, { readonly op: Op }>;

export interface ControlResults {
  readonly ensure_tenant: Tenant;
  readonly change_tenant: { readonly tenant: Tenant; readonly changes: readonly RouteChange[] };
  readonly save_deploy: Deployed;
  readonly change_app: Changed;
  readonly set_active_version: Changed;
  readonly delete_app: Removed;
  readonly add_host: Changed;
  readonly remove_host: Changed;
  readonly create_tenant: Tenant;
  readonly delete_tenant: Expired;
  readonly create_token: Token;
  readonly revoke_token: null;
  readonly use_token: null;
  readonly create_namespace: Namespace;
  readonly delete_namespace: readonly RouteChange[];
  readonly bind_namespace: Changed;
  readonly set_split: Changed;
  readonly set_env: Changed;
  readonly put_secret: Changed & { readonly version: SecretVersion };
  readonly delete_secret: Changed;
  readonly reseal_secrets: number;
  readonly expire_apps: Expired;
  readonly replace_artifact: { readonly changes: readonly RouteChange[] };
  readonly collect_garbage: Collected;
}

export interface Replaced {
  /** Where the database that was there is now. */
  readonly kept: string | null;
  /** What of it could not be read, one line each. */
  readonly warnings: readonly string[];
}

/** The present database goes on. */
export interface NotReplaced {
  readonly code: ErrorCode;
  readonly message: string;
  /** Connections to it are good still, and its epoch goes on; otherwise all open it anew. */
  readonly isUntouched: boolean;
}

/** Main to writer. */
export type WriterOrder =
  | { readonly kind: 'control'; readonly id: number; readonly command: ControlCommand }
  | {
    readonly kind: 'kv'; readonly id: number;
    readonly command: import('../../contract/messages.ts').StoreCommand;
  }
  | { readonly kind: 'attach'; readonly port: import('node:worker_threads').MessagePort }
  /**
   * Commits what has arrived, then puts the staged database in the place of the present one. What
   * workers ask from then on must be of the epoch. Answered with `Replaced` or `NotReplaced`.
   */
  | {
    readonly kind: 'replace'; readonly id: number; readonly staged: string; readonly epoch: number;
  }
  /** Answered at once, outside of a commit. */
  | { readonly kind: 'stats'; readonly id: number }
  /** Commits what has arrived, closes the database and ends the thread. */
  | { readonly kind: 'close'; readonly id: number };

/** Writer to main. */
export type WriterReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'unfit'; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'done'; readonly id: number; readonly result: unknown }
  | {
    readonly kind: 'failed'; readonly id: number;
    readonly code: ErrorCode; readonly message: string;
  };

export interface WriterSettings {
  readonly databasePath: string;
  readonly durability: import('./database.ts').Durability;
  readonly limits: RequestLimits;
  /** The watermark of free space; 0 for none. */
  readonly freeBytesMin: number;
}
