/**
 * Which lines of the log a reader wants: by app, kind, status, method, version, words, and a share
 * of requests.
 */

import { sampled } from './access-log.ts';

export interface LineFilter {
  readonly app?: string | undefined;
  readonly tenant?: string | undefined;
  /** Decides what a tenant may see: another one may have had its name. */
  readonly tenantId?: number | undefined;
  readonly kind?: string | undefined;
  /** `200`, `5xx`, or an outcome: `ok`, `failed`, `refused`, `canceled`, `error` for the last 3. */
  readonly status?: string | undefined;
  readonly method?: string | undefined;
  readonly version?: number | undefined;
  readonly search?: string | undefined;
  readonly samplingRate?: number | undefined;
  /** Milliseconds since the epoch. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
}

export interface LogEntry {
  readonly time: number;
  readonly kind?: string;
  readonly [field: string]: unknown;
}

function hasStatus(entry: LogEntry, wanted: string): boolean {
  if (entry.kind !== 'request') return false;
  if (/^\d{3}$/.test(wanted)) return entry['status'] === Number(wanted);
  if (/^[1-5]xx$/.test(wanted)) return String(entry['status']).startsWith(wanted.slice(0, 1));
  if (wanted === 'error') return entry['outcome'] !== 'ok';
  return entry['outcome'] === wanted;
}

/** The line parsed, or null when the reader does not want it. */
export function pick(line: string, filter: LineFilter): LogEntry | null {
  const { app, search } = filter;
  // Most lines are of other apps: seen without parsing them.
  if (app !== undefined && !line.includes(`"app":${JSON.stringify(app)}`)) return null;
  if (search !== undefined && !line.includes(search)) {
    // A search for what JSON escapes finds the escaped form.
    if (!line.includes(JSON.stringify(search).slice(1, -1))) return null;
  }
  const entry = JSON.parse(line) as LogEntry;
  return wants(entry, filter) ? entry : null;
}

function wants(entry: LogEntry, filter: LineFilter): boolean {
  const { app, tenant, tenantId, kind, status, method, version, samplingRate } = filter;
  const { since, until } = filter;
  if (app !== undefined && entry['app'] !== app) return false;
  if (tenant !== undefined && entry['tenant'] !== tenant) return false;
  if (tenantId !== undefined && entry['tenantId'] !== tenantId) return false;
  if (kind !== undefined && (entry.kind ?? 'daemon') !== kind) return false;
  if (version !== undefined && entry['version'] !== version) return false;
  if (since !== undefined && entry.time < since) return false;
  if (until !== undefined && entry.time > until) return false;
  if (method !== undefined && entry['method'] !== method.toUpperCase()) return false;
  if (status !== undefined && !hasStatus(entry, status)) return false;
  const id = entry['requestId'];
  return samplingRate === undefined || typeof id !== 'string' || sampled(id, samplingRate);
}
