/** Requests of the guest's own: one at a time, or several at once. */

import * as host from "./hostcalls";
import { Slices, clearOut, outAddress, outLength, takeBytes, takeTexts, textOf, utf8 } from "./memory";

const ERROR: i32 = -1;
const NOT_READY: i32 = -2;
const ACCEPTED: i32 = 0;

const INCOMING: i32 = 0;

/** A response to a request of the guest's own. */
export class Response {
  constructor(readonly handle: i32) {}

  get status(): i32 {
    return host.hostcall_resp_get_response_code(this.handle);
  }

  /** The names of the headers, in lower case, each once. */
  get headerNames(): string[] {
    clearOut();
    host.hostcall_resp_get_headers(outAddress(), outLength(), this.handle);
    return takeTexts();
  }

  /** All values of one header, in order. */
  headers(name: string): string[] {
    const n = utf8(name);
    clearOut();
    host.hostcall_resp_get_header(
      outAddress(), outLength(), this.handle, n.dataStart, n.byteLength,
    );
    return takeTexts();
  }

  /** The first value of one header, or null. */
  header(name: string): string | null {
    const values = this.headers(name);
    return values.length === 0 ? null : values[0];
  }

  get body(): Uint8Array {
    clearOut();
    host.hostcall_resp_get_body(outAddress(), outLength(), this.handle);
    const body = takeBytes();
    return body === null ? new Uint8Array(0) : body;
  }

  /** The body as text. */
  get text(): string {
    return textOf(this.body);
  }

  /**
   * Reads on in the body of a response of `sendHead`, which has no `body`. How many bytes, 0 at the
   * end, -1 when it broke off or was passed on.
   */
  read(buffer: Uint8Array): i32 {
    return host.hostcall_resp_body_read(this.handle, buffer.dataStart, buffer.byteLength);
  }
}

/** A request of the guest's own. Sending uses it up. */
export class Request {
  private handle: i32;

  /** The URL is absolute, http or https. A malformed one makes sending fail. */
  constructor(method: string, url: string) {
    const m = utf8(method);
    const u = utf8(url);
    this.handle = host.hostcall_req_create(
      m.dataStart, m.byteLength, u.dataStart, u.byteLength,
    );
  }

  /** False when the method or the URL was malformed, or the request is sent. */
  get valid(): bool {
    return this.handle !== ERROR;
  }

  setHeader(name: string, value: string): bool {
    return this.setHeaders(name, [value]);
  }

  /** Replaces all values of one header. */
  setHeaders(name: string, values: string[]): bool {
    if (!this.valid) return false;
    const n = utf8(name);
    const slices = new Slices(values);
    return host.hostcall_req_set_header(
      this.handle, n.dataStart, n.byteLength, slices.address, slices.count,
    ) === ACCEPTED;
  }

  setBody(body: Uint8Array): bool {
    if (!this.valid) return false;
    return host.hostcall_req_set_body(this.handle, body.dataStart, body.byteLength) === ACCEPTED;
  }

  setText(text: string): bool {
    return this.setBody(utf8(text));
  }

  /** Sends the request and waits for the whole response. Null when there is none. */
  send(): Response | null {
    if (!this.valid) return null;
    const handle = host.hostcall_req_send(this.handle);
    this.handle = ERROR;
    return handle === ERROR ? null : new Response(handle);
  }

  /** Makes what is left of the body of the incoming request the body of this one. */
  setBodyFromIncoming(): bool {
    if (!this.valid) return false;
    return host.hostcall_req_set_body_from(this.handle, INCOMING) === ACCEPTED;
  }

  /**
   * Sends the request and waits for the head of the response: `read` its body, or answer with it.
   * Null when there is none.
   */
  sendHead(): Response | null {
    if (!this.valid) return null;
    const handle = host.hostcall_req_send_head(this.handle);
    this.handle = ERROR;
    return handle === ERROR ? null : new Response(handle);
  }

  /** Starts sending the request. Null when that fails at once. */
  sendAsync(): PendingRequest | null {
    if (!this.valid) return null;
    const handle = host.hostcall_req_send_async(this.handle);
    this.handle = ERROR;
    return handle === ERROR ? null : new PendingRequest(handle);
  }
}

/** A request on its way. Waiting uses it up, and polling does once it has finished. */
export class PendingRequest {
  private finished: bool = false;

  constructor(readonly handle: i32) {}

  /** True once the request has finished, well or not. */
  get done(): bool {
    return this.finished;
  }

  /** Called by whatever learned that this request has finished. */
  finish(): void {
    this.finished = true;
  }

  /** Waits for the whole response. Null when there is none. */
  wait(): Response | null {
    assert(!this.finished, "this request has finished already");
    const handle = host.hostcall_pending_req_wait(this.handle);
    this.finished = true;
    return handle === ERROR ? null : new Response(handle);
  }

  /** The response if it is there. Null when it is not, or when there is none: then `done` is true. */
  poll(): Response | null {
    assert(!this.finished, "this request has finished already");
    const handle = host.hostcall_pending_req_poll(this.handle);
    if (handle === NOT_READY) return null;
    this.finished = true;
    return handle === ERROR ? null : new Response(handle);
  }
}

/** What `select` found: which request finished first, and its response, or null when it failed. */
export class Selected {
  constructor(readonly pending: PendingRequest, readonly response: Response | null) {}
}

/** Waits until the first of several requests has finished. The others can still be waited for. */
export function select(pendings: PendingRequest[]): Selected {
  const handles = new StaticArray<i32>(pendings.length);
  for (let i = 0; i < pendings.length; i++) {
    assert(!pendings[i].done, "one of these requests has finished already");
    handles[i] = pendings[i].handle;
  }
  clearOut();
  const handle = host.hostcall_pending_req_select(
    changetype<usize>(handles), handles.length, outAddress(),
  );
  const finished = load<i32>(outAddress());
  for (let i = 0; i < pendings.length; i++) {
    if (handles[i] === finished) {
      pendings[i].finish();
      return new Selected(pendings[i], handle === ERROR ? null : new Response(handle));
    }
  }
  throw new Error("the host selected a request that was not offered");
}
