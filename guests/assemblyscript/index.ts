/**
 * Write Wardian guests in AssemblyScript.
 *
 * A guest exports `run`. The host calls it once per request, in a fresh instance:
 *
 *     import { request, response } from "http_guest";
 *
 *     export function run(): void {
 *       response.setText("You asked for " + request.path + "\n");
 *     }
 *
 * Nothing in memory outlives a request; what should, goes to the key-value store `kv`. A failed
 * assertion or a thrown error ends the instance, and its message is the response.
 *
 * Compile with the options in this package's asconfig.json: they send AssemblyScript's own `abort`,
 * `trace` and `seed` to the functions of those names below.
 */

import * as host from "./hostcalls";
import { Response } from "./client";
import {
  Slices, clearOut, outAddress, outLength, takeBytes, takeList, takeText, takeTexts, textOf, utf8,
} from "./memory";

export { PendingRequest, Request, Response, Selected, select } from "./client";
export { Entry, Page, Store, StoreError, ownStore } from "./store";

const INCOMING: i32 = 0;
const OUTGOING: i32 = 0;
const ACCEPTED: i32 = 0;

/** The request that this instance answers. */
export class IncomingRequest {
  get method(): string {
    clearOut();
    host.hostcall_req_get_method(outAddress(), outLength(), INCOMING);
    return takeText();
  }

  /** Path and query: `/a?b=1`. */
  get path(): string {
    clearOut();
    host.hostcall_req_get_path(outAddress(), outLength(), INCOMING);
    return takeText();
  }

  /** The names of the headers, in lower case, each once. */
  get headerNames(): string[] {
    clearOut();
    host.hostcall_req_get_headers(outAddress(), outLength(), INCOMING);
    return takeTexts();
  }

  /** All values of one header, in order. Upper and lower case in the name are the same. */
  headers(name: string): string[] {
    const n = utf8(name);
    clearOut();
    host.hostcall_req_get_header(outAddress(), outLength(), INCOMING, n.dataStart, n.byteLength);
    return takeTexts();
  }

  /** The first value of one header, or null. */
  header(name: string): string | null {
    const values = this.headers(name);
    return values.length === 0 ? null : values[0];
  }

  get body(): Uint8Array {
    clearOut();
    host.hostcall_req_get_body(outAddress(), outLength(), INCOMING);
    const body = takeBytes();
    return body === null ? new Uint8Array(0) : body;
  }

  /** The body as text. */
  get text(): string {
    return textOf(this.body);
  }

  /**
   * Reads on in the body. How many bytes, 0 at the end, -1 when it broke off or was passed on. A
   * guest that has this gets a large body in no other way: `body` and `text` then fail.
   */
  read(buffer: Uint8Array): i32 {
    return host.hostcall_req_body_read(INCOMING, buffer.dataStart, buffer.byteLength);
  }
}

/** The response that this instance gives. The setters say whether the host accepted the value. */
export class OutgoingResponse {
  /** 200 unless set; 100 to 999. */
  setStatus(status: i32): bool {
    return host.hostcall_resp_set_response_code(OUTGOING, status) === ACCEPTED;
  }

  setHeader(name: string, value: string): bool {
    return this.setHeaders(name, [value]);
  }

  /** Replaces all values of one header. Several values become several header lines. */
  setHeaders(name: string, values: string[]): bool {
    const n = utf8(name);
    const slices = new Slices(values);
    return host.hostcall_resp_set_header(
      OUTGOING, n.dataStart, n.byteLength, slices.address, slices.count,
    ) === ACCEPTED;
  }

  /** Replaces the body. */
  setBody(body: Uint8Array): bool {
    return host.hostcall_resp_set_body(OUTGOING, body.dataStart, body.byteLength) === ACCEPTED;
  }

  /** Replaces the body. */
  setText(text: string): bool {
    return this.setBody(utf8(text));
  }

  /**
   * Replaces the body by what is left of that of a response of `sendHead`. It is passed on once the
   * guest has ended, as fast as the client takes it.
   */
  setBodyFrom(received: Response): bool {
    return host.hostcall_resp_set_body_from(OUTGOING, received.handle) === ACCEPTED;
  }
}

export const request = new IncomingRequest();
export const response = new OutgoingResponse();

/** The key-value store of this deployment, which all its requests share. */
export class KeyValueStore {
  /** The value, or null when the key is absent. */
  get(key: string): Uint8Array | null {
    const k = utf8(key);
    clearOut();
    const found = host.hostcall_kvstore_get(
      outAddress(), outLength(), k.dataStart, k.byteLength,
    ) !== 0;
    if (!found) return null;
    const value = takeBytes();
    return value === null ? new Uint8Array(0) : value;
  }

  /** The value as text, or null when the key is absent. */
  getText(key: string): string | null {
    const value = this.get(key);
    return value === null ? null : textOf(value);
  }

  /** Sets the value. True when the key was absent. */
  insert(key: string, value: Uint8Array): bool {
    const k = utf8(key);
    return host.hostcall_kvstore_insert(
      k.dataStart, k.byteLength, value.dataStart, value.byteLength,
    ) !== 0;
  }

  /** Sets the value. True when the key was absent. */
  insertText(key: string, text: string): bool {
    return this.insert(key, utf8(text));
  }

  /** Sets the value if the key is absent. True when it was. */
  upsert(key: string, value: Uint8Array): bool {
    const k = utf8(key);
    return host.hostcall_kvstore_upsert(
      k.dataStart, k.byteLength, value.dataStart, value.byteLength,
    ) !== 0;
  }

  /** Appends to the value, or sets it if the key is absent. True when it was. */
  append(key: string, value: Uint8Array): bool {
    const k = utf8(key);
    return host.hostcall_kvstore_append(
      k.dataStart, k.byteLength, value.dataStart, value.byteLength,
    ) !== 0;
  }

  /** Removes the key. True when it was there. */
  remove(key: string): bool {
    const k = utf8(key);
    return host.hostcall_kvstore_remove(k.dataStart, k.byteLength) !== 0;
  }
}

export const kv = new KeyValueStore();

/** An environment variable of the app, or null when it is not set. */
export function env(name: string): string | null {
  const n = utf8(name);
  clearOut();
  const found = host.hostcall_env_get(outAddress(), outLength(), n.dataStart, n.byteLength) !== 0;
  return found ? takeText() : null;
}

/** The value of a secret of the app that is in effect now, or null when there is none. */
export function secret(name: string): Uint8Array | null {
  const n = utf8(name);
  clearOut();
  const found =
    host.hostcall_secret_get(outAddress(), outLength(), n.dataStart, n.byteLength) !== 0;
  return found ? takeBytes() : null;
}

/** The value of a secret as text, or null when there is none. */
export function secretText(name: string): string | null {
  const value = secret(name);
  return value === null ? null : textOf(value);
}

/** A moment: seconds since the beginning of 1970, UTC, and the nanoseconds beyond them. */
export class Time {
  constructor(readonly seconds: u64, readonly nanoseconds: u32) {}

  static now(): Time {
    const seconds = host.hostcall_time_now(outAddress());
    return new Time(seconds, load<u32>(outAddress()));
  }
}

/** 64 random bits, fit for cryptography. */
export function random(): u64 {
  return host.hostcall_rng_next_u64();
}

/** The addresses of a host, each 4 bytes long, or 16 if `ipv6`. Null when there are none. */
export function resolve(name: string, ipv6: bool = false): Uint8Array[] | null {
  const n = utf8(name);
  clearOut();
  host.hostcall_dns_query_ip(outAddress(), outLength(), n.dataStart, n.byteLength, ipv6 ? 1 : 0);
  return takeList();
}

/** Sends a query in DNS wire format. The answer, in the same, or null. */
export function resolveRaw(query: Uint8Array): Uint8Array | null {
  clearOut();
  host.hostcall_dns_query_raw(outAddress(), outLength(), query.dataStart, query.byteLength);
  return takeBytes();
}

/** Writes one line to the deployment's log. */
export function debug(message: string): void {
  const text = utf8(message);
  host.hostcall_debug(text.dataStart, text.byteLength);
}

/** Ends the instance. The message is the response. */
export function panic(message: string): void {
  const text = utf8(message);
  host.hostcall_panic_hook(text.dataStart, text.byteLength);
  unreachable();
}

/** What AssemblyScript calls when an assertion fails or an error is thrown. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message === null ? "no message" : message;
  const where = file === null ? "an unknown file" : file;
  panic("aborted: " + what + ", " + where + ":" + line.toString() + ":" + column.toString());
}

/** What AssemblyScript's `trace` calls: one line of the deployment's log. */
export function trace(
  message: string, n: i32 = 0, a: f64 = 0, b: f64 = 0, c: f64 = 0, d: f64 = 0, e: f64 = 0,
): void {
  let line = message;
  if (n > 0) line += " " + a.toString();
  if (n > 1) line += " " + b.toString();
  if (n > 2) line += " " + c.toString();
  if (n > 3) line += " " + d.toString();
  if (n > 4) line += " " + e.toString();
  debug(line);
}

/** What `Math.random` starts from. */
export function seed(): f64 {
  return reinterpret<f64>(random());
}
