/**
 * A queue with one lane per owner, served in turns: however many commands one tenant has waiting,
 * another's next one is at most a round away. Within a lane, first in, first out.
 */

interface Lane<T> {
  items: T[];
  /** Index of the next item; the ones before it are taken. */
  head: number;
  bytes: number;
}

export class FairQueue<T> {
  readonly #lanes = new Map<number, Lane<T>>();
  readonly #sizeOf: (item: T) => number;
  #count = 0;
  #bytes = 0;

  constructor(sizeOf: (item: T) => number) {
    this.#sizeOf = sizeOf;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  bytesOf(owner: number): number {
    return this.#lanes.get(owner)?.bytes ?? 0;
  }

  push(owner: number, item: T): void {
    const size = this.#sizeOf(item);
    let lane = this.#lanes.get(owner);
    if (lane === undefined) {
      lane = { items: [], head: 0, bytes: 0 };
      this.#lanes.set(owner, lane);
    }
    lane.items.push(item);
    lane.bytes += size;
    this.#count += 1;
    this.#bytes += size;
  }

  /** The next item of the lane whose turn it is; the lane then goes to the back. */
  take(): T | undefined {
    for (const [owner, lane] of this.#lanes) {
      const item = lane.items[lane.head] as T;
      const size = this.#sizeOf(item);
      lane.head += 1;
      lane.bytes -= size;
      this.#count -= 1;
      this.#bytes -= size;
      this.#lanes.delete(owner);
      if (lane.head < lane.items.length) {
        if (lane.head >= 1_024) {
          lane.items = lane.items.slice(lane.head);
          lane.head = 0;
        }
        this.#lanes.set(owner, lane);
      }
      return item;
    }
    return undefined;
  }
}
