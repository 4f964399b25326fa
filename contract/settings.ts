/**
 * The daemon's settings that have a flag, by name, and what `--help` says of each. Their values are
 * checked in `daemon/config.ts`; the command line names them in its help and completions.
 */

export const SETTING_MEANINGS: Readonly<Record<string, string>> = {
  listen: "address:port of the tenants' listener",
  admin: 'address:port of the admin API',
  data: 'folder of the database and the admin token',
  threads: 'worker threads',
  niceness: 'how far threads that run guests stand back for the main thread (Linux); 0: not at all',
  base_domain: 'apps answer on <app>.<base domain>',
  public_url: 'scheme and port of printed URLs, when a proxy stands before',
  engine: 'auto, net, uwebsockets (hyper-express) or node',
  drain_ms: 'how long SIGTERM waits for what is in flight',
  durability: 'full: writes survive a power cut; process: they survive kill -9',
  disk_free_bytes: 'free space of the disk below which what grows the database is refused; 0: none',
  egress_allow: 'ranges, comma-separated, that guests may reach though they are not public',
  dns_servers: 'resolvers for guests, comma-separated',
  half_closed_ms: 'how long a client that has ended its half of the connection is still served',
  header_bytes: 'largest request head',
  body_bytes: 'largest request body that is held whole',
  gathered_bytes: 'request bodies held whole, and what is kept of those that flow, all together',
  guests_in_flight: 'guests of one tenant under way; others have a quarter more in reserve',
  queue_length: 'requests of one tenant that may wait; others have a quarter more in reserve',
  queue_ms: 'how long a request may wait for its turn',
  tenant_requests: 'requests of one tenant under way and waiting; not below guests_in_flight',
  module_cache_bytes: 'compiled modules kept, by what they are reckoned to take together',
  memory_pool_bytes: 'guest memories kept for reuse',
  sandbox: 'true: anyone may deploy by the Terrarium protocol',
  sandbox_hosts: 'further hosts of the Terrarium protocol',
  build_languages: 'languages built from source: wat,assemblyscript,c,rust',
  log_level: 'debug, info, warn or error',
  access_log: 'false: no line per request',
  access_log_sample: 'share of requests that get a line, 0 to 1; failures always do',
  log_redact: 'headers and query parameters to leave out of logs and reports, client, query',
  log_recent_bytes: 'recent lines kept for wardian tail and wardian logs',
  guest_log_rate: 'lines a second that the guests of one app may log',
  metrics: 'false: requests are not counted',
  metrics_apps: 'apps with series of their own; all others are counted as _other',
  otlp_endpoint: 'URL of a collector that spans are sent to (OTLP over HTTP)',
  otlp_headers: 'headers for it, name=value, comma-separated; a secret',
  trace_sample: 'share of the traces begun here whose spans are sent, 0 to 1',
  trace_trust_incoming: 'false: each request begins a trace, whatever its traceparent says',
  admin_hosts: 'further names under which the admin API may be asked for, comma-separated',
  keep_versions: 'versions of each app that are kept; older ones that do not serve are removed',
};

/** `base_domain` is `--base-domain`. */
export function flagOf(name: string): string {
  return `--${name.replaceAll('_', '-')}`;
}
