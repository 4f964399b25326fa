/**
 * Bytes of subrequests and their answers, and windows of request bodies that flow in, that this
 * thread holds for guests that are still open, by tenant and in all. A guest's own limit bounds one
 * guest; without this, a few thousand guests that wait would together take all memory.
 */

import {
  UPSTREAM_HELD_BYTES_MAX,
  UPSTREAM_HELD_BYTES_PER_TENANT_MAX,
} from '../../contract/limits.ts';

export class HeldBytes {
  readonly #tenants = new Map<number, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  of(tenantId: number): number {
    return this.#tenants.get(tenantId) ?? 0;
  }

  /** False if that is more than the tenant or this thread may hold; nothing is added then. */
  add(tenantId: number, bytes: number): boolean {
    const mine = this.of(tenantId) + bytes;
    if (mine > UPSTREAM_HELD_BYTES_PER_TENANT_MAX) return false;
    if (this.#total + bytes > UPSTREAM_HELD_BYTES_MAX) return false;
    this.#tenants.set(tenantId, mine);
    this.#total += bytes;
    return true;
  }

  /**
   * Counts a window and answers with its bytes: `full` while that leaves half of the room to
   * others, then `least`; 0, and nothing is counted, when there is no room for that either.
   */
  addWindow(tenantId: number, full: number, least: number): number {
    const isRoomy = this.of(tenantId) + full <= UPSTREAM_HELD_BYTES_PER_TENANT_MAX / 2
      && this.#total + full <= UPSTREAM_HELD_BYTES_MAX / 2;
    const bytes = isRoomy ? full : least;
    return this.add(tenantId, bytes) ? bytes : 0;
  }

  release(tenantId: number, bytes: number): void {
    const left = this.of(tenantId) - bytes;
    if (left > 0) this.#tenants.set(tenantId, left);
    else this.#tenants.delete(tenantId);
    this.#total -= bytes;
  }
}
