/**
 * The error budget: the share of requests that may fail for a fault of the platform. Failures of
 * guests do not count; they are their tenants' affair, and have alerts of their own.
 */

import { everywhere, rate, sum } from './series.ts';

/** 99.9 % of requests, over thirty days. Change it here and build again. */
export const BUDGET_RATIO = 0.001;

export const WINDOWS = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const;
export type Window = (typeof WINDOWS)[number];

/** Name of the recorded ratio of failed requests over a window. */
export const budgetRecord = (window: Window): string =>
  `job:wardian_request_failures:ratio_rate${window}`;

export function budgetExpression(window: Window): string {
  const failed = everywhere('wardian_request_failures_total', 'fault="platform"');
  const all = everywhere('wardian_requests_total');
  return `${sum(rate(failed, window), 'job')} / ${sum(rate(all, window), 'job')}`;
}

/**
 * Two windows each: the long one says that it matters, the short one that it still goes on. The
 * factors and windows are those of Google's SRE workbook, chapter 5: 2 % of a month's budget in
 * an hour, 5 % in six hours; then 10 % in a day or in three.
 */
export interface Burn {
  readonly factor: number;
  readonly long: Window;
  readonly short: Window;
}

export const FAST_BURNS: readonly Burn[] = [
  { factor: 14.4, long: '1h', short: '5m' },
  { factor: 6, long: '6h', short: '30m' },
];
export const SLOW_BURNS: readonly Burn[] = [
  { factor: 3, long: '1d', short: '2h' },
  { factor: 1, long: '3d', short: '6h' },
];
