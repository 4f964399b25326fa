/**
 * One line per request in the daemon's log: who asked for what, which app answered, how long each
 * phase took, what it used and how it ended. Lines are pino's JSON, built for many requests at a
 * time after they were answered.
 */

import { LOG_LIMIT_CODE } from '../contract/log-limit.ts';
import type { Log } from './log.ts';
import { queueMs, respondMs, transferMs } from './phases.ts';
import type { RecordRoute, RefusalRecord, RequestRecord } from './record.ts';
import type { Redaction } from './redact.ts';

export interface AccessLogOptions {
  /** Share of requests that are logged, from 0 to 1; failures always are. */
  readonly sample: number;
  readonly redaction: Redaction;
  readonly onSampled: (lines: number) => void;
  readonly onRefusalDropped: (lines: number) => void;
}

const INFO = 30;
const WARN = 40;
/** Requests that wait to be written; then they are written at once. */
const WAITING_MAX = 512;
/** Refusals of the listener that get a line in a second. */
const REFUSALS_PER_SECOND = 100;
/** A target that is longer is cut. */
const TARGET_LENGTH_MAX = 2_048;

/** With three digits, as JSON. */
const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;

/**
 * The same request is in or out wherever it is looked at: decided by its id (FNV-1a), not by
 * chance.
 */
export function sampled(requestId: string, rate: number): boolean {
  if (rate >= 1) return true;
  let hash = 0x811c9dc5;
  for (let at = 0; at < requestId.length; at += 1) {
    hash = Math.imul(hash ^ requestId.charCodeAt(at), 0x01000193);
  }
  // The low bits of FNV are not well mixed: fold the high ones in.
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return ((hash ^ (hash >>> 13)) >>> 0) < rate * 0x1_0000_0000;
}

function outcomeOf(record: RequestRecord): string {
  if (record.code === null) return 'ok';
  if (record.code === 'client_closed') return 'canceled';
  return record.failure === null && record.usage === null ? 'refused' : 'failed';
}

/** Names of a route as JSON members, made once for each. */
const routeTexts = new WeakMap<RecordRoute, string>();

function routeText(route: RecordRoute): string {
  let text = routeTexts.get(route);
  if (text === undefined) {
    text = `,"tenant":${JSON.stringify(route.tenantName)},"tenantId":${route.tenantId}` +
      `,"app":${JSON.stringify(route.label)},"appId":${route.appId}` +
      `,"version":${route.versionNumber}`;
    routeTexts.set(route, text);
  }
  return text;
}

function usageText({ usage }: RequestRecord): string {
  if (usage === null) return '';
  let text = `,"instantiateUs":${Math.round(usage.instantiateUs)}` +
    `,"runUs":${Math.round(usage.runUs)}` +
    `,"fuel":${usage.fuel},"memoryBytes":${usage.memoryBytes}` +
    `,"mode":"${usage.recycled ? 'recycled' : 'fresh'}","hostcalls":${usage.hostcalls}`;
  if (usage.subrequests > 0) {
    text += `,"subrequests":${usage.subrequests},"subrequestMs":${rounded(usage.subrequestMs)}`;
  }
  if (usage.subrequestFailures > 0) text += `,"subrequestFailures":${usage.subrequestFailures}`;
  if (usage.dnsQueries > 0) {
    text += `,"dnsQueries":${usage.dnsQueries},"dnsMs":${rounded(usage.dnsMs)}`;
  }
  if (usage.kvOperations > 0) {
    text += `,"kvOperations":${usage.kvOperations},"kvMs":${rounded(usage.kvMs)}`;
  }
  if (usage.logBytes > 0) text += `,"logBytes":${usage.logBytes}`;
  if (usage.logOverBytes > 0) {
    text += `,"logOverBytes":${usage.logOverBytes},"limit":"${LOG_LIMIT_CODE}"`;
  }
  return text;
}

function failureText({ code, failure }: RequestRecord): string {
  if (code === null) return '';
  const text = `,"error":"${code}"`;
  if (failure === null) return text;
  const bound = failure.fuelIsAtLeast === true ? ',"fuelIsAtLeast":true' : '';
  return `${text}${bound},"reason":${JSON.stringify(failure.message)}` +
    `,"backtrace":${JSON.stringify(failure.backtrace)}` +
    `,"lastHostcall":${JSON.stringify(failure.lastHostcall)}`;
}

/** The line of a request, with its line feed. */
export function accessLine(record: RequestRecord, redaction: Redaction): string {
  const { route, receivedAt, routedAt, answeredAt } = record;
  const target = redaction.target(record.target).slice(0, TARGET_LENGTH_MAX);
  const level = record.status >= 500 ? WARN : INFO;
  const time = Math.round(performance.timeOrigin + answeredAt);
  return `{"level":${level},"time":${time},"kind":"request"` +
    `,"requestId":${JSON.stringify(record.requestId)}` +
    `${record.trace === null ? '' : `,"traceId":"${record.trace.traceId}"`}` +
    `,"client":"${redaction.address(record.clientAddress)}"` +
    `,"method":${JSON.stringify(record.method)},"host":${JSON.stringify(record.host)}` +
    `,"target":${JSON.stringify(target)},"status":${record.status}` +
    `,"outcome":"${outcomeOf(record)}"${route === null ? '' : routeText(route)}` +
    `,"totalMs":${rounded(answeredAt - receivedAt)},"routeMs":${rounded(routedAt - receivedAt)}` +
    `,"queueMs":${rounded(queueMs(record))},"transferMs":${rounded(transferMs(record))}` +
    `,"respondMs":${rounded(respondMs(record))}` +
    usageText(record) +
    `,"requestBytes":${record.requestBytes},"responseBytes":${record.responseBytes}` +
    `${failureText(record)},"msg":"request"}\n`;
}

/** The line of a request that the listener refused before it knew what was asked for. */
export function refusalLine(refusal: RefusalRecord, time: number, redaction: Redaction): string {
  return `{"level":${INFO},"time":${time},"kind":"request"` +
    `,"requestId":${JSON.stringify(refusal.requestId)}` +
    `,"client":${JSON.stringify(redaction.address(refusal.clientAddress))}` +
    `,"status":${refusal.status},"outcome":"refused","error":"${refusal.code}"` +
    `,"reason":${JSON.stringify(refusal.message)},"msg":"refused by the listener"}\n`;
}

export class AccessLog {
  readonly #log: Log;
  readonly #options: AccessLogOptions;
  #waiting: RequestRecord[] = [];
  #refusalsSince = 0;
  #refusals = 0;

  constructor(log: Log, options: AccessLogOptions) {
    this.#log = log;
    this.#options = options;
    log.feed(this.#write);
  }

  request(record: RequestRecord): void {
    if (record.code === null && !sampled(record.requestId, this.#options.sample)) {
      this.#options.onSampled(1);
      return;
    }
    this.#waiting.push(record);
    if (this.#waiting.length >= WAITING_MAX) this.#write();
    else if (this.#waiting.length === 1) this.#log.wake();
  }

  /** Whoever sends nonsense costs a line each time, and may send it as fast as it likes. */
  refusal(refusal: RefusalRecord): void {
    const now = performance.now();
    if (now - this.#refusalsSince >= 1_000) {
      this.#refusalsSince = now;
      this.#refusals = 0;
    }
    this.#refusals += 1;
    if (this.#refusals > REFUSALS_PER_SECOND) {
      this.#options.onRefusalDropped(1);
      return;
    }
    const time = Math.round(performance.timeOrigin + now);
    this.#log.add('request', refusalLine(refusal, time, this.#options.redaction), 1);
  }

  readonly #write = (): void => {
    const records = this.#waiting;
    if (records.length === 0) return;
    this.#waiting = [];
    let text = '';
    for (const record of records) text += accessLine(record, this.#options.redaction);
    this.#log.add('request', text, records.length);
  };
}
