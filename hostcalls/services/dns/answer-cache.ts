/**
 * Answers to guests' own DNS messages, byte for byte but for the id, for as long as their records
 * live. The times to live in what is given out are what is left of them, as a resolver's would be:
 * a guest may keep the answer for that long in turn.
 */

import { LRUCache } from 'lru-cache';
import {
  DNS_NEGATIVE_TTL_MAX_MS, DNS_RAW_CACHE_BYTES_MAX, DNS_TTL_MAX_MS,
} from '../../../contract/limits.ts';
import { RCODE_NAME_ERROR, rcodeOf, timesToLive } from './message.ts';

interface Kept {
  readonly answer: Buffer;
  readonly keptAt: number;
  /** Where the answer's times to live are. */
  readonly places: readonly number[];
}

const ENTRY_OVERHEAD_BYTES = 200;

/** Everything of the question but its id: case, flags and EDNS make another answer. */
const keyOf = (query: Buffer): string => query.toString('latin1', 2);

function lifeMs(answer: Buffer, seconds: readonly number[]): number {
  const rcode = rcodeOf(answer);
  if ((rcode !== 0 && rcode !== RCODE_NAME_ERROR) || seconds.length === 0) return 0;
  const isPositive = rcode === 0 && answer.readUInt16BE(6) > 0;
  const most = isPositive ? DNS_TTL_MAX_MS : DNS_NEGATIVE_TTL_MAX_MS;
  return Math.min(Math.min(...seconds) * 1_000, most);
}

export class AnswerCache {
  readonly #now: () => number;
  readonly #kept: LRUCache<string, Kept>;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#kept = new LRUCache({
      maxSize: DNS_RAW_CACHE_BYTES_MAX,
      sizeCalculation: ({ answer }, key) => answer.length + key.length + ENTRY_OVERHEAD_BYTES,
      perf: { now },
      ttlResolution: 0,
    });
  }

  /** A copy under the query's id, or null. */
  find(query: Buffer): Buffer | null {
    const kept = this.#kept.get(keyOf(query));
    if (kept === undefined) return null;
    const answer = Buffer.from(kept.answer);
    answer.writeUInt16BE(query.readUInt16BE(0));
    const age = Math.floor((this.#now() - kept.keptAt) / 1_000);
    for (const at of kept.places) {
      answer.writeUInt32BE(Math.max(0, answer.readUInt32BE(at) - age), at);
    }
    return answer;
  }

  /** Keeps what may be kept. */
  keep(query: Buffer, answer: Buffer): void {
    const places = timesToLive(answer);
    if (places === null) return;
    // RFC 2181, 8: a time to live with the top bit set is none.
    const seconds = places.map((at) => answer.readUInt32BE(at))
      .map((value) => (value > 0x7fff_ffff ? 0 : value));
    const ttl = lifeMs(answer, seconds);
    if (ttl <= 0) return;
    // Copied: what it is a part of may be much larger.
    const copy = Buffer.from(answer);
    this.#kept.set(keyOf(query), { answer: copy, keptAt: this.#now(), places }, { ttl });
  }
}
