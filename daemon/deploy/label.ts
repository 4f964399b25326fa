/**
 * The names of apps: checking the one that is given, making one from the name of what is deployed.
 */

import { WardianError } from '../../contract/errors.ts';
import { LABEL_LENGTH_MAX } from '../../contract/limits.ts';

const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
/** Hosts that a node may want for itself, or that users would take for the platform's. */
const RESERVED: ReadonlySet<string> = new Set(['admin', 'api', 'console', 'wardian', 'www']);

/**
 * Throws `bad_name` unless `label` is a DNS label in lower case. `--` is kept for the hosts of
 * single versions, which also keeps `xn--` out.
 */
export function requireLabel(label: string): void {
  if (label.length > LABEL_LENGTH_MAX || !LABEL.test(label) || label.includes('--')) {
    const shown = JSON.stringify(label.slice(0, LABEL_LENGTH_MAX + 1));
    throw new WardianError('bad_name', `${shown}: a name has 1 to ${LABEL_LENGTH_MAX} of a-z, 0-9 `
      + 'and -, no -- and no - at either end');
  }
  if (RESERVED.has(label)) throw new WardianError('bad_name', `${label} is reserved`);
}

/** A label made of a file's or folder's name; empty when nothing of it can be used. */
export function labelFrom(name: string): string {
  const base = name.slice(name.lastIndexOf('/') + 1).replace(/\.(?:wasm|wat|ts|c|rs|tar)$/i, '');
  return base.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').slice(0, LABEL_LENGTH_MAX)
    .replaceAll(/^-+|-+$/g, '');
}
