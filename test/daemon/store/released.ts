/** What the fixtures of released schemas were made with, for who makes them and who reads them. */

import { createHash } from 'node:crypto';

/** Seals the fixtures' secrets. */
export const FIXTURE_KEY: Uint8Array = new Uint8Array(32).fill(9);
/** The year 2200. */
export const LATER_MS = 7_258_118_400_000;
/** Of the tenant's token `ci`. It is nobody's. */
export const FIXTURE_TOKEN = `wdn_${'A'.repeat(43)}`;
export const FIXTURE_TOKEN_HASH = createHash('sha256').update(FIXTURE_TOKEN).digest('hex');
