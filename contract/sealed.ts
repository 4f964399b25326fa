/**
 * How secrets are encrypted at rest: AES-256-GCM, a fresh nonce for every value, the owner as
 * additional data, so that a sealed value copied to another app or name does not open. The daemon
 * seals; daemon and workers open. Only Node's own crypto is used.
 *
 *   sealed = nonce (12 bytes) | tag (16 bytes) | ciphertext
 */

import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

import { WardianError } from './errors.ts';

const ALGORITHM = 'aes-256-gcm';
export const SECRET_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Names a key without telling anything of it. */
export function secretKeyId(key: Uint8Array): string {
  return createHash('sha256').update('wardian secrets key').update(key).digest('hex').slice(0, 16);
}

function owner(appId: number, name: string): Buffer {
  return Buffer.from(`${appId}:${name}`);
}

/** A value for `openSecret` with the same key, app and name. */
export function sealSecret(
  key: Uint8Array, appId: number, name: string, value: Uint8Array,
): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(owner(appId, name));
  const text = Buffer.concat([cipher.update(value), cipher.final()]);
  return new Uint8Array(Buffer.concat([nonce, cipher.getAuthTag(), text]));
}

/** Throws WardianError `store_failed` for the wrong key, app or name, or a damaged value. */
export function openSecret(
  key: Uint8Array, appId: number, name: string, sealed: Uint8Array,
): Uint8Array {
  try {
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
    const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(owner(appId, name))
      .setAuthTag(tag);
    const text = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES));
    return new Uint8Array(Buffer.concat([text, decipher.final()]));
  } catch (cause) {
    throw new WardianError('store_failed', 'a secret cannot be decrypted', { cause });
  }
}
