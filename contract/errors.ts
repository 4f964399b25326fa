/**
 * Every way a request or an operation can fail: one table with the code, the HTTP status and whose
 * fault it is. The code is what `wardian-error` carries and what operators search for; none is ever
 * reused.
 */

export type Fault = 'tenant' | 'client' | 'platform' | 'upstream';

export interface ErrorEntry {
  /**
   * HTTP status of the answer. 499 is never sent: the client is gone. 200 is of what is told beside
   * the guest's own answer.
   */
  readonly status: number;
  readonly fault: Fault;
  /** What the code means, for `docs/errors.md` and as the first words of the answer. */
  readonly meaning: string;
}

export const ERRORS = {
  // The listener: the client's framing and sizes.
  bad_request: { status: 400, fault: 'client', meaning: 'malformed HTTP request' },
  request_timeout: { status: 408, fault: 'client', meaning: 'the request took too long to arrive' },
  body_too_large: { status: 413, fault: 'client', meaning: 'request body over the limit' },
  headers_too_large: { status: 431, fault: 'client', meaning: 'request headers over the limit' },
  client_closed: { status: 499, fault: 'client', meaning: 'the client went away' },
  // Routing and admission.
  unknown_host: { status: 404, fault: 'client', meaning: 'no deployment serves this host' },
  missing_host: { status: 400, fault: 'client', meaning: 'the request names no host' },
  draining: { status: 503, fault: 'platform', meaning: 'this node is shutting down' },
  overloaded: { status: 503, fault: 'platform', meaning: 'too many requests are waiting' },
  tenant_overloaded: {
    status: 503,
    fault: 'tenant',
    meaning: "too many of this tenant's requests are waiting",
  },
  bodies_exhausted: {
    status: 503,
    fault: 'platform',
    meaning: 'too many bytes of request bodies are held',
  },
  tenant_suspended: { status: 403, fault: 'tenant', meaning: 'this tenant is suspended' },
  // The guest.
  guest_panic: { status: 500, fault: 'tenant', meaning: 'the guest panicked' },
  guest_trap: { status: 500, fault: 'tenant', meaning: 'the guest trapped' },
  guest_exit: { status: 500, fault: 'tenant', meaning: 'the guest exited with a failure' },
  guest_exception: {
    status: 500,
    fault: 'tenant',
    meaning: 'the guest threw an exception that it did not catch',
  },
  stack_overflow: { status: 500, fault: 'tenant', meaning: 'the guest overflowed its stack' },
  bad_hostcall: { status: 500, fault: 'tenant', meaning: 'a hostcall was given a bad argument' },
  bad_response: {
    status: 500,
    fault: 'tenant',
    meaning: 'the guest built a response that HTTP does not allow',
  },
  missing_allocator: {
    status: 500,
    fault: 'tenant',
    meaning: 'the host had data to return before hostcall_init_mm was called',
  },
  out_of_fuel: { status: 503, fault: 'tenant', meaning: 'the guest used up its fuel' },
  out_of_memory: { status: 503, fault: 'tenant', meaning: 'the guest used up its memory' },
  deadline: { status: 504, fault: 'tenant', meaning: 'the guest did not answer in time' },
  hostcalls_exhausted: {
    status: 500,
    fault: 'tenant',
    meaning: 'the guest made too many hostcalls',
  },
  hostcall_bytes_exhausted: {
    status: 500,
    fault: 'tenant',
    meaning: 'hostcalls copied too many bytes',
  },
  log_bytes_exhausted: {
    // No request fails with it: the answer is the guest's.
    status: 200,
    fault: 'tenant',
    meaning: 'the guest logged more than its limit, and what was over it was cut',
  },
  response_too_large: {
    status: 500,
    fault: 'tenant',
    meaning: "the guest's response is over the limit",
  },
  stream_failed: {
    status: 502,
    fault: 'upstream',
    meaning: 'the body that was relayed broke off',
  },
  storage_full: { status: 507, fault: 'tenant', meaning: 'the store is full' },
  // The platform.
  worker_lost: {
    status: 502,
    fault: 'platform',
    meaning: 'the worker that served the request died',
  },
  module_unavailable: {
    status: 503,
    fault: 'platform',
    meaning: "the deployment's module cannot be loaded",
  },
  internal: { status: 500, fault: 'platform', meaning: 'an internal error' },
  // Deploying.
  not_wasm: { status: 422, fault: 'tenant', meaning: 'not a WebAssembly module' },
  malformed_module: { status: 422, fault: 'tenant', meaning: 'malformed WebAssembly module' },
  module_too_large: { status: 422, fault: 'tenant', meaning: 'module over the size limit' },
  unsupported_feature: {
    status: 422,
    fault: 'tenant',
    meaning: 'the module uses a feature that is refused',
  },
  module_limit: { status: 422, fault: 'tenant', meaning: 'the module is over a structural limit' },
  reserved_name: { status: 422, fault: 'tenant', meaning: 'the module uses a reserved name' },
  unknown_import: {
    status: 422,
    fault: 'tenant',
    meaning: 'the module imports what is not provided',
  },
  missing_export: {
    status: 422,
    fault: 'tenant',
    meaning: 'the module lacks an export that is needed',
  },
  compile_failed: { status: 422, fault: 'tenant', meaning: 'the module does not compile' },
  build_failed: { status: 422, fault: 'tenant', meaning: 'the source does not build' },
  build_timeout: { status: 422, fault: 'tenant', meaning: 'the build took too long' },
  build_memory: { status: 422, fault: 'tenant', meaning: 'the build used too much memory' },
  build_crashed: { status: 422, fault: 'tenant', meaning: 'the build crashed' },
  missing_tool: {
    status: 422,
    fault: 'platform',
    meaning: 'a compiler that the build needs is not installed',
  },
  unknown_language: {
    status: 422,
    fault: 'tenant',
    meaning: 'the language of the source is not known',
  },
  bad_upload: { status: 400, fault: 'client', meaning: 'malformed upload' },
  bad_name: { status: 400, fault: 'client', meaning: 'not a valid name' },
  // The admin API.
  not_found: { status: 404, fault: 'client', meaning: 'no such thing' },
  bad_argument: { status: 400, fault: 'client', meaning: 'a value is not allowed' },
  conflict: { status: 409, fault: 'client', meaning: 'it changed meanwhile, or exists already' },
  unauthorized: { status: 401, fault: 'client', meaning: 'no valid token' },
  forbidden: { status: 403, fault: 'client', meaning: 'the token does not allow this' },
  too_many_attempts: { status: 429, fault: 'client', meaning: 'too many failed attempts' },
  quota_exceeded: { status: 403, fault: 'tenant', meaning: "over the tenant's quota" },
  method_not_allowed: { status: 405, fault: 'client', meaning: 'the method is not allowed here' },
  store_failed: {
    status: 500,
    fault: 'platform',
    meaning: 'the store could not be read or written',
  },
  store_unusable: {
    status: 500,
    fault: 'platform',
    meaning: 'the database is damaged, or not one of this Wardian',
  },
  disk_full: { status: 507, fault: 'platform', meaning: 'the disk is nearly full' },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/**
 * The one error that crosses module borders. `message` is for the person who sees the answer: no
 * internals.
 */
export class WardianError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'WardianError';
    this.code = code;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get fault(): Fault {
    return ERRORS[this.code].fault;
  }
}
