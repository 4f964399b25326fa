/**
 * What the services offer to the ABI folders. They know nothing of ABIs, handles or guest memory:
 * bytes and strings in, bytes and strings or typed errors out. One `Services` serves all guests of
 * a worker thread.
 */

import type { MessagePort } from 'node:worker_threads';
import type { FlatHeaders, GuestLogLine, WorkerSettings } from '../../contract/messages.ts';
import type { SubrequestLimits, SubrequestScope, TracedRequest } from './scope.ts';

export type { SubrequestLimits, SubrequestScope, TracedRequest } from './scope.ts';

export interface ServicesOptions {
  readonly settings: Pick<
    WorkerSettings, 'databasePath' | 'egressAllow' | 'dnsServers' | 'secretKeys' | 'storeEpoch'
  >;
  /** The worker's end of its channel to the store's writer. */
  readonly storePort: MessagePort;
  readonly log: (line: GuestLogLine) => void;
}

export interface Services {
  readonly http: HttpClient;
  readonly dns: DnsResolver;
  readonly kv: KeyValueStore;
  readonly secrets: SecretSource;
  readonly clock: Clock;
  readonly random: RandomSource;
  /**
   * Costs nothing until used; open it when the guest first needs the network or DNS. `abort` it
   * when it ends.
   */
  openSubrequests(
    tenantId: number, limits: SubrequestLimits, traced?: TracedRequest,
  ): SubrequestScope;
  openLog(versionId: number, requestId: string, logBytes: number): GuestLog;
  /** What this thread holds of bodies, by tenant. */
  readonly held: HeldWindows;
  /**
   * Writes to stores leave the thread together, at the end of its turn: whoever holds it for longer
   * calls this in between, with `performance.now()`.
   */
  sendWrites(nowMs: number): void;
  /** A guest that has joined is gone. */
  leave?(): void;
  /** Ends connections, timers and the database connection. Work under way fails. */
  close(): Promise<void>;
}

/** All of a worker thread's, for guests of one database after the other. */
export interface WorkerServices extends Services {
  /**
   * For one guest: its reads and writes stay with the database of now, whatever becomes of that.
   * `leave` when it ends.
   */
  readonly join: () => Services;
  /**
   * A backup has taken the database's place: whoever joins from now on has the new one. Answers of
   * which `StoreEpoch` that is. Throws when it cannot be opened: all is then as it was.
   */
  readonly renew: () => number;
  /** Of which `StoreEpoch` the database is that whoever joins now has. */
  readonly epoch: number;
}

/** The part of `HeldBytes` that the pool needs. */
export interface HeldWindows {
  addWindow(tenantId: number, full: number, least: number): number;
  release(tenantId: number, bytes: number): void;
}

// HTTP.

/**
 * Header names are in any case and are sent in lower case; values are byte strings: one character
 * per byte (latin1), as they were on the wire, the same both ways.
 */
export interface UpstreamRequest {
  readonly method: string;
  /** Absolute, http or https. Userinfo becomes `authorization: Basic` unless that header is set. */
  readonly url: string;
  readonly headers: FlatHeaders;
  /**
   * The host's own copy, never a view of guest memory: it is sent later, and again after some
   * redirects.
   */
  readonly body: Uint8Array | null;
  /**
   * In place of `body`, one that is sent as it comes. It can be sent once: a redirect that would
   * need it again fails, and so does a connection that the upstream has closed meanwhile.
   */
  readonly upload?: BodyReader | null;
  /** Cancels this one request. */
  readonly signal?: AbortSignal;
}

/** A body that is read piece by piece, once. */
export interface BodyReader {
  /** Bytes to come; null when not known. */
  readonly length: number | null;
  /** The next piece, or null at the end. Rejects when the body broke off. One read at a time. */
  read(): Promise<Uint8Array | null>;
  /**
   * All that is to come, taken, if it is here to its end and of at most `most` bytes; else null,
   * and nothing is taken. A source that lacks this never knows.
   */
  arrived?(most: number): Uint8Array | null;
}

export interface UpstreamHead {
  /** Of the last hop: 200–999; informational answers are skipped. */
  readonly status: number;
  /** Lower-case names, duplicates kept, hop-by-hop fields removed, values as byte strings. */
  readonly headers: FlatHeaders;
  /** The URL that answered, after redirects, without userinfo. */
  readonly url: string;
}

/** Owns its bytes: may be transferred. */
export interface UpstreamResponse extends UpstreamHead {
  readonly body: Uint8Array;
}

/**
 * A response whose body is still to be read, up to null, or to be cancelled. `read` throws
 * UpstreamError, also when the upstream sends nothing for `streamStallMs`; only what was received
 * and not read is held, and counts as held.
 */
export interface UpstreamExchange extends UpstreamHead, BodyReader {
  /** `content-length` if the upstream declared one and it is a number, else null. */
  readonly declaredBytes: number | null;
  /** Closes the connection unless the body was read to its end. Idempotent. */
  cancel(): void;
  /** From now on it outlives its guest, and its place among the guest's subrequests is free. */
  detach(): void;
}

export interface HttpClient {
  /** True if `open` would accept the method: a token, at most METHOD_BYTES_MAX, not CONNECT. */
  isMethod(method: string): boolean;
  /** True if `open` would accept the URL: absolute, http(s), a host, at most URL_BYTES_MAX. */
  isUrl(url: string): boolean;
  /**
   * Resolves when the final head is there, within `subrequestMs` from the start, or from the end of
   * the upload. Throws UpstreamError, also (asynchronously) for malformed requests.
   */
  open(request: UpstreamRequest, scope: SubrequestScope): Promise<UpstreamExchange>;
  /** The same with the whole body: head and body within `subrequestMs`. */
  fetchUpstream(request: UpstreamRequest, scope: SubrequestScope): Promise<UpstreamResponse>;
}

// DNS.

export interface DnsResolver {
  /**
   * Addresses of a host name, 4 or 16 bytes each, in the order to try. Address literals,
   * `localhost` and the hosts file are answered here. Empty: the name exists, but has no address of
   * this family. Throws DnsError.
   */
  queryIp(name: string, ipv6: boolean, scope: SubrequestScope): Promise<Uint8Array[]>;
  /**
   * Forwards one standard query, of at most DNS_MESSAGE_BYTES_MAX, and gives the answer with the
   * query's id. Zone transfers and anything but a plain query are refused. Throws DnsError.
   */
  queryRaw(message: Uint8Array, scope: SubrequestScope): Promise<Uint8Array>;
}

// Key-value store.

export type PutMode = 'always' | 'absent' | 'append';

export interface KeyValueEntry {
  /** Its own copy. */
  readonly value: Uint8Array;
  /** 1 or more; never the same for two changes of a store. */
  readonly revision: number;
}

export interface KeyValueWritten {
  /** The key was absent before. */
  readonly absent: boolean;
  /** False if a condition did not hold: nothing has changed. */
  readonly stored: boolean;
  /** Of the entry as it is now; 0 when it is absent. */
  readonly revision: number;
}

export interface KeyValuePage {
  readonly keys: readonly Uint8Array[];
  /** There are keys after the last one of these. */
  readonly more: boolean;
}

/**
 * Keys 1–KV_KEY_BYTES_MAX, values 0–KV_VALUE_BYTES_MAX, times to live 1–KV_TTL_MS_MAX or null
 * for none: others are `bad_hostcall`, thrown as WardianError. So is what the writer refuses:
 * `storage_full`; `bad_argument` for a value over the tenant's limit, or a sum that cannot be;
 * `not_found` when the store is gone; `tenant_overloaded`, `overloaded` and `disk_full` when
 * nothing can be written now; `store_failed` when it is not known whether it was written.
 *
 * Reads are synchronous (of a local file) and see what is committed. Writes resolve once they are
 * durable; keys and values are copied.
 */
export interface KeyValueStore {
  /** The value: its own copy. */
  get(storeId: number, key: Uint8Array): Uint8Array | null;
  entry(storeId: number, key: Uint8Array): KeyValueEntry | null;
  /** Keys with a prefix, in byte order, after a key or from the first one on; 1–KV_LIST_MAX. */
  list(storeId: number, prefix: Uint8Array, after: Uint8Array | null, count: number): KeyValuePage;
  /** An append without a time to live leaves the one that the entry has. */
  put(
    storeId: number, key: Uint8Array, value: Uint8Array, mode: PutMode, ttlMs?: number | null,
  ): Promise<KeyValueWritten>;
  /**
   * Puts (or with null deletes) if the entry still has that revision; 0: if there is none.
   */
  compareAndSet(
    storeId: number, key: Uint8Array, revision: number, value: Uint8Array | null,
    ttlMs?: number | null,
  ): Promise<KeyValueWritten>;
  /** Adds to a whole number in decimal text; an absent one counts as 0. */
  increment(
    storeId: number, key: Uint8Array, delta: bigint,
  ): Promise<{ readonly absent: boolean; readonly sum: bigint }>;
  /** Resolves to true if the key was there. */
  delete(storeId: number, key: Uint8Array): Promise<boolean>;
}

// Secrets.

export interface SecretSource {
  /**
   * The value in effect now, or null. A read of a local file, and its decryption. Throws
   * WardianError `store_failed` if it cannot be read or opened.
   */
  get(appId: number, name: string): Uint8Array | null;
}

// Log, clock, random.

export type LogSource = GuestLogLine['source'];

/** The log of one guest. Nothing throws: what is over a limit is cut, and counted in `cutBytes`. */
export interface GuestLog {
  /** Bytes of text accepted: `usage.logBytes`. */
  readonly bytes: number;
  readonly cutBytes: number;
  /** Of these, the bytes over the limit of the request: `usage.logOverBytes`. */
  readonly overBytes: number;
  /**
   * One line; line feeds in it make several lines. Text that is not UTF-8 gets replacement
   * characters.
   */
  line(source: LogSource, text: string | Uint8Array): void;
  /**
   * A piece of a stream: complete lines are logged, the rest waits for its line feed (or for
   * `close`).
   */
  write(source: 'stdout' | 'stderr', bytes: Uint8Array): void;
  /**
   * Logs unfinished lines and, if whole lines were dropped, one empty line that says how many
   * bytes.
   */
  close(): void;
}

export interface Clock {
  /** Nanoseconds since the epoch, of the system's clock. */
  realtimeNanos(): bigint;
  /** Nanoseconds since the services started; never goes back. */
  monotonicNanos(): bigint;
}

/** Cryptographically secure. */
export interface RandomSource {
  /** 0 ≤ value < 2⁶⁴. */
  nextU64(): bigint;
  fill(bytes: Uint8Array): void;
}
