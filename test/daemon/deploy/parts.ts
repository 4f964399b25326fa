/** What the deploy tests share: a store, builders and a pipeline over a folder that goes away. */

import { mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

import type { BuildFile, BuildTools } from '../../../contract/build.ts';
import type { Tenant } from '../../../contract/deployment.ts';
import { PACKAGE_ROOT } from '../../../contract/entry.ts';
import { REQUEST_LIMITS_DEFAULT } from '../../../contract/limits.ts';
import { Builders } from '../../../daemon/deploy/builders.ts';
import type { BuildersOptions } from '../../../daemon/deploy/builders.ts';
import { DeployPipeline } from '../../../daemon/deploy/pipeline.ts';
import type { PipelineOptions } from '../../../daemon/deploy/pipeline.ts';
import { createRouter } from '../../../daemon/router.ts';
import type { Router } from '../../../daemon/router.ts';
import { openStore } from '../../../daemon/store/store.ts';
import type { Store } from '../../../daemon/store/store.ts';

/** Kept between tests: what a daemon keeps in its data folder. */
export const CACHE_FOLDER = fileURLToPath(new URL('.tap/builder-cache', PACKAGE_ROOT));
export const GUESTS_FOLDER = fileURLToPath(new URL('guests', PACKAGE_ROOT));

export function toolsOf(changes: Partial<BuildTools> = {}): BuildTools {
  return {
    searchPath: process.env['PATH'] ?? '',
    guestsFolder: GUESTS_FOLDER,
    rustupHome: process.env['RUSTUP_HOME'] ?? join(homedir(), '.rustup'),
    cargoHome: process.env['CARGO_HOME'] ?? join(homedir(), '.cargo'),
    cacheFolder: CACHE_FOLDER,
    ...changes,
  };
}

export const text = (content: string): Uint8Array => new TextEncoder().encode(content);

/** A module from its text. */
export async function assemble(source: string): Promise<Uint8Array> {
  const { parseWat } = await wabt();
  const module = parseWat('test.wat', source, { exceptions: true, memory64: true, threads: true });
  const { buffer } = module.toBinary({});
  module.destroy();
  return buffer;
}

/** Modules that can be served and differ: `(export "run")` and a number nobody reads. */
export function guest(number: number): Promise<Uint8Array> {
  return assemble(`(module (func (export "run")) (global (export "number") i32 (i32.const ${
    number})))`);
}

export const wasm = (bytes: Uint8Array): BuildFile[] => [{ path: 'module.wasm', bytes }];

export interface Parts {
  readonly folder: string;
  readonly store: Store;
  readonly builders: Builders;
  readonly pipeline: DeployPipeline;
  readonly router: Router;
  readonly tenant: Tenant;
  close(): Promise<void>;
}

export async function createParts(
  options: { builders?: BuildersOptions; secretKeys?: readonly Uint8Array[] }
    & Partial<Omit<PipelineOptions, 'builders'>> = {},
): Promise<Parts> {
  const folder = mkdtempSync(join(tmpdir(), 'wardian-test-deploy-'));
  const store = await openStore({
    dataFolder: folder, durability: 'process', secretKeys: options.secretKeys ?? [],
  });
  const builders = new Builders({ idleMs: 0, cacheFolder: CACHE_FOLDER, ...options.builders });
  const router = createRouter('localhost');
  const pipeline = new DeployPipeline({
    store,
    tools: toolsOf(),
    languages: new Set(['wat', 'assemblyscript', 'c', 'rust']),
    limits: REQUEST_LIMITS_DEFAULT,
    urlOf: (label) => `http://${label}.localhost:8080/`,
    onRoute: ({ appId, route, customHosts }) => {
      if (route === null) router.remove(appId);
      else router.set(route, customHosts);
    },
    ...options,
    builders,
  });
  return {
    folder, store, builders, pipeline, router,
    tenant: await store.ensureTenant('default'),
    async close() {
      await builders.close();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Runs one deploy and tells what became of it. */
export async function outcomeOf(
  parts: Pick<Parts, 'pipeline' | 'tenant'>, label: string, files: readonly BuildFile[],
  language = 'auto',
): Promise<{ stages: string[]; url?: string; number?: number; code?: string; message?: string;
  output?: string; }> {
  const stages: string[] = [];
  try {
    const { url, version } = await parts.pipeline.deploy(
      { tenant: parts.tenant, label, language, files }, (stage) => stages.push(stage));
    return { stages, url, number: version.number };
  } catch (error) {
    const { code, message, output } = error as { code: string; message: string; output?: string };
    if (code === undefined) throw error;
    return { stages, code, message, ...(output === undefined ? {} : { output }) };
  }
}
