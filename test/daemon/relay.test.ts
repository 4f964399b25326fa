/**
 * What relayed answers and flowing uploads hold on the main thread: windows that shrink as there
 * are more of them, and pieces that count among all bodies that are held.
 */

import t from 'tap';

import {
  FAIR_SHARE_FACTOR, GUESTS_IN_FLIGHT_MAX, RELAYED_BYTES_MAX, STREAMS_OPEN_MAX, STREAM_PIECE_BYTES,
  STREAM_WINDOW_BYTES,
} from '../../contract/limits.ts';
import { BodyStream } from '../../daemon/listen/body-stream.ts';
import { GatheredBytes } from '../../daemon/listen/gathered.ts';
import { OpenRelays, RelayFlow } from '../../daemon/relay.ts';
import type { ReplyRelay } from '../../pool/pool.ts';

t.test('as many relays as may be open stay within their bytes', async (t) => {
  const relays = new OpenRelays();
  const windows: number[] = [];
  // Tenants one after another, each for as long as it gets a place.
  const tenants: number[] = [];
  let tenantId = 0;
  while (relays.count < STREAMS_OPEN_MAX) {
    const refusal = relays.open(tenantId);
    if (refusal === null) {
      windows.push(relays.window());
      tenants.push(tenantId);
    } else {
      t.equal(refusal, 'tenant_overloaded');
      tenantId += 1;
    }
  }
  const share = FAIR_SHARE_FACTOR / (FAIR_SHARE_FACTOR + 1);
  t.equal(tenants.indexOf(1), STREAMS_OPEN_MAX * share, 'one alone leaves some to others');
  t.ok(tenants.indexOf(1) >= GUESTS_IN_FLIGHT_MAX, 'all guests of one may end at once');
  t.equal(relays.open(99), 'overloaded');
  const full = windows.filter((bytes) => bytes === STREAM_WINDOW_BYTES).length;
  t.equal(full, RELAYED_BYTES_MAX / 2 / STREAM_WINDOW_BYTES);
  t.ok(windows.slice(full).every((bytes) => bytes === STREAM_PIECE_BYTES));
  t.equal(relays.bytes, windows.reduce((sum, bytes) => sum + bytes, 0));
  t.ok(relays.bytes <= RELAYED_BYTES_MAX);
  for (const [n, bytes] of windows.entries()) {
    relays.close(tenants[n] ?? -1, bytes);
  }
  t.equal(relays.bytes, 0);
  t.equal(relays.count, 0);
  t.equal(relays.window(), STREAM_WINDOW_BYTES, 'and the next one has all of it');
});

t.test('a flow never has more on its way than its window', async (t) => {
  for (const window of [STREAM_WINDOW_BYTES, STREAM_PIECE_BYTES]) {
    const granted: number[] = [];
    const relay: ReplyRelay = {
      start() {}, grant: (bytes) => granted.push(bytes), cancel() {},
    };
    const out = {
      onDrain: null as (() => void) | null, onClose: null,
      takes: false, write: () => out.takes, end() {}, destroy() {},
    };
    const flow = new RelayFlow(relay, out, null, window, () => {});
    t.same(granted, [window]);
    flow.piece(new Uint8Array(window / 4));
    out.onDrain?.();
    t.same(granted, [window], 'less than a portion is not worth a message');
    flow.piece(new Uint8Array(window / 4));
    flow.piece(new Uint8Array(window / 2));
    t.same(granted, [window], 'the client has not taken it');
    out.onDrain?.();
    t.same(granted, [window, window]);
    out.takes = true;
    flow.piece(new Uint8Array(window / 2));
    t.same(granted, [window, window, window / 2]);
  }
});

t.test('what is kept of a body that flows counts, until it is handed on or dropped', async (t) => {
  const gathered = new GatheredBytes(100_000);
  let isPaused = false;
  const valve = { pause() { isPaused = true; }, resume() { isPaused = false; } };
  const stream = new BodyStream(1_000_000, valve, gathered);
  const pieces: number[] = [];
  stream.push(Buffer.alloc(40_000), false);
  t.equal(gathered.held, 40_000, 'nobody has asked for it');
  stream.onPiece = (bytes) => { pieces.push(bytes?.length ?? -1); };
  stream.grant(50_000);
  t.same(pieces, [40_000]);
  t.equal(gathered.held, 0);
  stream.push(Buffer.alloc(20_000), false);
  t.equal(gathered.held, 0, 'it was handed on as it came');
  stream.push(Buffer.alloc(30_000), false);
  t.equal(gathered.held, 30_000);
  t.ok(gathered.add(60_000), 'a body that is gathered');
  t.equal(isPaused, false);
  stream.push(Buffer.alloc(20_000), false);
  t.equal(isPaused, true, 'there is no room for more');
  t.equal(gathered.held, 110_000, 'what has come is kept');
  t.notOk(gathered.add(1), 'a body that is gathered is refused meanwhile');
  stream.grant(100_000);
  t.same(pieces, [40_000, 20_000, 50_000]);
  t.equal(isPaused, false, 'and taken like any other');
  t.equal(gathered.held, 60_000);
  stream.push(Buffer.alloc(1_000), false);
  t.equal(gathered.held, 61_000);
  stream.abandon();
  t.equal(gathered.held, 60_000);
  stream.push(Buffer.alloc(90_000), false);
  t.equal(gathered.held, 60_000, 'it is read and dropped');
  stream.abandon();
  t.equal(gathered.held, 60_000);
});
