/**
 * How the host hands data to a Terrarium guest: in blocks of the guest's own malloc, text and bytes
 * one byte longer than their length and NUL-terminated; address and length go through two
 * out-pointers. Nothing to give is address 0 and length 0, without an allocation.
 */

import { GUEST_HEADER_COUNT_MAX, HEADER_VALUE_BYTES_MAX } from '../../contract/limits.ts';
import type { GuestState } from '../guest.ts';

const SLICE_BYTES = 8;

/**
 * Throws BadArgument unless both out-pointers are within the memory: looked at before the guest's
 * malloc runs.
 */
function checkOut(guest: GuestState, pointerOut: number, lengthOut: number): void {
  guest.memory.check(pointerOut, 4, 'ptr_out');
  guest.memory.check(lengthOut, 4, 'len_out');
}

function storeOut(
  guest: GuestState, pointerOut: number, lengthOut: number, pointer: number, length: number,
): void {
  guest.memory.writeU32(pointerOut, pointer, 'ptr_out');
  guest.memory.writeU32(lengthOut, length, 'len_out');
}

export function giveNothing(guest: GuestState, pointerOut: number, lengthOut: number): void {
  checkOut(guest, pointerOut, lengthOut);
  storeOut(guest, pointerOut, lengthOut, 0, 0);
}

/** A NUL-terminated block that holds `text`, one byte for each character. */
function textBlock(guest: GuestState, text: string): number {
  const block = guest.allocator.allocate(text.length + 1);
  guest.memory.writeLatin1(block, text, 'malloc');
  guest.memory.writeU8((block >>> 0) + text.length, 0, 'malloc');
  return block;
}

/** A NUL-terminated block that holds `bytes`. */
function bytesBlock(guest: GuestState, bytes: Uint8Array): number {
  const block = guest.allocator.allocate(bytes.length + 1);
  guest.memory.write(block, bytes, 'malloc');
  guest.memory.writeU8((block >>> 0) + bytes.length, 0, 'malloc');
  return block;
}

export function giveText(
  guest: GuestState, pointerOut: number, lengthOut: number, text: string,
): void {
  checkOut(guest, pointerOut, lengthOut);
  storeOut(guest, pointerOut, lengthOut, text === '' ? 0 : textBlock(guest, text), text.length);
}

export function giveBytes(
  guest: GuestState, pointerOut: number, lengthOut: number, bytes: Uint8Array | null,
): void {
  if (bytes === null || bytes.length === 0) giveNothing(guest, pointerOut, lengthOut);
  else giveFoundBytes(guest, pointerOut, lengthOut, bytes);
}

/** As `giveBytes`, but an empty value is a block too: its address says that it was found. */
export function giveFoundBytes(
  guest: GuestState, pointerOut: number, lengthOut: number, bytes: Uint8Array,
): void {
  checkOut(guest, pointerOut, lengthOut);
  storeOut(guest, pointerOut, lengthOut, bytesBlock(guest, bytes), bytes.length);
}

/** An array of GuestSlice, each with a block of its own; the length is their number. */
function giveSlices<T extends { readonly length: number }>(
  guest: GuestState, pointerOut: number, lengthOut: number, values: readonly T[],
  block: (guest: GuestState, value: T) => number,
): void {
  checkOut(guest, pointerOut, lengthOut);
  if (values.length === 0) {
    storeOut(guest, pointerOut, lengthOut, 0, 0);
    return;
  }
  guest.meter.charge(values.length * SLICE_BYTES);
  const array = guest.allocator.allocate(values.length * SLICE_BYTES);
  let slice = array >>> 0;
  for (const value of values) {
    const pointer = block(guest, value);
    guest.memory.writeU32(slice, pointer, 'malloc');
    guest.memory.writeU32(slice + 4, value.length, 'malloc');
    slice += SLICE_BYTES;
  }
  storeOut(guest, pointerOut, lengthOut, array, values.length);
}

export function giveTexts(
  guest: GuestState, pointerOut: number, lengthOut: number, texts: readonly string[],
): void {
  giveSlices(guest, pointerOut, lengthOut, texts, textBlock);
}

export function giveByteArrays(
  guest: GuestState, pointerOut: number, lengthOut: number, arrays: readonly Uint8Array[],
): void {
  giveSlices(guest, pointerOut, lengthOut, arrays, bytesBlock);
}

/**
 * The values of an array of `count` GuestSlice, one character per byte. Null, with nothing copied,
 * if they are more or longer than header fields may be. Throws BadArgument, naming the slice.
 */
export function takeHeaderValues(
  guest: GuestState, slices: number, count: number,
): string[] | null {
  const total = (count >>> 0) * SLICE_BYTES;
  // A count so large that it wraps is outside of every memory, and must not read as a small one.
  guest.memory.check(slices, Math.min(total, 0xffff_ffff), 'slices');
  if (count >>> 0 > GUEST_HEADER_COUNT_MAX) return null;
  guest.meter.charge(total);
  const values: string[] = [];
  for (let at = 0; at < count >>> 0; at++) {
    const slice = (slices >>> 0) + at * SLICE_BYTES;
    const pointer = guest.memory.readU32(slice, 'slices');
    const length = guest.memory.readU32(slice + 4, 'slices');
    // The name is made for the one that is refused: for each it would cost more than all the rest.
    if (!guest.memory.holds(pointer, length)) {
      guest.memory.check(pointer, length, `slices[${at}]`);
    }
    if (length > HEADER_VALUE_BYTES_MAX) return null;
    values.push(guest.memory.latin1(pointer, length, 'slices'));
  }
  return values;
}
