/**
 * An answer whose body flows from a worker to the client: as fast as the client takes it, and with
 * no more of it here than the window. And how many such there are.
 *
 *   flowing ──whole──▶ over
 *      ├──broke off, too long──▶ cut: the client must not take what it has for whole
 *      └──client gone──▶ cancelled: the upstream is told
 */

import type { ErrorCode } from '../contract/errors.ts';
import {
  FAIR_SHARE_FACTOR, RELAYED_BYTES_MAX, STREAMS_OPEN_MAX, STREAM_PIECE_BYTES, STREAM_WINDOW_BYTES,
} from '../contract/limits.ts';
import type { RelaySink, ReplyRelay } from '../pool/pool.ts';
import type { ResponseStream } from './listen/listener.ts';

/** Told once: bytes that the client was given, and what went wrong, or null. */
export type OnRelayed = (bytes: number, code: ErrorCode | null) => void;

export class RelayFlow implements RelaySink {
  readonly #relay: ReplyRelay;
  readonly #out: ResponseStream;
  /** Bytes that were promised and are to come; null when none were. */
  readonly #promised: number | null;
  /** Credit is given in portions of half a window: a message for each piece would cost more. */
  readonly #portion: number;
  readonly #onOver: OnRelayed;
  #sent = 0;
  /** Given to the client's connection, which has not taken it: credit that is held back. */
  #owed = 0;
  #isOver = false;

  /** `windowBytes`: what may be on its way from the worker to the client's connection. */
  constructor(
    relay: ReplyRelay, out: ResponseStream, promised: number | null, windowBytes: number,
    onOver: OnRelayed,
  ) {
    this.#relay = relay;
    this.#out = out;
    this.#promised = promised;
    this.#portion = windowBytes / 2;
    this.#onOver = onOver;
    out.onDrain = () => this.#drained();
    out.onClose = () => {
      relay.cancel();
      this.#over('client_closed');
    };
    relay.start(this);
    relay.grant(windowBytes);
  }

  piece(bytes: Uint8Array): void {
    if (this.#isOver) return;
    if (this.#promised !== null && this.#sent + bytes.length > this.#promised) {
      this.cut('stream_failed');
      return;
    }
    this.#sent += bytes.length;
    this.#owed += bytes.length;
    if (this.#out.write(bytes, true)) this.#drained();
  }

  #drained(): void {
    const bytes = this.#owed;
    if (bytes < this.#portion || this.#isOver) return;
    this.#owed = 0;
    this.#relay.grant(bytes);
  }

  end(broken: string, isWorkerLost: boolean): void {
    if (this.#isOver) return;
    const isShort = this.#promised !== null && this.#sent < this.#promised;
    if (broken === '' && !isShort) {
      this.#out.end();
      this.#over(null);
    } else {
      this.cut(isWorkerLost ? 'worker_lost' : 'stream_failed');
    }
  }

  /** Ends it so that the client notices. */
  cut(code: ErrorCode): void {
    if (this.#isOver) return;
    this.#relay.cancel();
    this.#out.onClose = null;
    this.#out.destroy();
    this.#over(code);
  }

  #over(code: ErrorCode | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#out.onDrain = null;
    this.#out.onClose = null;
    this.#onOver(this.#sent, code);
  }
}

/**
 * Counts relayed answers and their windows: their guests have ended, so admission knows nothing of
 * them. Nobody is refused for want of memory: the more there are, the smaller are new windows.
 */
export class OpenRelays {
  readonly #tenants = new Map<number, number>();
  count = 0;
  /** Of windows. */
  bytes = 0;

  /** Counts one more; or the code of the refusal. */
  open(tenantId: number): ErrorCode | null {
    const mine = this.#tenants.get(tenantId) ?? 0;
    const left = STREAMS_OPEN_MAX - this.count;
    if (left <= 0) return 'overloaded';
    // As with guests in flight: a tenant leaves some to others.
    if (mine >= FAIR_SHARE_FACTOR * left) return 'tenant_overloaded';
    this.#tenants.set(tenantId, mine + 1);
    this.count += 1;
    return null;
  }

  /** Bytes of the window of one that was opened; `close` gives them back. */
  window(): number {
    const isRoomy = this.bytes + STREAM_WINDOW_BYTES <= RELAYED_BYTES_MAX / 2;
    const bytes = isRoomy ? STREAM_WINDOW_BYTES : STREAM_PIECE_BYTES;
    this.bytes += bytes;
    return bytes;
  }

  /** `windowBytes`: 0 for one that never had a window. */
  close(tenantId: number, windowBytes: number): void {
    this.bytes -= windowBytes;
    const left = (this.#tenants.get(tenantId) ?? 0) - 1;
    if (left > 0) this.#tenants.set(tenantId, left);
    else this.#tenants.delete(tenantId);
    this.count -= 1;
  }
}
