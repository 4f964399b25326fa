/**
 * How values cross between the guest and the host: the allocator that the host uses, and the taking
 * over of what it allocated.
 */

import { hostcall_init_mm } from "./hostcalls";

function hostMalloc(size: usize): usize {
  return heap.alloc(size);
}

function hostFree(block: usize): void {
  if (block !== 0) heap.free(block);
}

// Runs when the instance starts, before `run`.
hostcall_init_mm(hostMalloc.index, hostFree.index);

/** Their table indices, kept where the optimizer cannot see the values. */
const mallocIndex = memory.data(sizeof<u32>());
const freeIndex = memory.data(sizeof<u32>());
store<u32>(mallocIndex, hostMalloc.index);
store<u32>(freeIndex, hostFree.index);

function release(block: usize): void {
  call_indirect<void>(load<u32>(freeIndex), block);
}

/** Where the host stores an address and, after it, a length or a count. */
const out = memory.data(8);

// The optimizer knows nothing of the host. Unless a module exports its table, it removes what no call
// in the module reaches through it, and specialises the rest to the arguments that it sees. So one
// block of a size that it cannot know (0) goes the host's way: taken and given back by table index.
release(call_indirect<usize>(load<u32>(mallocIndex), load<usize>(out)));

// @ts-ignore: decorator
@inline
export function outAddress(): usize {
  return out;
}

// @ts-ignore: decorator
@inline
export function outLength(): usize {
  return out + sizeof<usize>();
}

/** Forgets the previous answer: a hostcall that has nothing to return may leave both alone. */
export function clearOut(): void {
  store<usize>(out, 0);
  store<usize>(out, 0, sizeof<usize>());
}

/** Takes over the bytes that the host stored. Null when there were none. */
export function takeBytes(): Uint8Array | null {
  const block = load<usize>(out);
  if (block === 0) return null;
  const bytes = copyOf(block, load<usize>(out, sizeof<usize>()));
  release(block);
  return bytes;
}

/** Takes over the text that the host stored; empty when there was none. */
export function takeText(): string {
  const block = load<usize>(out);
  if (block === 0) return "";
  const text = String.UTF8.decodeUnsafe(block, load<usize>(out, sizeof<usize>()));
  release(block);
  return text;
}

/** Takes over the array of byte strings that the host stored. Null when there was none. */
export function takeList(): Uint8Array[] | null {
  const block = load<usize>(out);
  if (block === 0) return null;
  const count = load<usize>(out, sizeof<usize>());
  const list = new Array<Uint8Array>();
  for (let i: usize = 0; i < count; i++) {
    const slice = block + i * 2 * sizeof<usize>();
    const address = load<usize>(slice);
    list.push(copyOf(address, load<usize>(slice, sizeof<usize>())));
    if (address !== 0) release(address);
  }
  release(block);
  return list;
}

/** Takes over the array of texts that the host stored; empty when there was none. */
export function takeTexts(): string[] {
  const texts = new Array<string>();
  const list = takeList();
  if (list === null) return texts;
  for (let i = 0; i < list.length; i++) texts.push(textOf(list[i]));
  return texts;
}

function copyOf(address: usize, length: usize): Uint8Array {
  const bytes = new Uint8Array(<i32>length);
  memory.copy(bytes.dataStart, address, length);
  return bytes;
}

export function textOf(bytes: Uint8Array): string {
  return String.UTF8.decodeUnsafe(bytes.dataStart, bytes.byteLength);
}

export function utf8(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text));
}

/** An array of slices in the host's layout, for as long as the texts are needed. */
export class Slices {
  private texts: Uint8Array[] = [];
  private words: StaticArray<usize>;

  constructor(values: string[]) {
    this.words = new StaticArray<usize>(values.length * 2);
    for (let i = 0; i < values.length; i++) {
      const text = utf8(values[i]);
      this.texts.push(text);
      this.words[i * 2] = text.dataStart;
      this.words[i * 2 + 1] = text.byteLength;
    }
  }

  get address(): usize {
    return changetype<usize>(this.words);
  }

  get count(): usize {
    return this.texts.length;
  }
}
