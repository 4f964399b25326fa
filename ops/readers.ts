/** Readers of the log at one time: bounded for each tenant, for all of them, for the operator. */

import { WardianError } from '../contract/errors.ts';
import {
  FOLLOWERS_OPERATOR_MAX, FOLLOWERS_PER_TENANT_MAX, FOLLOWERS_TENANTS_MAX,
} from '../contract/limits.ts';

export class Readers {
  readonly #byTenant = new Map<string, number>();
  #ofTenants = 0;
  #operators = 0;

  /** `undefined` is the operator, who looks at all. Throws `tenant_overloaded`, `overloaded`. */
  assertRoom(tenant: string | undefined): void {
    if (tenant === undefined) {
      if (this.#operators < FOLLOWERS_OPERATOR_MAX) return;
      throw new WardianError('overloaded', `${this.#operators} readers follow the log, the limit`);
    }
    const own = this.#byTenant.get(tenant) ?? 0;
    if (own >= FOLLOWERS_PER_TENANT_MAX) {
      throw new WardianError(
        'tenant_overloaded', `${own} readers of this tenant follow the log, the limit`);
    }
    if (this.#ofTenants < FOLLOWERS_TENANTS_MAX) return;
    throw new WardianError('overloaded', `${this.#ofTenants} readers follow the log, the limit`);
  }

  /** Counts a reader until the returned function is called, once. */
  enter(tenant: string | undefined): () => void {
    this.#count(tenant, 1);
    return () => this.#count(tenant, -1);
  }

  #count(tenant: string | undefined, change: 1 | -1): void {
    if (tenant === undefined) {
      this.#operators += change;
      return;
    }
    this.#ofTenants += change;
    const own = (this.#byTenant.get(tenant) ?? 0) + change;
    if (own > 0) this.#byTenant.set(tenant, own);
    else this.#byTenant.delete(tenant);
  }
}
