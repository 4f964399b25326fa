/**
 * What a guest has used and what it owes. Copies are charged to it before they are made: as
 * hostcall bytes, and as fuel.
 *
 * The fuel global is an i64, so each read or write of it makes a BigInt (50 ns together). Small
 * charges are therefore kept as a debt and taken from the global once DEBT_MAX units are owed, and
 * when the request's usage is read. Who owes DEBT_MAX or more pays before the copy. So a guest runs
 * on at most DEBT_MAX unpaid units, the sum is exact, and whether a request ends with `out_of_fuel`
 * depends on nothing but what the guest did.
 */

import { WASM_PAGE_BYTES, type RequestLimits } from '../contract/limits.ts';
import { WardianError } from '../contract/errors.ts';
import type { Usage } from '../contract/messages.ts';
import type { GuestLog } from './services/index.ts';

/** Units of fuel that a guest may owe at most. */
export const DEBT_MAX = 4_096;

function emptyUsage(): Usage {
  return {
    fuel: 0, memoryBytes: 0, hostcalls: 0, hostcallBytes: 0, logBytes: 0, logOverBytes: 0,
    subrequests: 0, dnsQueries: 0, kvOperations: 0, subrequestMs: 0, subrequestFailures: 0,
    kvMs: 0, dnsMs: 0,
    recycled: false, instantiateUs: 0, runUs: 0, waitedUs: 0,
  };
}

export class Meter {
  readonly usage: Usage = emptyUsage();
  readonly limits: RequestLimits;
  /** Units per byte of the hostcall under way. */
  fuelPerByte = 0;
  #debt = 0;
  #fuel: WebAssembly.Global | null = null;
  #pages: WebAssembly.Global | null = null;
  #tableBytes = 0;

  constructor(limits: RequestLimits) {
    this.limits = limits;
  }

  attach(
    fuel: WebAssembly.Global, pages: WebAssembly.Global | null, tableBytes: number,
  ): void {
    this.#fuel = fuel;
    this.#pages = pages;
    this.#tableBytes = tableBytes;
  }

  /** Counts one hostcall. Throws WardianError `hostcalls_exhausted`. */
  countHostcall(): void {
    if (++this.usage.hostcalls > this.limits.hostcalls) this.#refuseHostcall();
  }

  #refuseHostcall(): never {
    this.usage.hostcalls = this.limits.hostcalls;
    throw new WardianError('hostcalls_exhausted',
      `used ${this.limits.hostcalls} of ${this.limits.hostcalls} hostcalls per request and wanted `
      + 'one more');
  }

  /**
   * Pays for `bytes` that are about to be copied. Throws `hostcall_bytes_exhausted` or
   * `out_of_fuel`.
   */
  charge(bytes: number): void {
    const copied = this.usage.hostcallBytes + bytes;
    if (copied > this.limits.hostcallBytes) {
      throw new WardianError('hostcall_bytes_exhausted',
        `${bytes} bytes after ${this.usage.hostcallBytes} are over the limit of `
        + `${this.limits.hostcallBytes} bytes that hostcalls may copy per request`);
    }
    this.#debt += Math.ceil(bytes * this.fuelPerByte);
    if (this.#debt >= DEBT_MAX) this.settle();
    this.usage.hostcallBytes = copied;
  }

  /**
   * Takes the debt from the fuel global. Throws WardianError `out_of_fuel` if that is more than
   * there is.
   */
  settle(): void {
    if (this.#debt === 0 || this.#fuel === null) return;
    const before = Number(this.#fuel.value as bigint);
    const owed = this.#debt;
    const left = before - owed;
    this.#debt = 0;
    this.#fuel.value = BigInt(Math.max(left, -1));
    if (left < 0) {
      throw new WardianError('out_of_fuel',
        `used ${this.limits.fuel - Math.max(before, 0)} of ${this.limits.fuel} units of fuel per `
        + `request, and what hostcalls copied costs ${owed} more`);
    }
  }

  /**
   * Brings fuel and memory of `usage` up to date. Debt that cannot be paid counts as all fuel used.
   */
  refresh(): void {
    if (this.#fuel === null) return;
    const left = Number(this.#fuel.value as bigint) - this.#debt;
    this.usage.fuel = Math.min(this.limits.fuel - left, this.limits.fuel);
    const pages = this.#pages === null ? 0 : this.#pages.value as number;
    this.usage.memoryBytes = pages * WASM_PAGE_BYTES + this.#tableBytes;
  }

  countLog(log: GuestLog | null): void {
    if (log === null) return;
    this.usage.logBytes = log.bytes;
    this.usage.logOverBytes = log.overBytes;
  }

  /** From now on no code of the guest that is metered runs. */
  exhaust(): void {
    this.#debt = 0;
    if (this.#fuel !== null) this.#fuel.value = -1n;
  }
}
