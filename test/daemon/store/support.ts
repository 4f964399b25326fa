/**
 * What the store's tests share: a store in a folder of its own, deploys of made-up modules, and a
 * worker's end of a store channel.
 */

import { MessageChannel } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';

import type { ModuleFacts } from '../../../contract/deployment.ts';
import type { StoreCommand, StoreReply } from '../../../contract/messages.ts';
import {
  STORE_REPLY_VALUES, putStoreRequest, takeStoreReply,
} from '../../../contract/store-wire.ts';
import type { StoreWire } from '../../../contract/store-wire.ts';
import { openStore } from '../../../daemon/store/store.ts';
import type { Deploy, Deployed, Store, StoreOptions } from '../../../daemon/store/store.ts';

interface TestContext {
  testdir(): string;
  teardown(end: () => Promise<void>): void;
}

export const FACTS: ModuleFacts = {
  abi: 'terrarium',
  entry: 'run',
  memory: { initialPages: 1, maximumPages: 16 },
  tableEntries: 0,
  listedEntries: 0,
  hasStart: false,
  hasTable: false,
  suspends: false,
  fuelAtInstantiation: 0,
};

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const text = (value: Uint8Array | null): string | null =>
  value === null ? null : Buffer.from(value).toString();

export async function testStore(
  t: TestContext, options: Partial<StoreOptions> = {},
): Promise<Store> {
  const store = await openStore({ dataFolder: t.testdir(), durability: 'process', ...options });
  t.teardown(() => store.close());
  return store;
}

export function deployOf(tenantId: number, label: string, source: string): Deploy {
  return {
    tenantId,
    label,
    language: 'wasm',
    module: bytes(source),
    rewriteKey: 'rewriter 1',
    artifact: { bytes: bytes(`rewritten ${source}`), facts: FACTS },
  };
}

/** A tenant of that name with one app. */
export async function deployed(store: Store, label: string, tenant = 'acme'): Promise<Deployed> {
  const { id } = await store.ensureTenant(tenant);
  return store.saveDeploy(deployOf(id, label, `module of ${label}`));
}

/** A worker's end of its channel to the writer, as the pool has it. */
export class WorkerPort {
  readonly port: MessagePort;
  readonly #waiting = new Map<number, (reply: StoreReply) => void>();
  #nextId = 1;
  /** The `StoreEpoch` of its guests. */
  epoch = 0;
  /** Messages with answers. */
  messages = 0;

  constructor(store: Store) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    port1.on('message', (replies: StoreWire) => {
      this.messages += 1;
      for (let at = 0; at < replies.length; at += STORE_REPLY_VALUES) {
        const reply = takeStoreReply(replies, at);
        const settle = this.#waiting.get(reply.id);
        if (!this.#waiting.delete(reply.id)) throw new Error(`second reply to ${reply.id}`);
        settle?.(reply);
      }
    });
    store.attachWorker(port2);
  }

  send(command: StoreCommand): Promise<StoreReply> {
    const wire: StoreWire = [];
    return this.#post(wire, (id) => putStoreRequest(wire, id, command, this.epoch));
  }

  /** Several in one message, as a worker sends what its guests wrote in one turn. */
  sendTogether(commands: readonly StoreCommand[]): Promise<StoreReply[]> {
    const wire: StoreWire = [];
    const replies = commands.map((command) => {
      const id = this.#take();
      putStoreRequest(wire, id, command);
      return this.#replyTo(id);
    });
    this.port.postMessage(wire, []);
    return Promise.all(replies);
  }

  /** What follows the id, as it is. */
  sendValues(values: readonly unknown[]): Promise<StoreReply> {
    const wire: StoreWire = [];
    return this.#post(wire, (id) => wire.push(id, ...values));
  }

  #post(wire: StoreWire, fill: (id: number) => void): Promise<StoreReply> {
    const id = this.#take();
    fill(id);
    const reply = this.#replyTo(id);
    this.port.postMessage(wire, []);
    return reply;
  }

  #take(): number {
    const id = this.#nextId;
    this.#nextId += 1;
    return id;
  }

  #replyTo(id: number): Promise<StoreReply> {
    return new Promise((resolve) => { this.#waiting.set(id, resolve); });
  }

  put(
    storeId: number, key: string, value: string | Uint8Array,
    mode: 'always' | 'absent' | 'append' = 'always',
  ): Promise<StoreReply> {
    const sent = typeof value === 'string' ? bytes(value) : value;
    return this.send({ op: 'kv_put', storeId, key: bytes(key), value: sent, mode });
  }

  delete(storeId: number, key: string): Promise<StoreReply> {
    return this.send({ op: 'kv_delete', storeId, key: bytes(key) });
  }

  close(): void {
    this.port.close();
  }
}

/** What a reply says, short enough to compare: `absent`, `present`, or the error's code. */
export function said(reply: StoreReply): string {
  if (!reply.ok) return reply.code;
  return reply.absent ? 'absent' : 'present';
}
