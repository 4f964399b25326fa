/**
 * The services behind the hostcalls: outbound HTTP under an egress policy, DNS, the key-value
 * stores, secrets, log, clock and random numbers. One set per worker thread; every guest of every
 * ABI uses it.
 */

import { KeyRing } from '../../contract/key-ring.ts';
import { StoreEpoch } from '../../contract/store-epoch.ts';
import { createClock } from './clock.ts';
import { CachingResolver } from './dns/resolver.ts';
import { EgressPolicy } from './egress/policy.ts';
import { UpstreamClient } from './http/client.ts';
import { HeldBytes } from './held-bytes.ts';
import { WriterChannel } from './kv/channel.ts';
import { BoundedLog } from './log.ts';
import { createRandom } from './random.ts';
import { SubrequestScope } from './scope.ts';
import { StoreView } from './store-view.ts';
import type {
  Services, ServicesOptions, SubrequestLimits, TracedRequest, WorkerServices,
} from './types.ts';

export type * from './types.ts';
export { DnsError, UpstreamError } from './errors.ts';
export type { DnsReason, UpstreamReason } from './errors.ts';
export { openSpans } from './trace.ts';
export type { SpanList } from './trace.ts';

/** Throws WardianError `bad_argument` for a malformed address range or resolver. */
export function createServices({ settings, storePort, log }: ServicesOptions): WorkerServices {
  const policy = new EgressPolicy(settings.egressAllow);
  const dns = new CachingResolver({ servers: settings.dnsServers });
  const http = new UpstreamClient({
    policy,
    lookup: (name, tenantId) => dns.lookup(name, tenantId),
  });
  const held = new HeldBytes();
  const channel = new WriterChannel(storePort);
  const keys = new KeyRing(settings.secretKeys);
  const epoch = settings.storeEpoch === undefined ? null : new StoreEpoch(settings.storeEpoch);
  let view = new StoreView(settings.databasePath, channel, keys, epoch);
  const shared = {
    http,
    dns,
    held,
    clock: createClock(),
    random: createRandom(),
    openSubrequests: (
      tenantId: number, limits: SubrequestLimits, traced?: TracedRequest,
    ): SubrequestScope => new SubrequestScope(tenantId, limits, held, traced),
    openLog: (versionId: number, requestId: string, logBytes: number): BoundedLog =>
      new BoundedLog(versionId, requestId, logBytes, log),
    sendWrites: (nowMs: number) => channel.sendDue(nowMs),
    async close(): Promise<void> {
      channel.close();
      view.retire();
      await http.close();
    },
  };
  // One object for all guests of a database: joining costs a count.
  const open = (of: StoreView): Services => (
    { ...shared, kv: of.kv, secrets: of.secrets, leave: () => of.leave() });
  let joined = open(view);
  return {
    ...shared,
    get kv() { return view.kv; },
    get secrets() { return view.secrets; },
    get epoch() { return view.epoch; },
    join() {
      view.enter();
      return joined;
    },
    renew() {
      const before = view;
      view = new StoreView(settings.databasePath, channel, keys, epoch);
      joined = open(view);
      before.retire();
      return view.epoch;
    },
  };
}
