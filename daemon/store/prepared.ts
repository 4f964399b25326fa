/**
 * Statements that are prepared once for each connection: preparing costs more than the short
 * queries of this folder themselves. Their texts are few and fixed.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';

const STATEMENTS = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

export function prepared(database: DatabaseSync, sql: string): StatementSync {
  let known = STATEMENTS.get(database);
  if (known === undefined) {
    known = new Map();
    STATEMENTS.set(database, known);
  }
  let statement = known.get(sql);
  if (statement === undefined) {
    statement = database.prepare(sql);
    known.set(sql, statement);
  }
  return statement;
}
