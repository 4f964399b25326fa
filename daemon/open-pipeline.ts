/**
 * The deploy pipeline with what it stands on: builder children, the tools they find, and a store
 * that does not hand out what is damaged.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { BuildTools } from '../contract/build.ts';
import { PACKAGE_ROOT } from '../contract/entry.ts';
import type { Config } from './config.ts';
import { Builders, removeLeftovers } from './deploy/builders.ts';
import { DeployPipeline } from './deploy/pipeline.ts';
import type { DeployWatch, PipelineOptions } from './deploy/pipeline.ts';
import type { Integrity } from './integrity.ts';
import type { RouteChange, Store } from './store/store.ts';

export interface Building {
  readonly builders: Builders;
  readonly tools: BuildTools;
}

export interface OpenPipelineParts {
  readonly config: Config;
  readonly store: Store;
  readonly integrity: Integrity;
  readonly urlOf: (label: string) => string;
  readonly onRoute: (change: RouteChange) => void;
  readonly watch: () => DeployWatch;
}

/** A damaged artifact is built again, and its new bytes count from then on. */
function mendingStore({ store, integrity }: OpenPipelineParts): PipelineOptions['store'] {
  return {
    getApp: (label) => store.getApp(label),
    findArtifact(moduleHash, rewriteKey) {
      const found = store.findArtifact(moduleHash, rewriteKey);
      return found !== null && integrity.isDamaged(found.hash) ? null : found;
    },
    async saveDeploy(deploy) {
      const deployed = await store.saveDeploy(deploy);
      if (deploy.artifact !== null) integrity.mended(deployed.version.artifactHash);
      return deployed;
    },
  };
}

export function openPipeline(
  parts: OpenPipelineParts, stops: (() => unknown)[],
): { readonly pipeline: DeployPipeline; readonly building: Building } {
  const { config, urlOf, onRoute, watch } = parts;
  removeLeftovers();
  const cacheFolder = join(config.data, 'build-cache');
  mkdirSync(cacheFolder, { recursive: true, mode: 0o700 });
  const builders = new Builders({ cacheFolder });
  stops.push(() => builders.close());
  const tools: BuildTools = {
    searchPath: process.env['PATH'] ?? '',
    guestsFolder: fileURLToPath(new URL('guests', PACKAGE_ROOT)),
    rustupHome: process.env['RUSTUP_HOME'] ?? '',
    cargoHome: process.env['CARGO_HOME'] ?? '',
    cacheFolder,
  };
  const pipeline = new DeployPipeline({
    store: mendingStore(parts), builders, tools, languages: new Set(config.build_languages),
    limits: config.limits, urlOf, onRoute, watch,
  });
  return { pipeline, building: { builders, tools } };
}
