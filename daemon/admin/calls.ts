/** Calls under way, by tenant: none can take all of the admin API's connections. */

import { WardianError } from '../../contract/errors.ts';
import { ADMIN_CALLS_PER_TENANT_MAX } from '../../contract/limits.ts';
import type { Caller } from './caller.ts';

export class Calls {
  readonly #underWay = new Map<number, number>();

  /** Counts a call until the returned function is called. Throws `tenant_overloaded`. */
  enter({ operator, tenant }: Caller): () => void {
    if (operator || tenant === null) return () => {};
    const { id } = tenant;
    const calls = this.#underWay.get(id) ?? 0;
    if (calls >= ADMIN_CALLS_PER_TENANT_MAX) {
      throw new WardianError(
        'tenant_overloaded', `this tenant has ${calls} calls under way, the limit`);
    }
    this.#underWay.set(id, calls + 1);
    return () => {
      const left = (this.#underWay.get(id) ?? 1) - 1;
      if (left > 0) this.#underWay.set(id, left);
      else this.#underWay.delete(id);
    };
  }
}
