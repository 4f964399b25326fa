/**
 * The hostcalls for one guest and one request, written from the ABI's description and nothing of
 * the daemon's: what the SDKs and the examples promise is checked against a second reading of it.
 * Waiting calls do not wait; upstream servers are a function, and each response says in which
 * order it arrives.
 */

import type { MemoryAccess } from './memory.ts';
import { storeHostcalls } from './stores.ts';
import type { TestStore } from './stores.ts';

export type Headers = ReadonlyMap<string, readonly string[]>;

export interface GuestRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Headers;
  readonly body?: Uint8Array;
}

export interface UpstreamResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** Polls before the response is there, and its place among those that are waited for at once. */
  readonly arrives?: number;
}

/** What the guest finds outside of its instance. */
export interface World {
  readonly store: Map<string, Buffer>;
  /** Null stands for a request that fails. */
  readonly upstream?: (request: SentRequest) => UpstreamResponse | null;
  readonly seconds?: bigint;
  readonly nanoseconds?: number;
  readonly random?: () => bigint;
  readonly resolve?: (name: string, ipv6: boolean) => readonly Uint8Array[] | null;
  readonly resolveRaw?: (query: Buffer) => Uint8Array | null;
  readonly environment?: ReadonlyMap<string, string>;
  readonly secrets?: ReadonlyMap<string, Uint8Array>;
  /** By the names that the app knows them by; under '' the deployment's own. */
  readonly namespaces?: ReadonlyMap<string, TestStore>;
}

export interface SentRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Map<string, string[]>;
  body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly headers: Map<string, string[]>;
  readonly body: Buffer;
  readonly log: readonly string[];
  /** Pages of the guest's memory at the end. */
  readonly pages: number;
}

/** What `hostcall_panic_hook` was told. */
export class Panic extends Error {}

/** Functions of the guest's imports, by name. */
export type Hostcalls = Record<string, (...args: number[]) => unknown>;

/** A body that is read piece by piece. */
interface Flow {
  readonly body: Buffer;
  at: number;
  /** It was passed on. */
  over: boolean;
}

type Pending = { arrives: number; response: UpstreamResponse | null };

const HEADER_VALUE_BYTES_MAX = 65_536;
const METHOD = /^[A-Z]+$/;

/** The state of one request, and the hostcalls upon it. */
export class Host {
  status = 200;
  readonly headers = new Map<string, string[]>();
  body: Buffer = Buffer.alloc(0);
  readonly log: string[] = [];
  readonly #request: GuestRequest;
  readonly #world: World;
  readonly #memory: MemoryAccess;
  readonly #requests = new Map<number, SentRequest>();
  readonly #responses = new Map<number, UpstreamResponse>();
  readonly #pendings = new Map<number, Pending>();
  readonly #flows = new Map<number, Flow>();
  #incomingFlow: Flow = { body: Buffer.alloc(0), at: 0, over: false };
  #lastHandle = 100;

  constructor(request: GuestRequest, world: World, memory: MemoryAccess) {
    this.#request = request;
    this.#world = world;
    this.#memory = memory;
  }

  /** The guest is about to run. */
  begin(): void {
    this.#incomingFlow = { body: Buffer.from(this.#request.body ?? []), at: 0, over: false };
  }

  #add<T>(table: Map<number, T>, value: T): number {
    this.#lastHandle += 1;
    table.set(this.#lastHandle, value);
    return this.#lastHandle;
  }

  #take<T>(table: Map<number, T>, handle: number): T {
    const value = table.get(handle);
    if (value === undefined) throw new Error(`the handle ${handle} was never given out or is used`);
    table.delete(handle);
    return value;
  }

  #respond(response: UpstreamResponse | null): number {
    return response === null ? -1 : this.#add(this.#responses, response);
  }

  #fetch(handle: number): UpstreamResponse | null {
    const request = this.#take(this.#requests, handle);
    return this.#world.upstream?.(request) ?? null;
  }

  #setHeader(headers: Map<string, string[]>, name: string, list: number, count: number): number {
    const values = this.#memory.takeList(list, count).map((value) => value.toString('latin1'));
    const key = name.toLowerCase();
    if (!/^[\w-]+$/.test(key)) return 1;
    if (values.some((value) => value.length > HEADER_VALUE_BYTES_MAX)) return 1;
    headers.set(key, values);
    return 0;
  }

  hostcalls(): Hostcalls {
    return {
      ...this.#process(),
      ...this.#incoming(),
      ...this.#outgoing(),
      ...this.#sending(),
      ...this.#received(),
      ...this.#streams(),
      ...this.#store(),
      ...this.#names(),
      ...this.#given(),
      ...storeHostcalls(this.#world.namespaces ?? new Map(), this.#memory, this.log),
    };
  }

  #process(): Hostcalls {
    const memory = this.#memory;
    return {
      hostcall_init_mm: (malloc, free) => memory.setAllocator(malloc, free),
      hostcall_panic_hook: (message, length) => {
        throw new Panic(memory.text(message, length));
      },
      hostcall_debug: (message, length) => void this.log.push(memory.text(message, length)),
      hostcall_rng_next_u64: () => BigInt.asIntN(64, this.#world.random?.() ?? 0n),
      hostcall_time_now: (nanoseconds) => {
        memory.writeU32(nanoseconds, this.#world.nanoseconds ?? 0);
        return this.#world.seconds ?? 0n;
      },
    };
  }

  #incoming(): Hostcalls {
    const memory = this.#memory;
    const headers = this.#request.headers ?? new Map<string, readonly string[]>();
    const only = (request: number): void => {
      if (request !== 0) throw new Error(`request ${request} is not the incoming one`);
    };
    return {
      hostcall_req_get_method: (out, length, request) => {
        only(request);
        memory.give(out, length, Buffer.from(this.#request.method));
      },
      hostcall_req_get_path: (out, length, request) => {
        only(request);
        memory.give(out, length, Buffer.from(this.#request.path));
      },
      hostcall_req_get_headers: (out, count, request) => {
        only(request);
        memory.giveList(out, count, [...headers.keys()].map((name) => Buffer.from(name)));
      },
      hostcall_req_get_header: (out, count, request, name, length) => {
        only(request);
        const values = headers.get(memory.text(name, length).toLowerCase()) ?? [];
        memory.giveList(out, count, values.map((value) => Buffer.from(value, 'latin1')));
      },
      hostcall_req_get_body: (out, length, request) => {
        only(request);
        memory.give(out, length, Buffer.from(this.#request.body ?? []));
      },
    };
  }

  #outgoing(): Hostcalls {
    return {
      hostcall_resp_set_response_code: (response, code) => {
        if (response !== 0 || code < 100 || code > 999) return 1;
        this.status = code;
        return 0;
      },
      hostcall_resp_set_header: (response, name, length, list, count) =>
        response === 0
          ? this.#setHeader(this.headers, this.#memory.text(name, length), list, count)
          : 1,
      hostcall_resp_set_body: (response, body, length) => {
        if (response !== 0) return 1;
        this.body = this.#memory.take(body, length);
        return 0;
      },
    };
  }

  #sending(): Hostcalls {
    const memory = this.#memory;
    return {
      hostcall_req_create: (method, methodLength, url, urlLength) => {
        const verb = memory.text(method, methodLength);
        const target = memory.text(url, urlLength);
        if (!METHOD.test(verb) || !URL.canParse(target)) return -1;
        const request = { method: verb, url: target, headers: new Map(), body: Buffer.alloc(0) };
        return this.#add(this.#requests, request);
      },
      hostcall_req_set_header: (request, name, length, list, count) => {
        const sent = this.#requests.get(request);
        if (sent === undefined) return 1;
        return this.#setHeader(sent.headers, memory.text(name, length), list, count);
      },
      hostcall_req_set_body: (request, body, length) => {
        const sent = this.#requests.get(request);
        if (sent === undefined) return 1;
        sent.body = memory.take(body, length);
        return 0;
      },
      hostcall_req_send: (request) => this.#respond(this.#fetch(request)),
      hostcall_req_send_async: (request) => {
        const response = this.#fetch(request);
        return this.#add(this.#pendings, { arrives: response?.arrives ?? 0, response });
      },
      hostcall_pending_req_poll: (handle) => {
        const pending = this.#pendings.get(handle);
        if (pending !== undefined && pending.arrives > 0) {
          pending.arrives -= 1;
          return -2;
        }
        return this.#respond(this.#take(this.#pendings, handle).response);
      },
      hostcall_pending_req_wait: (handle) =>
        this.#respond(this.#take(this.#pendings, handle).response),
      hostcall_pending_req_select: (list, count, out) => {
        const handles = memory.takeI32s(list, count);
        const arrival = (handle: number): number => this.#pendings.get(handle)?.arrives ?? 0;
        const first = handles.toSorted((a, b) => arrival(a) - arrival(b))[0] ?? -1;
        const { response } = this.#take(this.#pendings, first);
        memory.writeU32(out, first);
        return this.#respond(response);
      },
    };
  }

  #streams(): Hostcalls {
    const memory = this.#memory;
    const read = (flow: Flow | undefined, buffer: number, length: number): number => {
      if (flow === undefined || flow.over) return -1;
      const piece = flow.body.subarray(flow.at, flow.at + length);
      flow.at += piece.length;
      memory.write(buffer, piece);
      return piece.length;
    };
    const passOn = (flow: Flow | undefined): Buffer | null => {
      if (flow === undefined || flow.over) return null;
      flow.over = true;
      return flow.body.subarray(flow.at);
    };
    return {
      hostcall_req_send_head: (request) => {
        const response = this.#fetch(request);
        const handle = this.#respond(response);
        if (response !== null) {
          this.#flows.set(handle, { body: Buffer.from(response.body), at: 0, over: false });
        }
        return handle;
      },
      hostcall_resp_body_read: (response, buffer, length) =>
        read(this.#flows.get(response), buffer, length),
      hostcall_req_body_read: (request, buffer, length) =>
        request === 0 ? read(this.#incomingFlow, buffer, length) : -1,
      hostcall_resp_set_body_from: (response, received) => {
        const rest = response === 0 ? passOn(this.#flows.get(received)) : null;
        if (rest !== null) this.body = rest;
        return rest === null ? 1 : 0;
      },
      hostcall_req_set_body_from: (request, incoming) => {
        const sent = this.#requests.get(request);
        const rest = sent !== undefined && incoming === 0 ? passOn(this.#incomingFlow) : null;
        if (sent !== undefined && rest !== null) sent.body = rest;
        return rest === null ? 1 : 0;
      },
    };
  }

  #received(): Hostcalls {
    const memory = this.#memory;
    const find = (handle: number): UpstreamResponse => {
      const response = this.#responses.get(handle);
      if (response === undefined) throw new Error(`there is no response ${handle}`);
      return response;
    };
    return {
      hostcall_resp_get_response_code: (response) => find(response).status,
      hostcall_resp_get_headers: (out, count, response) => {
        const names = [...find(response).headers.keys()];
        memory.giveList(out, count, names.map((name) => Buffer.from(name)));
      },
      hostcall_resp_get_header: (out, count, response, name, length) => {
        const { headers } = find(response);
        const values = headers.get(memory.text(name, length).toLowerCase()) ?? [];
        memory.giveList(out, count, values.map((value) => Buffer.from(value, 'latin1')));
      },
      hostcall_resp_get_body: (out, length, response) =>
        memory.give(out, length, Buffer.from(find(response).body)),
    };
  }

  #store(): Hostcalls {
    const memory = this.#memory;
    const { store } = this.#world;
    const write =
      (change: (before: Buffer | undefined, value: Buffer) => Buffer) =>
      (key: number, keyLength: number, value: number, valueLength: number): number => {
        const name = memory.text(key, keyLength);
        const before = store.get(name);
        store.set(name, change(before, memory.take(value, valueLength)));
        return before === undefined ? 1 : 0;
      };
    return {
      hostcall_kvstore_insert: write((_, value) => value),
      hostcall_kvstore_upsert: write((before, value) => before ?? value),
      hostcall_kvstore_append: write((before, value) =>
        before === undefined ? value : Buffer.concat([before, value]),
      ),
      hostcall_kvstore_get: (out, length, key, keyLength) => {
        const value = store.get(memory.text(key, keyLength));
        memory.give(out, length, value ?? Buffer.alloc(0), value !== undefined);
        return value === undefined ? 0 : 1;
      },
      hostcall_kvstore_remove: (key, length) =>
        store.delete(memory.text(key, length)) ? 1 : 0,
    };
  }

  #given(): Hostcalls {
    const memory = this.#memory;
    const { environment, secrets } = this.#world;
    const from = (find: (name: string) => Uint8Array | string | undefined) =>
      (out: number, length: number, name: number, nameLength: number): number => {
        const value = find(memory.text(name, nameLength));
        memory.give(out, length, Buffer.from(value ?? ''), value !== undefined);
        return value === undefined ? 0 : 1;
      };
    return {
      hostcall_env_get: from((name) => environment?.get(name)),
      hostcall_secret_get: from((name) => secrets?.get(name)),
    };
  }

  #names(): Hostcalls {
    const memory = this.#memory;
    return {
      hostcall_dns_query_ip: (out, count, name, length, ipv6) => {
        const found = this.#world.resolve?.(memory.text(name, length), ipv6 === 1) ?? [];
        memory.giveList(out, count, found.map((address) => Buffer.from(address)));
        return found.length > 0 ? 1 : 0;
      },
      hostcall_dns_query_raw: (out, length, query, queryLength) => {
        const answer = this.#world.resolveRaw?.(memory.take(query, queryLength)) ?? null;
        memory.give(out, length, Buffer.from(answer ?? []));
        return answer === null ? 0 : 1;
      },
    };
  }
}
