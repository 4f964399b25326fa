/**
 * The function that cleans memories: its bytes are those of the text here, and it finds every byte.
 */

import t from 'tap';
import { WASM_PAGE_BYTES } from '../../contract/limits.ts';
import { ZEROING_MODULE, zeroing } from '../../pool/zeroing.ts';
import { assemble } from './world.ts';

const BLOCK = 4_096;
const STEP = 256;

/** All of a step's bytes in one vector, added up as a tree. */
function whole(from: number, to: number): string {
  if (to - from === 16) return `(v128.load offset=${from} (local.get $at))`;
  const middle = (from + to) / 2;
  return `(v128.or ${whole(from, middle)} ${whole(middle, to)})`;
}

const TEXT = `(module
  (import "" "" (memory 0))
  (func (export "") (param $length i32) (local $at i32) (local $end i32)
    (loop $blocks
      (local.set $end (i32.add (local.get $at) (i32.const ${BLOCK})))
      (block $clean
        (block $dirty
          (loop $steps
            (br_if $dirty (v128.any_true ${whole(0, STEP)}))
            (local.set $at (i32.add (local.get $at) (i32.const ${STEP})))
            (br_if $steps (i32.lt_u (local.get $at) (local.get $end))))
          (br $clean))
        (memory.fill (local.get $at) (i32.const 0) (i32.sub (local.get $end) (local.get $at)))
        (local.set $at (local.get $end)))
      (br_if $blocks (i32.lt_u (local.get $at) (local.get $length))))))`;

t.test('the bytes are those of the text', async (t) => {
  const expected = assemble(TEXT, false);
  t.equal(Buffer.from(ZEROING_MODULE).toString('hex'), Buffer.from(expected).toString('hex'));
});

t.test('every byte is found, wherever it is', async (t) => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 4 });
  const zero = zeroing(memory);
  for (let page = 2; page <= 4; page += 1) {
    const bytes = new Uint8Array(memory.buffer);
    // A prime, so that every place within a step, a block and a page has its turn.
    for (let at = 0; at < bytes.length; at += 127) {
      bytes[at] = 1 + at % 255;
      zero(bytes.length);
      if (bytes[at] !== 0) t.fail(`the byte at ${at}`);
    }
    bytes.fill(0xff);
    zero(bytes.length);
    t.ok(bytes.every((byte) => byte === 0), `all of ${bytes.length} bytes`);
    for (const at of [0, BLOCK - 1, BLOCK, WASM_PAGE_BYTES - 1, bytes.length - 1]) bytes[at] = 7;
    zero(bytes.length);
    t.ok(bytes.every((byte) => byte === 0), 'several at once');
    if (page < 4) memory.grow(1);
  }
});
