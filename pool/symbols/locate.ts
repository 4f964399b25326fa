/**
 * Lines of a guest's source for offsets in its rewritten module: rewrites the deployed module once
 * more to learn where each byte came from, and asks its DWARF or source map. Runs in a builder
 * child, because all of it is a stranger's data.
 */

import { createHash } from 'node:crypto';

import type { SourceLine } from '../../contract/build.ts';
import { decode } from '../rewrite/decode.ts';
import { rewrite, type RewriteOptions } from '../rewrite/index.ts';
import type { Module, Range } from '../rewrite/module.ts';
import { OffsetTrace } from '../rewrite/trace.ts';
import { ByteReader } from './bytes.ts';
import { linesOf } from './line-table.ts';
import { mappedLinesOf, urlIn } from './source-map.ts';

interface Place {
  /** Among the functions that the module defines. */
  readonly function: number;
  /** In its rewritten body. */
  readonly at: number;
}

const HEADER_BYTES = 8;
const CODE_SECTION = 10;

/** Where `count` function bodies of a module lie, from body `first` on. */
function bodiesOf(module: Uint8Array, first: number, count: number): Range[] {
  const reader = new ByteReader(module, HEADER_BYTES);
  const bodies: Range[] = [];
  while (reader.at < reader.end) {
    const id = reader.u8();
    const length = reader.uleb();
    if (id !== CODE_SECTION) {
      reader.skip(length);
      continue;
    }
    const there = reader.uleb();
    for (let i = 0; i < first; i++) reader.skip(reader.uleb());
    while (bodies.length < Math.min(count, there - first)) {
      const size = reader.uleb();
      const from = reader.skip(size);
      bodies.push({ from, to: reader.at });
    }
    return bodies;
  }
  return bodies;
}

/** The body that holds `offset`; null when none does. */
function placeOf(bodies: readonly Range[], offset: number): Place | null {
  let low = 0;
  let high = bodies.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const { from, to } = bodies[middle]!;
    if (offset < from) high = middle - 1;
    else if (offset >= to) low = middle + 1;
    else return { function: middle, at: offset - from };
  }
  return null;
}

function section(source: Uint8Array, module: Module, name: string): Uint8Array | null {
  const custom = module.customs.findLast((one) => one.name === name);
  return custom === undefined ? null : source.subarray(custom.contentFrom, custom.to);
}

function byMap(
  source: Uint8Array, module: Module, offsets: readonly number[],
): Map<number, SourceLine> {
  const content = section(source, module, 'sourceMappingURL');
  return content === null ? new Map() : mappedLinesOf(urlIn(content), offsets);
}

/** By offset in the source module. */
function linesIn(
  source: Uint8Array, module: Module, offsets: readonly number[],
): Map<number, SourceLine> {
  const line = section(source, module, '.debug_line');
  if (line === null) return byMap(source, module, offsets);
  const sections = {
    line, str: section(source, module, '.debug_str'),
    lineStr: section(source, module, '.debug_line_str'),
  };
  const found = linesOf(sections, offsets.map((offset) => offset - module.codeFrom));
  return new Map([...found].map(([address, at]) => [address + module.codeFrom, at]));
}

/** True when the module carries what lines could be read from. */
export function carriesLines(module: Module): boolean {
  return module.customs.some(({ name }) => name === '.debug_line' || name === 'sourceMappingURL');
}

/**
 * The line for each of `offsets` in the artifact of that hash (SHA-256, hexadecimal); null where it
 * is not known. All null when the rewriter that runs now makes other bytes of `source`: a guess
 * would mislead. Throws `WardianError` for a source that is refused.
 */
export function locate(
  source: Uint8Array, artifactHash: string, options: RewriteOptions, offsets: readonly number[],
): (SourceLine | null)[] {
  const nothing = offsets.map(() => null);
  const module = decode(source);
  if (!carriesLines(module)) return nothing;
  const { bytes: artifact, leadingBodies } = rewrite(source, options);
  if (createHash('sha256').update(artifact).digest('hex') !== artifactHash) return nothing;
  const bodies = bodiesOf(artifact, leadingBodies, module.bodies.length / 2);
  const places = offsets.map((offset) => placeOf(bodies, offset));
  const trace = new OffsetTrace(
    places.flatMap((place) => (place === null ? [] : [place.function])));
  rewrite(source, { ...options, trace });
  const origins = places.map((place) =>
    (place === null ? null : trace.sourceOf(place.function, place.at)));
  const lines = linesIn(source, module, origins.filter((origin) => origin !== null));
  return origins.map((origin) => (origin === null ? null : lines.get(origin) ?? null));
}
