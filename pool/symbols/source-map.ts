/**
 * Source lines from a source map, as AssemblyScript and others write it for WebAssembly: everything
 * is in line 1, and the column is the byte's offset in the module. Only a map that the module
 * carries itself, as a `data:` URL, is read: no file and no address of anybody's choice.
 */

import { SourceMap } from 'node:module';
import * as z from 'zod';

import type { SourceLine } from '../../contract/build.ts';
import { MODULE_BYTES_MAX } from '../../contract/limits.ts';
import { Writer } from '../rewrite/writer.ts';
import { ByteReader } from './bytes.ts';

const DATA_URL = /^data:application\/json;(?:charset=utf-8;)?base64,([A-Za-z0-9+/=]+)$/;
const SOURCE_LENGTH_MAX = 256;

const schema = z.object({
  version: z.literal(3),
  sources: z.array(z.string().nullable()).max(100_000),
  names: z.array(z.string()).default([]),
  mappings: z.string(),
  sourceRoot: z.string().default(''),
});

const SECTION = 'sourceMappingURL';
const CUSTOM = 0;
/** What a section has beside the URL, with room. */
const SECTION_BYTES = 64;

/** The URL in the content of a `sourceMappingURL` section; '' where nobody wrote one. */
export function urlIn(content: Uint8Array): string {
  try {
    const reader = new ByteReader(content);
    const length = reader.uleb();
    const from = reader.skip(length);
    return new TextDecoder('latin1').decode(content.subarray(from, from + length));
  } catch (error) {
    if (error instanceof RangeError) return '';
    throw error;
  }
}

/**
 * The module with `map` inside, behind everything else, so that no offset changes; as it is where
 * it would become too large.
 */
export function withSourceMap(module: Uint8Array, map: string): Uint8Array {
  const url = `data:application/json;base64,${Buffer.from(map).toString('base64')}`;
  if (module.length + url.length > MODULE_BYTES_MAX - SECTION_BYTES) return module;
  const content = new Writer(url.length + SECTION_BYTES);
  content.name(SECTION);
  content.name(url);
  const out = new Writer(module.length + content.length + SECTION_BYTES);
  out.copy(module, 0, module.length);
  out.u8(CUSTOM);
  out.sized(content);
  return out.take();
}

/** Null when the URL holds no map that can be read. */
function mapOf(url: string): SourceMap | null {
  const encoded = DATA_URL.exec(url)?.[1];
  if (encoded === undefined) return null;
  try {
    const map = schema.parse(JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')));
    return new SourceMap({
      ...map, file: '', sources: map.sources.map((source) => source ?? ''), sourcesContent: [],
    });
  } catch {
    // Whatever a stranger's map has wrong, there are then no lines.
    return null;
  }
}

/** The lines of these offsets in the module, of those that the map knows. */
export function mappedLinesOf(url: string, offsets: readonly number[]): Map<number, SourceLine> {
  const found = new Map<number, SourceLine>();
  const map = mapOf(url);
  if (map === null) return found;
  for (const offset of offsets) {
    const entry = map.findEntry(0, offset);
    if (!('originalSource' in entry) || entry.originalSource === '') continue;
    const source = entry.originalSource;
    found.set(offset, {
      source: source.length <= SOURCE_LENGTH_MAX ? source
        : `…${source.slice(1 - SOURCE_LENGTH_MAX)}`,
      line: entry.originalLine + 1,
      column: entry.originalColumn + 1,
    });
  }
  return found;
}
