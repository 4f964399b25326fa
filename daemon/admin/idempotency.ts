/**
 * Deploys under an `Idempotency-Key`: whoever lost the connection asks again with the same key and
 * gets the result of the first, whether that is done by now or still under way. What is done is in
 * the store; here are those that are under way.
 */

import { createHash } from 'node:crypto';

import type { BuildFile } from '../../contract/build.ts';
import { WardianError } from '../../contract/errors.ts';
import type { DeployKey } from '../store/commands.ts';

export const IDEMPOTENCY_HEADER = 'idempotency-key';
const KEY_PATTERN = /^[\x21-\x7e]{1,255}$/;

/** The key of a request, or null. Throws `bad_argument`. */
export function idempotencyKeyOf(header: string | string[] | undefined): string | null {
  if (header === undefined) return null;
  if (typeof header === 'string' && KEY_PATTERN.test(header)) return header;
  throw new WardianError(
    'bad_argument', `${IDEMPOTENCY_HEADER} has 1 to 255 visible ASCII characters`);
}

/** What tells two deploys apart. */
function fingerprintOf(parameters: unknown, files: readonly BuildFile[]): string {
  const hash = createHash('sha256').update(JSON.stringify(parameters));
  for (const { path, bytes } of files) {
    hash.update(`\n${JSON.stringify(path)} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}

/** `scope`: whose key it is, and of which app; it means nothing elsewhere. */
export function deployKey(
  scope: readonly (string | number)[], given: string, parameters: unknown,
  files: readonly BuildFile[],
): DeployKey {
  return {
    key: createHash('sha256').update(JSON.stringify([...scope, given])).digest('hex'),
    fingerprint: fingerprintOf(parameters, files),
  };
}

interface UnderWay<T> {
  readonly fingerprint: string;
  readonly result: Promise<T>;
}

export class DeploysUnderWay<T> {
  readonly #underWay = new Map<string, UnderWay<T>>();

  /** The result that is to come, or null. Throws `conflict` for another request's. */
  find({ key, fingerprint }: DeployKey): Promise<T> | null {
    const known = this.#underWay.get(key);
    if (known === undefined) return null;
    if (known.fingerprint === fingerprint) return known.result;
    throw new WardianError('conflict', 'this idempotency key was used for another deploy');
  }

  /** Until it has settled, one way or the other. */
  add({ key, fingerprint }: DeployKey, result: Promise<T>): void {
    this.#underWay.set(key, { fingerprint, result });
    const forget = (): void => void this.#underWay.delete(key);
    result.then(forget, forget);
  }
}
