/**
 * Key-value stores by name: namespaces that the app is bound to, and the deployment's own. What is
 * refused has changed nothing; `error` then says why.
 */

import * as host from "./hostcalls";
import { clearOut, outAddress, outLength, takeBytes, takeTexts, textOf, utf8 } from "./memory";

/** Why the last operation of a store was refused. */
export enum StoreError {
  None = 0,
  /** A key, prefix, time to live or revision that cannot be. */
  Invalid = -1,
  /** The store's keys or bytes are used up. */
  Full = -2,
  /** The value is over the limit. */
  TooLarge = -3,
  /** What is to be incremented is not a whole number, or the sum has more than 64 bits. */
  NotANumber = -4,
  /** The namespace was deleted. */
  Gone = -5,
  /** Nothing can be written now. Later it may work. */
  Busy = -6,
}

/** A value, and what tells this state of it from every other. */
export class Entry {
  constructor(readonly value: Uint8Array, readonly revision: u64) {}

  /** The value as text. */
  get text(): string {
    return textOf(this.value);
  }
}

/** Some of the keys of a store, in byte order. */
export class Page {
  constructor(readonly keys: string[], readonly more: bool) {}
}

/** Where the host stores a revision or a sum. */
const number = memory.data(8, 8);

/** A key-value store. Times to live are in milliseconds, 0 for ever. */
export class Store {
  /** Of the last operation. */
  error: StoreError = StoreError.None;

  constructor(private handle: i32) {}

  /** The namespace that the app is bound to under this name, or null. */
  static open(name: string): Store | null {
    const n = utf8(name);
    const handle = host.hostcall_kv_open(n.dataStart, n.byteLength);
    return handle < 0 ? null : new Store(handle);
  }

  /** True for 1, false for 0 and for a refusal, which is kept. */
  private flag(answer: i32): bool {
    this.error = answer < 0 ? <StoreError>max(answer, StoreError.Busy) : StoreError.None;
    return answer > 0;
  }

  /** The revision after a write: 0 when it was refused. */
  private revision(answer: i32): u64 {
    this.flag(answer);
    return answer < 0 ? 0 : load<u64>(number);
  }

  /** The entry, or null when the key is absent. */
  get(key: string): Entry | null {
    const k = utf8(key);
    clearOut();
    const found = this.flag(host.hostcall_kv_get(
      outAddress(), outLength(), number, this.handle, k.dataStart, k.byteLength,
    ));
    if (!found) return null;
    const value = takeBytes();
    return new Entry(value === null ? new Uint8Array(0) : value, load<u64>(number));
  }

  /** The value as text, or null when the key is absent. */
  getText(key: string): string | null {
    const entry = this.get(key);
    return entry === null ? null : entry.text;
  }

  /** Sets the value. Answers its revision, 0 when it was refused. */
  put(key: string, value: Uint8Array, ttl: u64 = 0): u64 {
    const k = utf8(key);
    return this.revision(host.hostcall_kv_put(
      number, this.handle, k.dataStart, k.byteLength, value.dataStart, value.byteLength, ttl,
    ));
  }

  /** Sets the value. Answers its revision, 0 when it was refused. */
  putText(key: string, text: string, ttl: u64 = 0): u64 {
    return this.put(key, utf8(text), ttl);
  }

  /** Sets the value if the key is absent. Answers its revision, 0 when it is not or was refused. */
  insert(key: string, value: Uint8Array, ttl: u64 = 0): u64 {
    const k = utf8(key);
    const stored = this.flag(host.hostcall_kv_insert(
      number, this.handle, k.dataStart, k.byteLength, value.dataStart, value.byteLength, ttl,
    ));
    return stored ? load<u64>(number) : 0;
  }

  /**
   * Sets the value if the entry still has this revision; with 0, if the key is absent. Answers the
   * revision after it, 0 when somebody else has changed it, or it was refused.
   */
  compareAndSet(key: string, revision: u64, value: Uint8Array, ttl: u64 = 0): u64 {
    const k = utf8(key);
    const stored = this.flag(host.hostcall_kv_compare_and_set(
      number, this.handle, k.dataStart, k.byteLength, revision, value.dataStart,
      value.byteLength, ttl,
    ));
    return stored ? load<u64>(number) : 0;
  }

  /** Removes the key if its entry still has this revision. False when it has another. */
  compareAndDelete(key: string, revision: u64): bool {
    const k = utf8(key);
    return this.flag(host.hostcall_kv_compare_and_delete(
      this.handle, k.dataStart, k.byteLength, revision,
    ));
  }

  /**
   * Appends to the value, or sets it if the key is absent. Without a time to live, the one that the
   * entry has stays. Answers its revision, 0 when it was refused.
   */
  append(key: string, value: Uint8Array, ttl: u64 = 0): u64 {
    const k = utf8(key);
    return this.revision(host.hostcall_kv_append(
      number, this.handle, k.dataStart, k.byteLength, value.dataStart, value.byteLength, ttl,
    ));
  }

  /**
   * Adds to a whole number, kept as decimal text, and answers the sum. An absent key counts as 0.
   * Answers 0 when it was refused.
   */
  increment(key: string, delta: i64 = 1): i64 {
    const k = utf8(key);
    return this.revision(host.hostcall_kv_increment(
      number, this.handle, k.dataStart, k.byteLength, delta,
    ));
  }

  /** Removes the key. True when it was there. */
  delete(key: string): bool {
    const k = utf8(key);
    return this.flag(host.hostcall_kv_delete(this.handle, k.dataStart, k.byteLength));
  }

  /**
   * Up to `limit` keys (1,000 at most, and when it is 0) that begin with a prefix, after the key
   * `after`: the last one of the page before. Null when it was refused.
   */
  list(prefix: string = "", after: string = "", limit: u32 = 0): Page | null {
    const p = utf8(prefix);
    const a = utf8(after);
    clearOut();
    const more = this.flag(host.hostcall_kv_list(
      outAddress(), outLength(), this.handle, p.dataStart, p.byteLength, a.dataStart,
      a.byteLength, limit,
    ));
    return this.error === StoreError.None ? new Page(takeTexts(), more) : null;
  }
}

/** The deployment's own store, the one of `kv`. */
export const ownStore = new Store(0);
