/**
 * Changes of settings, merged where they are stored: two that were made at the same time, or one
 * during the build of a deploy that makes another, are both kept.
 */

import type { AppSettings, SettingsChange } from '../../contract/deployment.ts';

/** `own` with the changes; null takes a value away. */
export function merged<T extends object>(
  own: Partial<T>, changes: Readonly<Record<string, number | null | undefined>>,
): Partial<T> {
  const result: Record<string, unknown> = { ...own };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete result[name];
    else if (value !== undefined) result[name] = value;
  }
  return result as Partial<T>;
}

export function settingsAfter(now: AppSettings, change: SettingsChange): AppSettings {
  const { sticky: stickyNow, ...rest } = now;
  const sticky = change.sticky === undefined ? stickyNow : change.sticky ?? undefined;
  return {
    ...rest,
    limits: merged(now.limits, change.limits ?? {}),
    debug: change.debug ?? now.debug,
    recycleMemory: change.recycleMemory ?? now.recycleMemory,
    ...(sticky === undefined ? {} : { sticky }),
  };
}
