/**
 * Every bound of the system, unit last, with the relations between them asserted when this file
 * loads. Values that an operator may change are the defaults of `RequestLimits` and of the
 * configuration; the rest are fixed.
 */

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const WASM_PAGE_BYTES = 64 * KIB;

/**
 * What one request of one deployment may use. Operator defaults, overridden by tenant and
 * deployment.
 */
export interface RequestLimits {
  /** Fuel units; see docs/fuel.md for what one buys. */
  readonly fuel: number;
  /** Linear memory and tables together. */
  readonly memoryBytes: number;
  /** Wall-clock time from the whole request to the reply, the wait for a turn included. */
  readonly deadlineMs: number;
  readonly hostcalls: number;
  /** Bytes copied by hostcalls in both directions. */
  readonly hostcallBytes: number;
  readonly responseBytes: number;
  readonly logBytes: number;
  /** Outbound HTTP requests started, redirects included. */
  readonly subrequests: number;
  readonly subrequestsConcurrent: number;
  /** Bytes of all upstream response bodies together. */
  readonly subrequestBytes: number;
  readonly subrequestMs: number;
  readonly dnsQueries: number;
  readonly kvOperations: number;
  /**
   * Bytes of bodies that flow through without being held: of the client's upload, and of all
   * upstream answers that are read piece by piece or relayed, each by itself.
   */
  readonly streamBytes: number;
  /** How long an upstream may neither send nor take a byte of such a body. */
  readonly streamStallMs: number;
}

export const REQUEST_LIMITS_DEFAULT: RequestLimits = {
  fuel: 1_000_000_000,
  memoryBytes: 128 * MIB,
  deadlineMs: 30_000,
  hostcalls: 100_000,
  hostcallBytes: 256 * MIB,
  responseBytes: 64 * MIB,
  logBytes: 64 * KIB,
  subrequests: 50,
  subrequestsConcurrent: 10,
  subrequestBytes: 64 * MIB,
  subrequestMs: 20_000,
  dnsQueries: 20,
  kvOperations: 1_000,
  streamBytes: 4_096 * MIB,
  streamStallMs: 30_000,
};

// Listeners.
export const HEADER_BYTES_MAX = 16 * KIB;
export const HEADER_COUNT_MAX = 128;
export const BODY_BYTES_MAX = 16 * MIB;
/**
 * Request bodies that are held whole, and what is kept of those that flow, all together: beyond it
 * further ones are refused.
 */
export const GATHERED_BYTES_MAX = 256 * MIB;
/**
 * A body that is declared longer than this, or not declared, is looked at before it is read: it may
 * be refused, or go to a guest that reads piece by piece.
 */
export const BODY_SMALL_BYTES_MAX = 64 * KIB;
export const HEADERS_TIMEOUT_MS = 10_000;
export const BODY_TIMEOUT_MS = 30_000;
/** What a body must have averaged once it has taken longer than `BODY_TIMEOUT_MS`. */
export const BODY_RATE_MIN_BYTES_PER_S = 16 * KIB;
export const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** How long a client may leave an answer unread. */
export const RESPONSE_STALL_MS = 30_000;
/** Requests of one connection that may be under way at once. */
export const PIPELINED_MAX = 16;
/** Bytes of answers that a client may leave unread before its next requests wait. */
export const UNREAD_BYTES_MAX = 256 * KIB;
/**
 * How long the guests of a client that has ended its half of the connection may still work for it:
 * it may be one that has nothing more to ask, or one that is gone.
 */
export const HALF_CLOSED_MS = 1_000;
/** How long a connection that is over may take to be closed by its client. */
export const LINGER_MS = 1_000;
export const DRAIN_MS = 30_000;
export const REQUEST_ID_BYTES_MAX = 128;

// Traces.
export const TRACEPARENT_BYTES_MAX = 256;
export const TRACESTATE_BYTES_MAX = 512;
export const TRACESTATE_MEMBERS_MAX = 32;
/** Spans of one guest that are exported; further ones are counted. */
export const TRACE_SPANS_MAX = 64;
/** Sampled requests that wait to be exported; further ones are dropped and counted. */
export const TRACES_WAITING_MAX = 4_096;

// Pool.
/** Of one tenant, by default and at most by configuration. */
export const GUESTS_IN_FLIGHT_MAX = 4_000;
export const GUESTS_IN_FLIGHT_CONFIGURED_MAX = 9_600;
export const QUEUE_LENGTH_MAX = 4_000;
/** How long a request may wait in the queue. */
export const QUEUE_MS = 15_000;
/** Guests per thread that may want the processor at once before requests queue. */
export const RUNNABLE_PER_THREAD = 32;
/**
 * Of the places in flight and in the queue, a tenant may have so many times what is left: one alone
 * takes four fifths, two take four ninths each, and something is always left. The settings name
 * what one alone may have.
 */
export const FAIR_SHARE_FACTOR = 4;
/**
 * Time of each thread that one tenant's requests may have sent ahead, while others are there and
 * while none is; and for how long after its last request a tenant counts as there.
 */
export const ADMISSION_AHEAD_MS = 0.25;
export const ADMISSION_ALONE_AHEAD_MS = 8;
export const ADMISSION_ACTIVE_MS = 10_000;
/** A tenant whose guests hold a thread longer than this on average leaves a thread to others. */
export const ADMISSION_HEAVY_MS = 2;
export const RETRY_AFTER_S_MAX = 60;
export const MODULE_CACHE_BYTES_MAX = 256 * MIB;
export const MEMORY_POOL_BYTES_MAX = 256 * MIB;
/**
 * A memory that grew past this is dropped and not kept: zeroing it would cost more than a new one.
 */
export const RECYCLED_MEMORY_BYTES_MAX = 4 * MIB;
/** Memories that a worker lets go of, together, before it collects them itself. */
export const DROPPED_MEMORY_BYTES_MAX = 512 * MIB;
/** How long after its deadline a request may occupy a thread before the thread is ended. */
export const STUCK_WORKER_GRACE_MS = 250;
export const WATCHDOG_INTERVAL_MS = 100;
/** How often a worker looks for guests past their deadline, and beats. */
export const SWEEP_INTERVAL_MS = 25;
/** How long a thread that was told to end may take before others are started in its place. */
export const WORKER_EXIT_MS = 1_000;
/** Memories that exist in the process; about 16,300 exhaust its address space. */
export const LIVE_MEMORIES_MAX = 12_000;
/** Tables of all instances of one worker, on its heap. */
export const LIVE_TABLE_BYTES_MAX = 256 * MIB;
/** Of a worker's heap: with more in use no guest begins or goes on. */
export const HEAP_ADMISSION_SHARE = 0.75;
/** Text of guests' log lines that a worker sends at a time; the rest is dropped and counted. */
export const LOG_BATCH_BYTES_MAX = 4 * MIB;
/** Versions that a worker keeps by number; their modules are bounded by bytes. */
export const SERVED_VERSIONS_MAX = 20_000;
/** Environments and bindings of those, together. */
export const SERVED_ENVIRONMENT_BYTES_MAX = 64 * MIB;
/** A body up to this size is copied between threads: that costs less than handing it over. */
export const BODY_COPIED_BYTES_MAX = 16 * KIB;
/**
 * A reply's body or a value to be stored up to this size crosses the threads as a string of one
 * character per byte: a buffer costs both sides a microsecond, and their collectors another.
 */
export const BODY_AS_TEXT_BYTES_MAX = 2 * KIB;

// Streams.
/** Bytes of one body that may be on their way between a worker and the main thread. */
export const STREAM_WINDOW_BYTES = 256 * KIB;
/**
 * Windows of answers that are relayed, all together. Once half of it is taken, further ones get a
 * window of one piece.
 */
export const RELAYED_BYTES_MAX = 640 * MIB;
/** What a piece of a body has at most, and what is kept of one before its source is held back. */
export const STREAM_PIECE_BYTES = 64 * KIB;
/** Answers that are being relayed after their guests have ended, all of whom may end at once. */
export const STREAMS_OPEN_MAX = 5_000;

// Modules.
export const MODULE_BYTES_MAX = 32 * MIB;
/** After metering, which makes a module 1.1 to 2.5 times as long. */
export const REWRITTEN_BYTES_MAX = 128 * MIB;
export const FUNCTIONS_MAX = 100_000;
export const TYPES_MAX = 20_000;
export const GLOBALS_MAX = 10_000;
export const IMPORTS_MAX = 1_000;
export const EXPORTS_MAX = 10_000;
export const SEGMENTS_MAX = 100_000;
export const CUSTOM_SECTIONS_MAX = 10_000;
export const TABLES_MAX = 16;
export const TABLE_ENTRIES_MAX = 262_144;
/** Of functions, measured, all on the worker's heap; of other references 8. */
export const TABLE_ENTRY_BYTES = 32;
/** Larger tables stay tables; see `pool/rewrite/static-table.ts`. */
export const STATIC_TABLE_ENTRIES_MAX = 2_048;
/** Branch targets of all dispatchers of a module: entries times types called. */
export const DISPATCH_TARGETS_MAX = 65_536;
export const FUNCTION_BODY_BYTES_MAX = 2 * MIB;
/** V8's limit; metering makes bodies longer. */
export const REWRITTEN_BODY_BYTES_MAX = 7_654_321;
export const LOCALS_MAX = 20_000;
/**
 * Locals × joins of one function, and the sum over all: a join is a block, a branch to a label, a
 * catch clause, or a call inside of a `try`, a loop is as much as `LOOP_JOINS` of them. A million
 * take the optimising compiler 20 to 70 ms and 30 MB, the other one up to 40 ms.
 */
export const LOCALS_TIMES_JOINS_MAX = 20_000_000;
export const MODULE_LOCALS_TIMES_JOINS_MAX = 50_000_000;
export const LOOP_JOINS = 8;
/**
 * Bytes of code in loops, once for each loop around them: the optimising compiler reads a loop's
 * body when it comes to its header. A million take 3 ms.
 */
export const LOOP_BYTES_MAX = 100_000_000;
export const MODULE_LOOP_BYTES_MAX = 500_000_000;
export const NESTING_MAX = 2_000;
/** Values that the blocks, branches and calls of one function move: each becomes compiled code. */
export const FUNCTION_VALUES_MAX = 4_000_000;
/**
 * Of those, the ones beyond the first 16 of each block, branch and call, in one function and in
 * all: their cost to the optimising compiler grows with the square. 200,000 compile for 1.3 s,
 * 500,000 for 14 s, a million for 76 s.
 */
export const WIDE_VALUES_MAX = 100_000;
export const MODULE_WIDE_VALUES_MAX = 1_000_000;
export const BR_TABLE_TARGETS_MAX = 65_520;
export const PARAMETERS_MAX = 1_000;
export const RESULTS_MAX = 1_000;
/** Values that an exception carries: each is kept on the worker's heap with it. */
export const TAG_PARAMETERS_MAX = 16;

// Builds.
export const BUILD_MS = 60_000;
/** Of those, for the compilation of what was rewritten: 32 MB take 3 s of a processor. */
export const COMPILE_MS = 20_000;
export const BUILD_MEMORY_BYTES_MAX = 2_048 * MIB;
export const BUILD_OUTPUT_BYTES_MAX = 64 * KIB;
export const UPLOAD_BYTES_MAX = 64 * MIB;
/** All uploads that the daemon holds in memory at one time. */
export const UPLOADS_HELD_BYTES_MAX = 256 * MIB;
/** Those of one tenant. */
export const UPLOADS_HELD_TENANT_BYTES_MAX = 160 * MIB;
export const UPLOAD_FILES_MAX = 2_000;
export const BUILDS_CONCURRENT_MAX = 2;
export const BUILDS_QUEUED_MAX = 32;
/** A module after rewriting: fuel makes it larger. */
export const ARTIFACT_BYTES_MAX = 128 * MIB;
/** JSON of one message between the daemon and a builder child. */
export const BUILD_HEAD_BYTES_MAX = 2 * MIB;
/** Failures whose source lines are being looked for, of all apps and of one. */
export const SOURCE_LINE_QUESTIONS_MAX = 16;
export const SOURCE_LINE_QUESTIONS_PER_APP_MAX = 2;
/** How long one of them may take, and how long it waits for a moment without builds. */
export const LOCATE_MS = 10_000;
export const LOCATE_PATIENCE_MS = 30_000;
export const UPLOAD_PATH_BYTES_MAX = 255;
/** How long an idle builder child is kept for the next deploy. */
export const BUILDER_IDLE_MS = 5 * 60 * 1_000;

// Admin API.
/** Of JSON bodies; uploads have their own bounds. */
export const ADMIN_BODY_BYTES_MAX = 64 * KIB;
export const ADMIN_CONNECTIONS_MAX = 256;
/** Calls that one tenant may have under way at once. */
export const ADMIN_CALLS_PER_TENANT_MAX = 64;
/** Readers of the log at one time: of one tenant, of all tenants, and of the operator. */
export const FOLLOWERS_PER_TENANT_MAX = 8;
export const FOLLOWERS_TENANTS_MAX = 64;
export const FOLLOWERS_OPERATOR_MAX = 32;

// Deployments.
export const LABEL_LENGTH_MAX = 63;
/** Sandboxes that exist at one time, and that one address may deploy in a minute. */
export const SANDBOXES_LIVE_MAX = 200;
export const SANDBOX_DEPLOYS_PER_MINUTE_MAX = 20;
/** How often apps whose time has come are looked for. */
export const EXPIRY_INTERVAL_MS = 2_000;
export const SANDBOX_LIFE_MS = 5 * 60 * 1_000;
export const TERRCTL_MESSAGE_BYTES_MAX = 4_096;

/** How long the result of a deploy under an idempotency key is kept, and how many of a tenant. */
export const DEPLOY_KEYS_KEPT_MS = 24 * 3_600 * 1_000;
export const DEPLOY_KEYS_PER_TENANT_MAX = 10_000;

// Key-value store.
export const KV_KEY_BYTES_MAX = 2_048;
export const KV_VALUE_BYTES_MAX = 8 * MIB;
export const KV_STORE_BYTES_MAX = 256 * MIB;
export const KV_STORE_KEYS_MAX = 1_000_000;
export const KV_TTL_MS_MAX = 10 * 365 * 24 * 60 * 60 * 1_000;
export const KV_LIST_MAX = 1_000;

// The store's writer.
/** A commit takes at most so many commands, so many bytes of values, and so long to fill. */
export const STORE_BATCH_COMMANDS_MAX = 1_024;
export const STORE_BATCH_BYTES_MAX = 8 * MIB;
export const STORE_BATCH_MS = 10;
/** Values that wait for their commit; beyond it writes are refused rather than kept in memory. */
export const STORE_PENDING_BYTES_MAX = 256 * MIB;
export const STORE_PENDING_TENANT_BYTES_MAX = 64 * MIB;
export const STORE_BUSY_TIMEOUT_MS = 5_000;
/** With less free on the disk, writes that grow the database are refused while others go on. */
/** While a backup takes the database's place: how long work that changes things has to end, */
export const RESTORE_WORK_MS = 10_000;
/** or as long as the operator says, at most, */
export const RESTORE_WAIT_S_MAX = 600;
/** how long guests that run have, before they go on with the old database alone, */
export const RESTORE_GUESTS_MS = 2_000;
/** and requests that wait meanwhile. */
export const RESTORE_HELD_MAX = 10_000;
export const STORE_FREE_BYTES_MIN = 64 * MIB;
/** Up to this size a database is checked as a whole at start; above it, the control tables. */
export const STORE_FULL_CHECK_BYTES_MAX = 64 * MIB;
export const TENANT_NAME_LENGTH_MAX = 64;
export const NAMESPACE_NAME_LENGTH_MAX = 64;
export const BINDINGS_PER_APP_MAX = 64;
export const TOKEN_NAME_LENGTH_MAX = 64;
export const TOKENS_PER_TENANT_MAX = 1_000;
export const ENV_NAME_LENGTH_MAX = 128;
export const ENV_VALUE_BYTES_MAX = 32 * KIB;
/** Names and values of an app together: a guest may ask for all of them in one call. */
export const ENV_BYTES_MAX = 128 * KIB;
export const SECRET_VALUE_BYTES_MAX = 32 * KIB;
export const SECRETS_PER_APP_MAX = 128;
/** Of each secret, of those whose time has come. */
export const SECRET_VERSIONS_KEPT = 10;
/** Of each secret, whose time is to come: they are kept until then. */
export const SECRET_VERSIONS_WAITING_MAX = 10;
export const HOST_LENGTH_MAX = 253;
export const HOSTS_PER_APP_MAX = 100;
/** How often versions that nobody needs any more are looked for. */
export const GARBAGE_INTERVAL_MS = 60_000;
/** No version is collected so soon after a promotion: requests may still be on their way to it. */
export const VERSION_GRACE_MS = 60_000;

// Hostcalls.
export const HANDLES_MAX = 10_000;
export const HEADER_NAME_BYTES_MAX = 256;
export const HEADER_VALUE_BYTES_MAX = 64 * KIB;
export const GUEST_HEADER_COUNT_MAX = 256;
export const GUEST_HEADER_BYTES_MAX = 256 * KIB;
export const URL_BYTES_MAX = 16 * KIB;
export const METHOD_BYTES_MAX = 32;
export const MESSAGE_BYTES_MAX = 16 * KIB;
export const LOG_LINE_BYTES_MAX = 8 * KIB;
export const REDIRECTS_MAX = 10;
export const DNS_TIMEOUT_MS = 5_000;
export const DNS_MESSAGE_BYTES_MAX = 4_096;
/** Over TCP: the length field has two bytes. */
export const DNS_ANSWER_BYTES_MAX = 65_535;
export const DNS_CACHE_ENTRIES_MAX = 10_000;
/** Of answers to guests' own messages, on one thread. */
export const DNS_RAW_CACHE_BYTES_MAX = 4 * MIB;
export const DNS_TTL_MAX_MS = 300_000;
export const DNS_NEGATIVE_TTL_MAX_MS = 10_000;
/** Queries one tenant may have under way on one thread; each has a socket. */
export const DNS_QUERIES_PER_TENANT_MAX = 64;
export const DNS_QUERIES_CONCURRENT_MAX = 512;
export const CONNECT_TIMEOUT_MS = 10_000;
export const UPSTREAM_CONNECTIONS_MAX = 128;
export const UPSTREAM_ORIGINS_MAX = 1_000;
export const UPSTREAM_ORIGINS_PER_TENANT_MAX = 100;
/** Connections of one tenant on one thread, idle ones and those under construction included. */
export const UPSTREAM_SOCKETS_PER_TENANT_MAX = 1_024;
/** Upstream bodies of guests that are open, of one tenant and of all, on one thread. */
export const UPSTREAM_HELD_BYTES_PER_TENANT_MAX = 128 * MIB;
export const UPSTREAM_HELD_BYTES_MAX = 512 * MIB;
export const UPSTREAM_HEADER_BYTES_MAX = 64 * KIB;
/** How long an idle connection is kept, and how long when the upstream asks for more. */
export const UPSTREAM_KEEP_ALIVE_MS = 4_000;
export const UPSTREAM_KEEP_ALIVE_MAX_MS = 30_000;
/** A pool without requests for this long is closed. */
export const UPSTREAM_POOL_IDLE_MS = 60_000;
/** Of a redirect's own body: read so that the connection can be reused, given up above this. */
export const REDIRECT_BODY_BYTES_MAX = 16 * KIB;

function assertRelation(holds: boolean, relation: string): void {
  if (!holds) throw new Error(`contract/limits.ts: broken relation: ${relation}`);
}

assertRelation(KV_VALUE_BYTES_MAX <= KV_STORE_BYTES_MAX, 'a value fits its store');
assertRelation(KV_KEY_BYTES_MAX <= BODY_AS_TEXT_BYTES_MAX, 'a key crosses the threads as text');
assertRelation(KV_VALUE_BYTES_MAX <= STORE_BATCH_BYTES_MAX, 'a value fits a commit');
assertRelation(KV_VALUE_BYTES_MAX <= STORE_PENDING_TENANT_BYTES_MAX, 'a value may wait');
assertRelation(
  REQUEST_LIMITS_DEFAULT.subrequestMs <= REQUEST_LIMITS_DEFAULT.deadlineMs,
  'a subrequest ends before its request',
);
assertRelation(
  REQUEST_LIMITS_DEFAULT.subrequestsConcurrent <= REQUEST_LIMITS_DEFAULT.subrequests,
  'concurrent subrequests are among all',
);
assertRelation(UPLOAD_BYTES_MAX <= UPLOADS_HELD_BYTES_MAX, 'an upload fits among all uploads');
assertRelation(
  UPLOAD_BYTES_MAX <= UPLOADS_HELD_TENANT_BYTES_MAX &&
    UPLOAD_BYTES_MAX <= UPLOADS_HELD_BYTES_MAX - UPLOADS_HELD_TENANT_BYTES_MAX,
  'beside all uploads of one tenant another has room for one',
);
assertRelation(
  ADMIN_CALLS_PER_TENANT_MAX < ADMIN_CONNECTIONS_MAX &&
    FOLLOWERS_PER_TENANT_MAX < FOLLOWERS_TENANTS_MAX &&
    FOLLOWERS_TENANTS_MAX + FOLLOWERS_OPERATOR_MAX < ADMIN_CONNECTIONS_MAX,
  'one tenant cannot take all of the admin API',
);
assertRelation(MODULE_BYTES_MAX <= UPLOAD_BYTES_MAX, 'a module fits an upload');
assertRelation(MODULE_BYTES_MAX <= MODULE_CACHE_BYTES_MAX, 'a module fits the cache');
assertRelation(ARTIFACT_BYTES_MAX <= MODULE_CACHE_BYTES_MAX, 'an artifact fits the cache');
assertRelation(MODULE_BYTES_MAX <= ARTIFACT_BYTES_MAX, 'rewriting does not shrink the bound');
assertRelation(
  UPSTREAM_ORIGINS_PER_TENANT_MAX < UPSTREAM_ORIGINS_MAX, 'one tenant cannot evict all pools',
);
assertRelation(
  REQUEST_LIMITS_DEFAULT.subrequestBytes <= UPSTREAM_HELD_BYTES_PER_TENANT_MAX &&
    UPSTREAM_HELD_BYTES_PER_TENANT_MAX < UPSTREAM_HELD_BYTES_MAX,
  'a guest\'s upstream bodies fit the tenant\'s, and one tenant cannot take all',
);
assertRelation(
  UPSTREAM_CONNECTIONS_MAX <= UPSTREAM_SOCKETS_PER_TENANT_MAX,
  'the connections to an origin are among the tenant\'s',
);
assertRelation(
  DNS_QUERIES_PER_TENANT_MAX < DNS_QUERIES_CONCURRENT_MAX, 'one tenant cannot use up all queries',
);
assertRelation(BODY_AS_TEXT_BYTES_MAX < BODY_COPIED_BYTES_MAX, 'text is a copy');
assertRelation(RECYCLED_MEMORY_BYTES_MAX <= MEMORY_POOL_BYTES_MAX, 'a memory fits the pool');
/** Places for all tenants, when one tenant alone may have so many. */
export function placesMax(tenantMax: number): number {
  return tenantMax + Math.ceil(tenantMax / FAIR_SHARE_FACTOR);
}

assertRelation(
  placesMax(GUESTS_IN_FLIGHT_CONFIGURED_MAX) <= LIVE_MEMORIES_MAX,
  'each guest may have a memory',
);
assertRelation(GUESTS_IN_FLIGHT_MAX <= GUESTS_IN_FLIGHT_CONFIGURED_MAX, 'defaults are allowed');
assertRelation(QUEUE_MS <= REQUEST_LIMITS_DEFAULT.deadlineMs, 'a queue leaves time for the guest');
assertRelation(ADMISSION_AHEAD_MS <= ADMISSION_ALONE_AHEAD_MS, 'others tighten the bound');
assertRelation(TABLE_ENTRIES_MAX * TABLE_ENTRY_BYTES <= LIVE_TABLE_BYTES_MAX,
  'the tables of an instance fit a worker');
assertRelation(BODY_BYTES_MAX <= REQUEST_LIMITS_DEFAULT.memoryBytes, 'a body fits the memory');
assertRelation(BODY_BYTES_MAX <= GATHERED_BYTES_MAX, 'a body fits among all that are held');
assertRelation(BODY_SMALL_BYTES_MAX <= BODY_BYTES_MAX, 'a small body is no larger than any');
assertRelation(
  REQUEST_LIMITS_DEFAULT.subrequestBytes <= REQUEST_LIMITS_DEFAULT.streamBytes &&
    BODY_BYTES_MAX <= REQUEST_LIMITS_DEFAULT.streamBytes,
  'what may be held may also flow',
);
assertRelation(STREAM_PIECE_BYTES * 2 <= STREAM_WINDOW_BYTES, 'a window holds several pieces');
assertRelation(
  STREAMS_OPEN_MAX * STREAM_PIECE_BYTES <= RELAYED_BYTES_MAX / 2, 'each answer has a window',
);
assertRelation(COMPILE_MS < BUILD_MS, 'compiling is part of a build');
assertRelation(FUNCTION_BODY_BYTES_MAX <= MODULE_BYTES_MAX, 'a function fits a module');
assertRelation(LOCALS_TIMES_JOINS_MAX <= MODULE_LOCALS_TIMES_JOINS_MAX,
  'a function\'s joins fit the module');
assertRelation(LOOP_BYTES_MAX <= MODULE_LOOP_BYTES_MAX, 'a function\'s loops fit the module');
assertRelation(WIDE_VALUES_MAX <= MODULE_WIDE_VALUES_MAX, 'a function\'s values fit the module');
assertRelation(REQUEST_LIMITS_DEFAULT.fuel <= Number.MAX_SAFE_INTEGER, 'fuel is an exact number');
