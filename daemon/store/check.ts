/**
 * Whether what is on the disk is whole, table by table: a small database before it is opened, of a
 * large one what the control plane needs to start, and the rest of it while it serves.
 */

import type { DatabaseSync } from 'node:sqlite';

/** What the control plane needs to start; small whatever the tenants store. */
export const CONTROL_TABLES: readonly string[] = [
  'tenant', 'app', 'version', 'host', 'kv_store', 'token', 'binding', 'split',
];

/** What one app's guests read: its damage is told, and keeps nobody else from being served. */
export const LATER_TABLES: readonly string[] = ['env', 'secret'];

/** Lines of the first findings; empty when all is well. A table that is not there yet is well. */
export function findingsOf(
  database: DatabaseSync, file: string, tables: readonly string[] | null,
): string[] {
  const known = new Set(database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .all().map((row) => String(row['name'])));
  const checks = tables === null
    ? ['quick_check(1)']
    : tables.filter((table) => known.has(table)).map((table) => `quick_check('${table}')`);
  const findings: string[] = [];
  for (const check of checks) {
    const row = database.prepare(`PRAGMA ${check}`).get();
    const finding = row === undefined ? 'no answer' : String(Object.values(row)[0]);
    if (finding === 'ok') continue;
    const line = finding.split('\n').find((text) => text !== '') ?? finding;
    findings.push(`${file} is damaged: ${line.slice(0, 200)}`);
  }
  return findings;
}
