/**
 * After an update of Wardian: modules that an older rewriter has rewritten are rewritten again,
 * from the bytes that were deployed, each in a builder child. Those that serve come first. A module
 * that the newer rewriter refuses keeps what it has, and whoever operates the node is told.
 */

import type { BuildTools } from '../../contract/build.ts';
import { WardianError } from '../../contract/errors.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import type { OutdatedArtifact } from '../store/reader.ts';
import type { RouteChange, Store } from '../store/store.ts';
import type { Builders } from './builders.ts';
import { KEY_START, memoryOfKey, rewriteKeyOf } from './rewrite-key.ts';

export interface OutdatedParts {
  readonly store: Pick<Store, 'listOutdatedArtifacts' | 'readModule' | 'replaceArtifact'>;
  readonly builders: Pick<Builders, 'run'>;
  readonly tools: BuildTools;
  readonly limits: RequestLimits;
  readonly onRoute: (change: RouteChange) => void;
  /** A module that could not be rewritten again; its hash, and why. */
  readonly onRefused: (moduleHash: string, error: WardianError) => void;
}

const ARTIFACTS_MAX = 100_000;

async function rebuild(parts: OutdatedParts, outdated: OutdatedArtifact): Promise<void> {
  const { hash, moduleHash, rewriteKey } = outdated;
  const bytes = parts.store.readModule(moduleHash);
  if (bytes === null) throw new WardianError('module_unavailable', 'the module is not stored');
  const memoryBytesMax = memoryOfKey(rewriteKey) ?? parts.limits.memoryBytes;
  const { artifact, facts } = await parts.builders.run({
    kind: 'build', language: 'wasm', files: [{ path: 'module.wasm', bytes }], option: null,
    rewrite: { memoryBytesMax }, tools: parts.tools,
  }, { onStage: () => {} });
  const { changes } = await parts.store.replaceArtifact({
    hash, moduleHash, rewriteKey: rewriteKeyOf(memoryBytesMax),
    artifact: { bytes: artifact, facts },
  });
  for (const change of changes) parts.onRoute(change);
}

/** Resolves with the number that was rewritten; one after the other, so that deploys go on. */
export async function rebuildOutdated(parts: OutdatedParts): Promise<number> {
  let rebuilt = 0;
  for (const outdated of parts.store.listOutdatedArtifacts(KEY_START, ARTIFACTS_MAX)) {
    try {
      await rebuild(parts, outdated);
      rebuilt += 1;
    } catch (error) {
      if (!(error instanceof WardianError)) throw error;
      parts.onRefused(outdated.moduleHash, error);
    }
  }
  return rebuilt;
}
