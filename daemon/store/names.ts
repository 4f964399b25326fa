/**
 * The names that the store accepts: labels of apps, custom hosts, tenants. Whoever asks has checked
 * them already; the store checks again, because what it keeps is trusted from then on.
 */

import { TENANT_QUOTAS_DEFAULT } from '../../contract/deployment.ts';
import type { SettingsChange, TenantQuotas } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import {
  ENV_NAME_LENGTH_MAX, HOST_LENGTH_MAX, KV_VALUE_BYTES_MAX, LABEL_LENGTH_MAX,
  REQUEST_LIMITS_DEFAULT, TENANT_NAME_LENGTH_MAX,
} from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';

const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const TENANT = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/;

/** A DNS label in lower case. `--` is kept for the preview hosts of versions. */
export function assertLabel(label: string): void {
  const fits = typeof label === 'string' && label.length <= LABEL_LENGTH_MAX;
  if (fits && LABEL.test(label) && !label.includes('--')) return;
  throw new WardianError(
    'bad_name',
    `a name has 1 to ${LABEL_LENGTH_MAX} of a-z, 0-9 and -, no -- and no - at either end`,
  );
}

export function assertHost(host: string): void {
  const fits = typeof host === 'string' && host.length <= HOST_LENGTH_MAX;
  const labels = fits ? host.split('.') : [];
  if (labels.length > 0 && labels.every((l) => l.length <= LABEL_LENGTH_MAX && LABEL.test(l))) {
    return;
  }
  throw new WardianError('bad_name', 'a host is a DNS name in lower case, without port');
}

export function assertTenantName(name: string): void {
  const fits = typeof name === 'string' && name.length <= TENANT_NAME_LENGTH_MAX;
  if (fits && TENANT.test(name)) return;
  throw new WardianError(
    'bad_name',
    `a tenant's name has 1 to ${TENANT_NAME_LENGTH_MAX} of a-z, 0-9, ., _ and -`,
  );
}

/** Of namespaces, of bindings to them and of tokens. */
export function assertName(name: string, what: string, lengthMax: number): void {
  if (typeof name === 'string' && name.length <= lengthMax && NAME.test(name)) return;
  throw new WardianError(
    'bad_name', `${what} has 1 to ${lengthMax} of a-z, A-Z, 0-9, ., _ and -`);
}

/** Of environment variables and secrets. */
export function assertVariable(name: string): void {
  if (typeof name === 'string' && name.length <= ENV_NAME_LENGTH_MAX && VARIABLE.test(name)) {
    return;
  }
  throw new WardianError(
    'bad_name',
    `a variable has 1 to ${ENV_NAME_LENGTH_MAX} of A-Z, a-z, 0-9 and _, no digit first`,
  );
}

export function assertQuotas(quotas: Partial<TenantQuotas>): void {
  for (const [name, value] of Object.entries(quotas)) {
    if (!Object.hasOwn(TENANT_QUOTAS_DEFAULT, name)) {
      throw new WardianError('bad_argument', `${name.slice(0, 64)} is not a quota`);
    }
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new WardianError('bad_argument', `${name} must be a whole number, 0 or more`);
    }
  }
  if ((quotas.valueBytes ?? 0) > KV_VALUE_BYTES_MAX) {
    throw new WardianError('bad_argument', `valueBytes is at most ${KV_VALUE_BYTES_MAX}`);
  }
}

/** Every limit must be a known one and a whole number, 0 or more. */
export function assertLimits(limits: Partial<RequestLimits>): void {
  for (const [name, value] of Object.entries(limits)) {
    if (!Object.hasOwn(REQUEST_LIMITS_DEFAULT, name)) {
      throw new WardianError('bad_argument', `${name.slice(0, 64)} is not a limit`);
    }
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new WardianError('bad_argument', `${name} must be a whole number, 0 or more`);
    }
  }
}

/** Null takes a limit away. */
export function assertSettings({ limits = {} }: SettingsChange): void {
  assertLimits(Object.fromEntries(
    Object.entries(limits).map(([name, value]) => [name, value ?? 0])));
}

/** Null: never. */
export function assertTime(atMs: number | null): void {
  if (atMs === null || (Number.isSafeInteger(atMs) && atMs >= 0)) return;
  throw new WardianError('bad_argument', 'a time is in milliseconds since the epoch');
}
