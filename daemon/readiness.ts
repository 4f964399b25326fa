/**
 * Whether requests can be served, for `/readyz` and the metrics. A store that can no longer be
 * written serves what it has, but whoever balances the load should go elsewhere until a restart.
 *
 *   starting ──▶ serving ──▶ draining
 *                   └── the writer dies ──▶ failed (until the process ends)
 */

export class Readiness {
  #state: 'starting' | 'serving' | 'draining' = 'starting';
  #failure: string | null = null;

  serving(): void {
    if (this.#state === 'starting') this.#state = 'serving';
  }

  draining(): void {
    this.#state = 'draining';
  }

  failed(reason: string): void {
    this.#failure ??= reason;
  }

  /** Null when requests can be served; otherwise why not. */
  notReady(): string | null {
    if (this.#state !== 'serving') return this.#state;
    return this.#failure;
  }
}
