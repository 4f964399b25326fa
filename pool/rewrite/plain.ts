/**
 * The fast pass over what decides nothing about control, most of all code: in one loop over the
 * bytes, without a call for each instruction or byte. A module is rewritten in a process that has
 * just started, so what counts is how little code has to become hot, and how soon.
 *
 * It knows the usual forms only. Whatever is longer, rarer, near the end of the body or malformed
 * it leaves to the scan, which reads it with every access checked.
 */
import { COST } from './cost.ts';
import * as o from './opcodes.ts';
import type { Reader } from './reader.ts';

/** Steps below are the bytes of the whole instruction. */
const LEB = 16;
const MEMARG = 17;
const COST_SHIFT = 8;
/** An opcode, alignment and four bytes of LEB128; `f64.const` has nine. */
const LONGEST = 9;

const BYTES_OF: Readonly<Record<number, number>> = {
  [o.I_NONE]: 1, [o.I_LOCAL]: LEB, [o.I_LEB32]: LEB, [o.I_LEB64]: LEB, [o.I_MEMARG]: MEMARG,
  [o.I_F32]: 5, [o.I_F64]: 9,
};

/** By opcode: the step, and the cost above it; 0 for what the scan reads. */
const PLAIN = new Int32Array(256);
for (let opcode = 0; opcode < 256; opcode++) {
  const step = BYTES_OF[o.IMMEDIATE[opcode]!] ?? 0;
  if (step > 0) PLAIN[opcode] = step + (COST[opcode]! << COST_SHIFT);
}
// global.get and global.set; the others with an index are of tables, which the scan wants to see.
for (const opcode of [0x23, 0x24]) PLAIN[opcode] = LEB + (COST[opcode]! << COST_SHIFT);

/**
 * Moves the reader to the next instruction that is not plain, or that is not read here. Answers
 * the fuel units of what it passed: below 2 ** 28, since a body has at most 2 ** 23 bytes.
 */
export function passPlain(reader: Reader): number {
  const { bytes } = reader;
  const last = reader.end - LONGEST;
  let pos = reader.pos;
  let units = 0;
  while (pos < last) {
    const plain = PLAIN[bytes[pos]!]!;
    const step = plain & 0xff;
    if (step < LEB) {
      if (step === 0) break;
      pos += step;
    } else {
      let at = pos + 1;
      if (step === MEMARG) {
        // Above it a memory index follows, or it is malformed.
        if (bytes[at]! >= 0x40) break;
        at++;
      }
      if (bytes[at]! < 0x80) pos = at + 1;
      else if (bytes[at + 1]! < 0x80) pos = at + 2;
      else if (bytes[at + 2]! < 0x80) pos = at + 3;
      else if (bytes[at + 3]! < 0x80) pos = at + 4;
      else break;
    }
    units += plain >> COST_SHIFT;
  }
  reader.pos = pos;
  return units;
}
