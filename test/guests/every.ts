/**
 * The guests that call every function of an SDK: how they are built, and the transcript that all of
 * them write of what they got, wherever they run.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';

import { compileProject } from '../../guests/build/assemblyscript.ts';
import { compileC } from '../../guests/build/c.ts';
import { CACHE, MissingTool } from '../../guests/build/example.ts';
import { buildPackages } from '../../guests/build/rust.ts';

const FIXTURES = join(import.meta.dirname, 'fixtures');
const RUST = join(FIXTURES, 'every-rust');

async function rust(name: string): Promise<string> {
  return (await buildPackages(RUST, [name], CACHE)).get(name) ?? '';
}

/** Each compiles into the folder `out` where its tool does not choose the place itself. */
const BUILDS = {
  rust: () => rust('every-rust'),
  'legacy-rust': () => rust('legacy-rust'),
  async c(out: string) {
    const path = join(out, 'every-c.wasm');
    await compileC('clang', FIXTURES, 'every.c', path);
    return path;
  },
  async 'c-wasi'(out: string) {
    const path = join(out, 'every-c-wasi.wasm');
    await compileC('clang-wasi', FIXTURES, 'every.c', path);
    return path;
  },
  async assemblyscript(out: string) {
    const path = join(out, 'every-as.wasm');
    await compileProject(join(FIXTURES, 'every-as'), 'every-as', path);
    return path;
  },
} satisfies Record<string, (out: string) => Promise<string>>;

/** The module, or null when the compiler is missing, which is allowed outside of CI only. */
export async function buildEvery(
  t: Test, name: keyof typeof BUILDS, out: string,
): Promise<Buffer | null> {
  try {
    return readFileSync(await BUILDS[name](out));
  } catch (error) {
    if (!(error instanceof MissingTool) || process.env['CI'] === 'true') throw error;
    t.pass('built', { skip: error.message });
    return null;
  }
}

/** The plain question that they hand to `hostcall_dns_query_raw`: the addresses of two.example. */
export const QUERY = Buffer.from(
  '0102010000010000000000000374776f076578616d706c650000010001', 'hex');

/** What depends on where they run. */
export interface Surroundings {
  /** Names of the request's headers, in order. */
  readonly names: string;
  /** What the app's own store has under `k`: its value and revision, or `none`. */
  readonly own: string;
  /** Seconds and nanoseconds. */
  readonly time: string;
  readonly random: string;
  /** The answer to QUERY. */
  readonly raw: Uint8Array;
}

export function transcript({ names, own, time, random, raw }: Surroundings): string {
  return `method PATCH
path /p?q=1
names ${names}
x-many 6f6e65|74776f
absent 0
body hello
insert true
insert false
append false
upsert false
upsert true
get wx
get 0 bytes
remove true
remove false
get none
env de
env ""
env none
secret 00ff07
secret none
open false
get none
put 1
get v 1
insert none
insert 2
get  2
set none
set 3
append 4
get wx 4
increment 5
increment -2
refused true
own ${own}
list k,k1 true
list k2 false
delete false
delete true
delete true
delete false
time ${time}
random ${random}
dns c0000201,c00002ff
dns 01010101010101010101010101010101
dns none
raw ${Buffer.from(raw).toString('hex')}
raw none
send 203 x-up,x-other 61|62 PUT 1+2 payload
send failed
send failed
wait 200 x-up,x-other 61|62 3
poll not ready
poll not ready
poll 200 x-up,x-other 61|62 2
poll failed
select 1 200 x-up,x-other 61|62 1
select 2 failed
wait 200 x-up,x-other 61|62 5
head 200|stre|am end
head failed
body hel
piped 203 x-up,x-other 61|62 PUT  lo
passed on true
relayed true
twice false
refused true
`;
}
