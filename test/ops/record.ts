/** Records of requests for tests, each with every phase. */

import type { ErrorCode } from '../../contract/errors.ts';
import type { Usage } from '../../contract/messages.ts';
import type { RequestRecord } from '../../ops/record.ts';

export interface RecordOptions {
  readonly app?: string;
  readonly appId?: number;
  readonly status?: number;
  readonly code?: ErrorCode;
  readonly message?: string;
  readonly backtrace?: readonly string[];
  readonly memoryBytes?: number;
  readonly headers?: readonly string[];
  readonly target?: string;
  readonly requestId?: string;
}

let last = 0;
const ids = new Map<string, number>();

function idOf(app: string): number {
  const id = ids.get(app) ?? ids.size + 1;
  ids.set(app, id);
  return id;
}

const usageOf = (memoryBytes: number): Usage => ({
  fuel: 12_345, memoryBytes, hostcalls: 3, hostcallBytes: 100, logBytes: 0, logOverBytes: 0,
  subrequests: 1, dnsQueries: 1, kvOperations: 2, subrequestMs: 12, subrequestFailures: 1,
  kvMs: 3, dnsMs: 4,
  recycled: true, instantiateUs: 60, runUs: 500, waitedUs: 0,
});

export function recordOf(options: RecordOptions = {}): RequestRecord {
  const { app = 'app', status = 200, code = null, message = 'it failed' } = options;
  last += 1;
  const receivedAt = performance.now();
  const failure = code === null ? null : {
    code, message, backtrace: options.backtrace ?? ['inner@0x12', 'outer@0x34'],
    lastHostcall: 'hostcall_resp_set_body',
  };
  return {
    requestId: options.requestId ?? `request-${last}`,
    method: 'GET',
    target: options.target ?? '/a?b=1',
    host: `${app}.localhost`,
    headers: options.headers ?? ['accept', '*/*'],
    clientAddress: '192.0.2.1',
    route: {
      tenantId: 1, tenantName: 'local', appId: options.appId ?? idOf(app), label: app,
      versionId: 7, versionNumber: 3, limits: { memoryBytes: 128e6, fuel: 1e9 },
    },
    status, code, failure,
    usage: usageOf(options.memoryBytes ?? 131_072),
    requestBytes: 10, responseBytes: 20,
    receivedAt, routedAt: receivedAt + 0.01, dispatchedAt: receivedAt + 0.03,
    repliedAt: receivedAt + 0.63, answeredAt: receivedAt + 0.7, trace: null, guestTrace: null,
  };
}
