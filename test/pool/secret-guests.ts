/**
 * Guests of `secrets.test.ts`. A planter leaves a secret wherever it can write; a seeker of the
 * same declared sizes, so that both are given the same memories, looks wherever it can read. Both
 * get a number as their request's body: pages to grow by, and pages that the memory really has.
 */

export const INITIAL_PAGES = 2;
export const MAXIMUM_PAGES = 128;

const HEAD = `
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
  (memory ${INITIAL_PAGES} ${MAXIMUM_PAGES})
  (global $secret (mut i64) (i64.const 0))
  (global $count (mut i32) (i32.const 0))
  (table $table 8 16 funcref)
  (elem declare func $planted)
  (func $planted)
  (func $deep (call $deep) (call $deep))
  (func $spin (loop $again (br $again)))
  (func $answer (param i32) (drop (call $status (i32.const 0) (local.get 0))))
  (func $number (result i32)
    (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 4))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load (i32.const 16)))
  (func $sleep (param $nanos i64)
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 48))
    (i64.store (i32.const 24) (local.get $nanos)) (i32.store (i32.const 16) (i32.const 1))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))`;

const PLANT_GLOBALS = `
  (global.set $secret (i64.const 0x5345435245545345))
  (global.set $count (i32.const 77))`;
const PLANT_TABLE = `
  (drop (table.grow $table (ref.func $planted) (i32.const 4)))
  (table.fill $table (i32.const 0) (ref.func $planted) (i32.const 12))`;

/** Writes sixteen bytes over and over into all that it can address, then does `end`. */
export function planter(end: string): string {
  return `(module ${HEAD}
    (func (export "run") (local $at i32) (local $end i32)
      ${PLANT_GLOBALS} ${PLANT_TABLE}
      (drop (memory.grow (call $number)))
      (local.set $end (i32.mul (memory.size) (i32.const 65536)))
      (loop $next
        (v128.store (local.get $at)
          (v128.const i64x2 0x5345435245545345 0x4352455453454352))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      ${end}))`;
}

export const FOUND = {
  nothing: 200, size: 501, memory: 502, gap: 503, global: 504, count: 505, table: 506, entry: 507,
} as const;

/**
 * Answers with a status of `FOUND`. It reads on behind its memory's size up to the pages that the
 * memory has; it ends with a trap at the memory's end when told of more. `before` is for controls.
 */
export function seeker(before = ''): string {
  return `(module ${HEAD}
    (func $dirty (param $at i32) (param $end i32) (result i32) (local $seen v128)
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const 0))))
      (loop $next
        (local.set $seen (v128.or (local.get $seen) (v128.or
          (v128.or (v128.load (local.get $at)) (v128.load offset=16 (local.get $at)))
          (v128.or (v128.load offset=32 (local.get $at)) (v128.load offset=48 (local.get $at))))))
        (if (v128.any_true (local.get $seen)) (then (return (i32.const 1))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (i32.const 0))
    (func (export "run") (local $entry i32) (local $end i32)
      ${before}
      (local.set $end (i32.const ${INITIAL_PAGES * 65_536}))
      (if (i32.ne (memory.size) (i32.const ${INITIAL_PAGES}))
        (then (call $answer (i32.const ${FOUND.size})) (return)))
      (if (call $dirty (i32.const 0) (local.get $end))
        (then (call $answer (i32.const ${FOUND.memory})) (return)))
      (if (i64.ne (global.get $secret) (i64.const 0))
        (then (call $answer (i32.const ${FOUND.global})) (return)))
      (if (i32.ne (global.get $count) (i32.const 0))
        (then (call $answer (i32.const ${FOUND.count})) (return)))
      (if (i32.ne (table.size $table) (i32.const 8))
        (then (call $answer (i32.const ${FOUND.table})) (return)))
      (loop $entries
        (if (i32.eqz (ref.is_null (table.get $table (local.get $entry))))
          (then (call $answer (i32.const ${FOUND.entry})) (return)))
        (local.set $entry (i32.add (local.get $entry) (i32.const 1)))
        (br_if $entries (i32.lt_u (local.get $entry) (i32.const 8))))
      (if (call $dirty (local.get $end) (i32.mul (call $number) (i32.const 65536)))
        (then (call $answer (i32.const ${FOUND.gap})) (return)))
      (call $answer (i32.const ${FOUND.nothing}))))`;
}

/** What a seeker would find if its own globals and table were another's. */
export const CONTROLS: readonly (readonly [string, number])[] = [
  ['(global.set $secret (i64.const 1))', FOUND.global],
  ['(global.set $count (i32.const 1))', FOUND.count],
  ['(drop (table.grow $table (ref.null func) (i32.const 1)))', FOUND.table],
  ['(table.set $table (i32.const 7) (ref.func $planted))', FOUND.entry],
  ['(drop (memory.grow (i32.const 1)))', FOUND.size],
];

export interface Ending {
  readonly end: string;
  /** The failure's code; '' when it ends well. */
  readonly code: string;
  /** How often it is drawn. */
  readonly weight: number;
  /** It waits, and the host ends it with `code`. */
  readonly killed?: true;
  readonly fuel?: number;
}

/** Every way in which a guest can end. */
export const ENDINGS: readonly Ending[] = [
  { end: '', code: '', weight: 8 },
  { end: '(call $sleep (i64.const 200000))', code: '', weight: 2 },
  { end: '(call $exit (i32.const 0))', code: '', weight: 2 },
  { end: '(call $exit (i32.const 1))', code: 'guest_exit', weight: 1 },
  { end: 'unreachable', code: 'guest_trap', weight: 1 },
  { end: '(drop (i32.load (i32.const -4)))', code: 'guest_trap', weight: 1 },
  { end: '(call $deep)', code: 'stack_overflow', weight: 0.1 },
  { end: '(call $spin)', code: 'out_of_fuel', weight: 0.15, fuel: 6_000_000 },
  { end: '(call $sleep (i64.const 60000000000))', code: 'client_closed', weight: 1, killed: true },
  { end: '(call $sleep (i64.const 60000000000))', code: 'deadline', weight: 1, killed: true },
];

/** Pages to grow by: none, few, up to what is still recycled, and beyond. */
export const GROWTHS: readonly (readonly [number, number])[] = [
  [0, 6], [3, 5], [20, 1], [62, 0.25], [90, 0.15],
];

/** One of many by weight, with a random number below 1. */
export function draw<T>(weighted: readonly (readonly [T, number])[], random: number): T {
  let left = random * weighted.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [value, weight] of weighted) {
    left -= weight;
    if (left < 0) return value;
  }
  return weighted.at(-1)![0];
}

export function numberBody(number: number): Uint8Array {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setUint32(0, number, true);
  return body;
}
