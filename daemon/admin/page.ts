/** Lists in pages: what every list takes, and where its next page begins. */

import * as z from 'zod';

export const PAGE_MAX = 1_000;

export const limitSchema = z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_MAX);

export const pageSchema = z.strictObject({
  limit: limitSchema,
  after: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0)
    .meta({ description: '`next` of the page before' }),
});
export type PageQuery = z.infer<typeof pageSchema>;

export const nextSchema = z.int().nullable()
  .meta({ description: 'Where the next page begins; null: the end' });

/** Of lists in the order of their names. */
export const textNextSchema = z.string().nullable()
  .meta({ description: 'Where the next page begins; null: the end' });

export function textNextOf<T>(
  page: readonly T[], limit: number, place: (last: T) => string,
): string | null {
  const last = page.at(-1);
  return page.length === limit && last !== undefined ? place(last) : null;
}

/** `place` of the last one, when there may be more. */
export function nextOf<T>(
  page: readonly T[], { limit }: PageQuery, place: (last: T) => number,
): number | null {
  const last = page.at(-1);
  return page.length === limit && last !== undefined ? place(last) : null;
}
