/** The hostcalls, as the pool and the builder see them. */

import type { RequestLimits } from '../contract/limits.ts';
import type { RequestMessage } from '../contract/messages.ts';
import { HOSTCALL_IMPORT, HOST_MODULE } from '../contract/reserved.ts';
import { Contexts } from './contexts.ts';
import { bindGate, bindHostcall, type Hostcall } from './define.ts';
import { GuestState, type Shared } from './guest.ts';
import type { Guest, GuestOwner, Host, HostOptions, StreamedBody } from './host.ts';
import { NUMBERED_HOSTCALLS } from './numbers.ts';
import { HOSTCALLS } from './tables.ts';

export type {
  Guest, GuestAnswer, GuestOwner, Host, HostOptions, InstanceParts, Relay, StreamedBody,
} from './host.ts';
export { inspectModule } from './inspect.ts';
export type { ExportFact, ImportFact, Inspection, Violation } from './inspect.ts';
export { createServices, UpstreamError } from './services/index.ts';
export type { HeldWindows } from './services/index.ts';
export { guestFrames } from './trap.ts';

/** By number. */
function numbered(): Hostcall[] {
  return NUMBERED_HOSTCALLS.map(([module, name]) => {
    const called = HOSTCALLS.get(module)?.get(name);
    if (called === undefined) throw new Error(`the hostcall ${module} ${name} has a number only`);
    return called;
  });
}

/** Builds the imports, once for a worker. `close` closes the services too. */
export function createHost(options: HostOptions): Host {
  const contexts = new Contexts<GuestState>();
  const shared: Shared = { options, contexts };
  const imports: Record<string, Record<string, unknown>> = {};
  for (const [module, hostcalls] of HOSTCALLS) {
    const functions: Record<string, unknown> = imports[module] = {};
    for (const [name, called] of hostcalls) functions[name] = bindHostcall(contexts, called);
  }
  imports[HOST_MODULE] = { [HOSTCALL_IMPORT]: bindGate(contexts, numbered()) };
  return {
    imports,
    open: (
      request: RequestMessage, owner: GuestOwner, limits: RequestLimits,
      body: StreamedBody | null = null,
    ): Guest => new GuestState(shared, request, owner, limits, body),
    get openCount() { return contexts.openCount; },
    close: () => options.services.close(),
  };
}
