/**
 * What passes between the daemon and a builder child: one job in, stages out, then one result or
 * one failure. On the wire each message is a frame (see `encodeFrame`): two lengths, JSON, bytes.
 * JSON and no structured clone, because a compiler may have run in the child: what comes back is
 * data to be checked.
 */

import type { Language, ModuleFacts } from './deployment.ts';
import { WardianError } from './errors.ts';
import type { ErrorCode } from './errors.ts';

export type BuildStage = 'building' | 'rewriting' | 'compiling';

export interface BuildFile {
  /** Relative, `/` between names, no `.` and no `..`. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** What decides the artifact besides the module's bytes; part of the cache key. */
export interface RewriteSettings {
  /** The memory's maximum is clamped to this. */
  readonly memoryBytesMax: number;
}

/** Where the child finds compilers and our SDKs. */
export interface BuildTools {
  /** Folders searched for `clang`, `rustc` and `cargo`. */
  readonly searchPath: string;
  /** The `guests` folder: header, crate, AssemblyScript package. */
  readonly guestsFolder: string;
  /** `RUSTUP_HOME` and `CARGO_HOME` of the operator; empty: in the home folder, if there. */
  readonly rustupHome: string;
  readonly cargoHome: string;
  /**
   * A folder of the daemon for what builds may share: the compiled Rust SDK. Empty: nothing is
   * shared.
   */
  readonly cacheFolder: string;
}

export interface BuildJob {
  readonly kind: 'build';
  readonly language: Language;
  readonly files: readonly BuildFile[];
  /** Optimisation switch for source builds: one of BUILD_OPTIONS, or null for the default. */
  readonly option: string | null;
  readonly rewrite: RewriteSettings;
  readonly tools: BuildTools;
}

/** Which lines of the source offsets in a rewritten module belong to. */
export interface LocateJob {
  readonly kind: 'locate';
  /** One: the module as it was deployed. */
  readonly files: readonly BuildFile[];
  /** Of what the rewriter made of it: SHA-256, hexadecimal. */
  readonly artifactHash: string;
  readonly rewrite: RewriteSettings;
  /** As V8's stacks have them: from the artifact's first byte. */
  readonly offsets: readonly number[];
}

export interface SourceLine {
  /** As the compiler was given it. */
  readonly source: string;
  /** From 1. */
  readonly line: number;
  /** From 1; 0 where it is not known. */
  readonly column: number;
}

/** One for each offset; null where it is not known. */
export interface LocateResult {
  readonly lines: readonly (SourceLine | null)[];
}

export type Job = BuildJob | LocateJob;

export const BUILD_OPTIONS: readonly string[] = ['-O0', '-O1', '-O2', '-O3', '-Os', '-Oz'];

export interface BuildResult {
  /** The module as uploaded or built. */
  readonly module: Uint8Array;
  /** The module rewritten. */
  readonly artifact: Uint8Array;
  readonly facts: ModuleFacts;
  /** For the person who deploys, one line each. */
  readonly warnings: readonly string[];
}

export interface BuildFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** What the compiler printed, cut to BUILD_OUTPUT_BYTES_MAX; empty when no compiler ran. */
  readonly output: string;
}

/** A build's refusal, with what the compiler printed. */
export class BuildError extends WardianError {
  readonly output: string;

  constructor(code: ErrorCode, message: string, output = '', options?: ErrorOptions) {
    super(code, message, options);
    this.name = 'BuildError';
    this.output = output;
  }
}

/** The JSON half of a frame; the bytes half is the concatenation that `sizes` describes. */
type Sized<J extends Job> = Omit<J, 'files'> & {
  readonly files: readonly { readonly path: string; readonly size: number }[];
};

export type JobHead = Sized<BuildJob> | Sized<LocateJob>;

export type ReplyHead =
  | { readonly kind: 'ready' }
  | { readonly kind: 'stage'; readonly stage: BuildStage }
  | { readonly kind: 'done'; readonly moduleSize: number; readonly artifactSize: number;
    readonly facts: ModuleFacts; readonly warnings: readonly string[] }
  | { readonly kind: 'located'; readonly lines: LocateResult['lines'] }
  | { readonly kind: 'failed'; readonly failure: BuildFailure };

const FRAME_HEAD_BYTES = 8;

/** `[head bytes u32][body bytes u32][head: JSON][body]`, little-endian. */
export function encodeFrame(head: unknown, parts: readonly Uint8Array[]): Uint8Array[] {
  const json = new TextEncoder().encode(JSON.stringify(head));
  const lengths = new Uint8Array(FRAME_HEAD_BYTES);
  const view = new DataView(lengths.buffer);
  view.setUint32(0, json.length, true);
  view.setUint32(4, parts.reduce((sum, part) => sum + part.length, 0), true);
  return [lengths, json, ...parts];
}

export interface Frame {
  readonly head: unknown;
  readonly body: Uint8Array;
}

/** Cuts a byte stream into frames. `push` throws once a frame announces more than the bounds. */
export class FrameReader {
  readonly #headBytesMax: number;
  readonly #bodyBytesMax: number;
  #chunks: Uint8Array[] = [];
  #buffered = 0;

  constructor(headBytesMax: number, bodyBytesMax: number) {
    this.#headBytesMax = headBytesMax;
    this.#bodyBytesMax = bodyBytesMax;
  }

  push(chunk: Uint8Array): Frame[] {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      const frame = this.#next();
      if (frame === null) return frames;
      frames.push(frame);
    }
  }

  #next(): Frame | null {
    if (this.#buffered < FRAME_HEAD_BYTES) return null;
    const lengths = this.#peek(FRAME_HEAD_BYTES);
    const view = new DataView(lengths.buffer, lengths.byteOffset, FRAME_HEAD_BYTES);
    const headBytes = view.getUint32(0, true);
    const bodyBytes = view.getUint32(4, true);
    if (headBytes > this.#headBytesMax || bodyBytes > this.#bodyBytesMax) {
      throw new RangeError(`a frame of ${headBytes} + ${bodyBytes} bytes`);
    }
    const total = FRAME_HEAD_BYTES + headBytes + bodyBytes;
    if (this.#buffered < total) return null;
    const whole = this.#peek(total);
    this.#chunks = whole.length === this.#buffered ? [] : [this.#joined().subarray(total)];
    this.#buffered -= total;
    const bodyStart = FRAME_HEAD_BYTES + headBytes;
    const json = new TextDecoder().decode(whole.subarray(FRAME_HEAD_BYTES, bodyStart));
    return { head: JSON.parse(json), body: whole.subarray(bodyStart, total) };
  }

  /** The first `count` bytes; joins the chunks only when they span several. */
  #peek(count: number): Uint8Array {
    const first = this.#chunks[0];
    const holder = first !== undefined && first.length >= count ? first : this.#joined();
    return holder.subarray(0, count);
  }

  #joined(): Uint8Array {
    if (this.#chunks.length === 1) return this.#chunks[0] as Uint8Array;
    const joined = new Uint8Array(this.#buffered);
    let offset = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk, offset);
      offset += chunk.length;
    }
    this.#chunks = [joined];
    return joined;
  }
}
