/** Request limits as the admin API takes them: within the bounds of the operator's settings. */

import * as z from 'zod';

import { WardianError } from '../../contract/errors.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import { limitSchemas } from '../config.ts';

const optional = Object.entries(limitSchemas).map(([name, schema]) => [name, schema.optional()]);
const nullable = Object.entries(limitSchemas)
  .map(([name, schema]) => [name, schema.nullable().optional()]);

export const limitsView: z.ZodType<Partial<RequestLimits>> =
  z.strictObject(Object.fromEntries(optional));
export type LimitChanges = Partial<Record<keyof RequestLimits, number | null>>;
export const limitChanges: z.ZodType<LimitChanges> =
  z.strictObject(Object.fromEntries(nullable))
    .meta({ description: 'Null: as the tenant or the operator has it' });

/** Throws `bad_argument` for the first limit above what the app's tenant may have. */
export function assertWithin(limits: LimitChanges, ceiling: RequestLimits): void {
  for (const [name, value] of Object.entries(limits)) {
    const most = ceiling[name as keyof RequestLimits];
    if (value === null || value <= most) continue;
    throw new WardianError('bad_argument', `limits.${name}: this tenant may have at most ${most}`);
  }
}
