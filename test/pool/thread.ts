/**
 * What a worker holds (hostcalls, memories, the cache of modules) without its thread: guests run
 * where the test or the benchmark runs, each begun and killed by a plain call.
 */

import { MessageChannel, threadId } from 'node:worker_threads';
import { MIB, REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import type { RequestMessage } from '../../contract/messages.ts';
import { createHost, createServices } from '../../hostcalls/index.ts';
import { HeapGuard } from '../../pool/heap-guard.ts';
import { HEARTBEAT_BYTES, Heartbeat } from '../../pool/heartbeat.ts';
import { GuestRun, type Thread } from '../../pool/instance.ts';
import { MemoryPool, type MemoryPoolOptions } from '../../pool/memory-pool.ts';
import { ModuleCache, type Served } from '../../pool/module-cache.ts';
import { ModuleHolders, sharedHolders } from '../../pool/module-holders.ts';
import { setV8Flags } from '../../pool/v8-flags.ts';
import { dueIn, type Deployed, type World } from './world.ts';

export interface BareThreadOptions {
  readonly memories?: (options: MemoryPoolOptions) => MemoryPool;
  readonly settled?: (run: GuestRun) => void;
}

export interface BareThread {
  readonly memories: MemoryPool;
  load(deployed: Deployed): Promise<Served>;
  /** A run that has not begun. */
  arrive(served: Served, request?: Partial<RequestMessage>): GuestRun;
  close(): Promise<void>;
}

/** Errors of ours are thrown where they happen. */
export function createThread(world: World, options: BareThreadOptions = {}): BareThread {
  setV8Flags();
  const channel = new MessageChannel();
  const services = createServices({
    settings: { databasePath: world.databasePath, egressAllow: [], dnsServers: [] },
    storePort: channel.port1,
    log: () => undefined,
  });
  const fail = (error: unknown): never => { throw error; };
  const host = createHost({ services, onInternalError: fail });
  const create = options.memories ?? ((given) => new MemoryPool(given));
  const memories = create({
    imports: host.imports, keptBytesMax: 256 * MIB, liveMax: 12_000,
  });
  const thread: Thread = {
    host, memories, heap: new HeapGuard(),
    heartbeat: new Heartbeat(new SharedArrayBuffer(HEARTBEAT_BYTES)),
    settled: options.settled ?? (() => undefined), onInternalError: fail,
  };
  const cache = new ModuleCache({
    databasePath: world.databasePath, limits: REQUEST_LIMITS_DEFAULT, bytesMax: 256 * MIB,
    threads: 1, holders: new ModuleHolders(sharedHolders(1), threadId),
  });
  let sequence = 0;
  return {
    memories,
    load: ({ versionId }) => cache.load(versionId, 1),
    arrive: (served, request = {}) => new GuestRun(thread, {
      sequence: ++sequence, requestId: 'bare', versionId: served.owner.versionId, generation: 1,
      method: 'GET', target: '/', host: 'hello.localhost',
      headers: ['accept', '*/*', 'user-agent', 'bench'], body: null, clientAddress: '127.0.0.1',
      secure: false, deadlineAt: dueIn(600_000), streamed: false, ...request,
    }, null),
    async close() {
      cache.close();
      await host.close();
      channel.port1.close();
    },
  };
}

/** The event loop's next turn. */
export const turn = (): Promise<void> => new Promise((done) => { setImmediate(done); });
