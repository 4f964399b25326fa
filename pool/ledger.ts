/**
 * What the main thread and a worker settle between them without a message: who has a request that
 * was sent and not begun, and how many guests of each tenant wait. One shared buffer for each
 * worker.
 *
 *   a place:  open ──main sends──▶ sent ──worker begins──▶ open
 *               ▲                    └──main takes back──▶ taken
 *               └──────────worker passes it by───────────────┘
 *
 * A place is used again only once it is open, so a worker never mistakes one request for another.
 */

/** Requests on their way to one worker at most. A power of two. */
export const PLACES = 4_096;
/** Tenants whose numbers agree in their last bits share a count. A power of two. */
const TENANT_COUNTS = 4_096;

const OPEN = 0;
const SENT = 1;
const TAKEN = 2;

export const LEDGER_BYTES = (PLACES + TENANT_COUNTS) * Int32Array.BYTES_PER_ELEMENT;

export class Ledger {
  readonly #places: Int32Array;
  readonly #waiting: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    if (buffer.byteLength !== LEDGER_BYTES) {
      throw new Error(`a ledger of ${buffer.byteLength} bytes`);
    }
    this.#places = new Int32Array(buffer, 0, PLACES);
    this.#waiting = new Int32Array(buffer, PLACES * Int32Array.BYTES_PER_ELEMENT, TENANT_COUNTS);
  }

  isOpen(place: number): boolean {
    return Atomics.load(this.#places, place) === OPEN;
  }

  isSent(place: number): boolean {
    return Atomics.load(this.#places, place) === SENT;
  }

  /** Main thread: taken back, and the worker has not come to it. */
  isTaken(place: number): boolean {
    return Atomics.load(this.#places, place) === TAKEN;
  }

  /** Main thread: a request is on its way. The place must be open. */
  send(place: number): void {
    Atomics.store(this.#places, place, SENT);
  }

  /** Main thread: it never left. */
  recall(place: number): void {
    Atomics.store(this.#places, place, OPEN);
  }

  /** Main thread: false when the worker has begun it. */
  takeBack(place: number): boolean {
    return Atomics.compareExchange(this.#places, place, SENT, TAKEN) === SENT;
  }

  /** Worker: false when it was taken back; then another worker may have it. */
  begin(place: number): boolean {
    return Atomics.exchange(this.#places, place, OPEN) === SENT;
  }

  /** Worker, the only one that writes these: a guest of the tenant waits, or goes on. */
  countWaiting(tenantId: number, change: 1 | -1): void {
    this.#waiting[tenantId % TENANT_COUNTS]! += change;
  }

  waitingOf(tenantId: number): number {
    return this.#waiting[tenantId % TENANT_COUNTS]!;
  }
}
