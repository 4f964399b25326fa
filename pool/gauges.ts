/** What a worker tells of its memories and modules, whenever it beats. */

import { FIELDS, type Heartbeat } from './heartbeat.ts';
import type { MemoryPool } from './memory-pool.ts';
import type { ModuleCache } from './module-cache.ts';

export function writeGauges(
  values: Heartbeat['values'], memories: MemoryPool, cache: ModuleCache,
): void {
  values[FIELDS.memoriesLive] = memories.live;
  values[FIELDS.memoriesPooled] = memories.keptCount;
  values[FIELDS.memoryBytesPooled] = memories.keptBytes;
  values[FIELDS.instancesRecycled] = memories.recycledCount;
  values[FIELDS.instancesFresh] = memories.freshCount;
  values[FIELDS.moduleBytesCached] = cache.modules.bytes;
  values[FIELDS.modulesCached] = cache.modules.count;
  values[FIELDS.moduleHits] = cache.hits;
  values[FIELDS.moduleMisses] = cache.misses;
  values[FIELDS.moduleEvictions] = cache.modules.evictions;
}
