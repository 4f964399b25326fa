/**
 * Broken modules: whatever the bytes, the rewriter either throws a `WardianError` that names a
 * place, or answers a module that V8 accepts. `FUZZ_SECONDS` sets the time, `FUZZ_SEED` repeats a
 * run; both are printed.
 */
import t from 'tap';
import { WardianError } from '../../../contract/errors.ts';
import { functionNames, rewrite } from '../../../pool/rewrite/index.ts';
import { wat } from './host.ts';
import { encode } from './program-binary.ts';
import { generate, random, type Random } from './program.ts';

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 5);
t.setTimeout((seconds + 60) * 1000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);

/** Modules that together have every section and most kinds of instruction. */
const seeds: Uint8Array[] = [
  wat(`(module (import "env" "h" (func $h (param i32) (result i32)))
    (import "env" "g" (global $g i32)) (memory 1 4) (table $t 3 9 funcref) (tag $e (param i32))
    (global $m (mut i64) (i64.const -5)) (elem (i32.const 0) $h $f) (elem $p funcref (ref.func $f))
    (elem declare func $h) (data (i32.const 3) "abc") (data $d "def") (start $s) (func $s)
    (func $f (export "f") (param $n i32) (result i32) (local i64 v128)
      (block (loop (br_if 1 (i32.eqz (local.get $n))) (drop (call $h (local.get 0)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br 0)))
      (try (do (throw $e (i32.const 1))) (catch $e (drop)) (catch_all (rethrow 0)))
      (memory.init $d (i32.const 0) (i32.const 0) (i32.const 2)) (data.drop $d)
      (table.init $t $p (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop $p)
      (local.set 2 (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get 2)
        (v128.const i64x2 1 2)))
      (drop (table.grow $t (ref.null func) (memory.grow (i32.const 1))))
      (block (block (br_table 0 1 0 (local.get 0))))
      (if (result i32) (local.get 0) (then (memory.size)) (else (return (i32.const 7))))))`),
  wat(`(module (type $t (func (param i32) (result i32 i64)))
    (func $g (type $t) (local.get 0) (i64.const 9223372036854775807))
    (func (export "f") (param f32 f64) (result i32) (local externref funcref)
      (block (type $t) (return_call_indirect (type $t) (i32.const 0) (i32.const 0)))
      (drop) (drop) (drop (select (result externref) (local.get 2) (ref.null extern)
        (i32.const 1))) (i32.trunc_sat_f64_s (local.get 1)))
    (table 1 funcref) (memory 0))`.replace('(block (type $t) (return_call_indirect (type $t) '
    + '(i32.const 0) (i32.const 0)))\n      (drop) (drop)', '(drop (ref.is_null (local.get 3)))')),
  wat('(module)'),
];

function mutate(source: Uint8Array, next: Random): Uint8Array {
  const bytes = [...source];
  const below = (limit: number): number => Math.floor(next() * limit);
  for (let times = 1 + below(4); times > 0; times--) {
    const at = 4 + below(bytes.length);
    switch (below(7)) {
      case 0: bytes[at] = below(256); break;
      case 1: bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8)); break;
      case 2: bytes.splice(at, 0, below(256)); break;
      case 3: bytes.splice(at, 1 + below(4)); break;
      case 4: bytes.splice(at, 1, 0xff, 0xff, 0xff, 0xff, below(32)); break;
      case 5: bytes.splice(at, 0, ...bytes.slice(at - below(20), at)); break;
      default: if (below(4) === 0) bytes.length = Math.min(bytes.length, at);
    }
  }
  return Uint8Array.from(bytes, (byte) => byte ?? 0);
}

t.test(`mutations for ${seconds} s, FUZZ_SEED=${seed}`, async (t) => {
  const until = Date.now() + seconds * 1000;
  const codes = new Map<string, number>();
  let accepted = 0;
  let count = 0;
  for (let i = seed; Date.now() < until; i++) {
    const next = random(i);
    const pick = Math.floor(next() * (seeds.length + 1));
    const source = mutate(seeds[pick] ?? encode(generate(next)), next);
    count++;
    try {
      functionNames(source);
      const { bytes } = rewrite(source, { memoryBytesMax: 2 ** 24 });
      accepted++;
      if (!WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) {
        t.fail(`FUZZ_SEED=${i}: an invalid module came out`);
        return;
      }
    } catch (error) {
      if (!(error instanceof WardianError)) throw error;
      codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
      if (!/section|module|header|\d/.test(error.message)) {
        t.fail(`FUZZ_SEED=${i}: no place in: ${error.message}`);
        return;
      }
    }
  }
  t.comment(`${count} modules, ${accepted} accepted, ${JSON.stringify([...codes])}`);
  t.ok(codes.size > 2 && accepted > 0, `${count} modules`);
});
