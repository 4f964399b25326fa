/** Which immediates stand behind each opcode that decides nothing about control. */

export const I_NONE = 0;
export const I_LOCAL = 1;
export const I_INDEX = 2;
export const I_MEMARG = 3;
export const I_LEB32 = 4;
export const I_LEB64 = 5;
export const I_F32 = 6;
export const I_F64 = 7;
export const I_MEMORY = 8;
export const I_REF_NULL = 9;
export const I_REF_FUNC = 10;
export const I_FC = 11;
export const I_FD = 12;
export const I_LANE = 13;
export const I_LANE_MEMARG = 14;
export const I_16 = 15;
export const I_GC = 16;
export const I_THREADS = 17;
/** Not here: it decides about control, so the scan reads it by its number, or it is unknown. */
const I_OTHER = 255;

/** Immediates of the one-byte opcodes. */
export const IMMEDIATE = new Uint8Array(256).fill(I_OTHER);
/** Immediates behind 0xfd; all but these have none. */
export const IMMEDIATE_FD = new Uint8Array(0x114);

function set(kind: number, ...opcodes: number[]): void {
  for (const opcode of opcodes) IMMEDIATE[opcode] = kind;
}

function fillMain(): void {
  set(I_NONE, 0x01, 0x1a, 0x1b, 0xd1, 0xd4);
  set(I_LOCAL, 0x20, 0x21, 0x22);
  set(I_INDEX, 0x23, 0x24, 0x25, 0x26);
  IMMEDIATE.fill(I_MEMARG, 0x28, 0x3f);
  set(I_MEMORY, 0x3f, 0x40);
  set(I_LEB32, 0x41);
  set(I_LEB64, 0x42);
  set(I_F32, 0x43);
  set(I_F64, 0x44);
  IMMEDIATE.fill(I_NONE, 0x45, 0xc5);
  set(I_REF_NULL, 0xd0);
  set(I_REF_FUNC, 0xd2);
  set(I_GC, 0xd3, 0xfb);
  set(I_FC, 0xfc);
  set(I_FD, 0xfd);
  set(I_THREADS, 0xfe);
}

function fillSimd(): void {
  IMMEDIATE_FD.fill(I_MEMARG, 0x00, 0x0c);
  IMMEDIATE_FD.fill(I_16, 0x0c, 0x0e);
  IMMEDIATE_FD.fill(I_LANE, 0x15, 0x23);
  IMMEDIATE_FD.fill(I_LANE_MEMARG, 0x54, 0x5c);
  IMMEDIATE_FD.fill(I_MEMARG, 0x5c, 0x5e);
}

fillMain();
fillSimd();
