/**
 * Which ids, numbers and revisions a database has given out, so that one restored in its place
 * gives out none of them again. It may be damaged, which may be why it is replaced: what can be
 * read of it counts, and what cannot is told.
 */

import { DatabaseSync } from 'node:sqlite';

interface Reading {
  readonly table: string;
  /** Parameters: the value, what it is of. Raises, never lowers. */
  readonly apply: readonly string[];
  /** Answers `key` and `value`. */
  readonly select: string;
  /** For what that one cannot reach when it meets a damaged page. */
  readonly otherwise: readonly string[];
}

export interface GivenOut {
  readonly found: readonly { readonly apply: readonly string[];
    readonly values: ReadonlyMap<string | number, number>; }[];
  /** One line each. */
  readonly warnings: readonly string[];
  /** Why nothing could be read at all; null: what is found is of everything but `warnings`. */
  readonly unread: string | null;
}

/** From both ends: between them is only what is damaged. */
const byId = (columns: string, table: string): [string, string] => [
  `SELECT ${columns} FROM ${table} ORDER BY id`,
  `SELECT ${columns} FROM ${table} ORDER BY id DESC`,
];

const WITH_SEQUENCE = ['tenant', 'kv_store', 'app', 'version', 'token', 'secret'];
const SECRET_FLOOR = ['UPDATE app SET secret_floor = max(secret_floor, $value) WHERE id = $key'];

function reading(table: string, columns: string, apply: readonly string[]): Reading {
  const [select, backwards] = byId(columns, table);
  return { table, apply, select, otherwise: [backwards] };
}

const READINGS: readonly Reading[] = [
  {
    table: 'sqlite_sequence',
    apply: [
      'UPDATE sqlite_sequence SET seq = max(seq, $value) WHERE name = $key',
      `INSERT INTO sqlite_sequence (name, seq) SELECT $key, $value
       WHERE $key NOT IN (SELECT name FROM sqlite_sequence)
         AND $key IN (SELECT name FROM sqlite_schema)`,
    ],
    select: 'SELECT name AS key, seq AS value FROM sqlite_sequence',
    otherwise: WITH_SEQUENCE.map(
      (name) => `SELECT '${name}' AS key, max(id) AS value FROM ${name}`),
  },
  reading('app', 'id AS key, last_number AS value', [
    'UPDATE app SET last_number = max(last_number, $value) WHERE id = $key',
  ]),
  reading('kv_store', 'id AS key, revision AS value', [
    'UPDATE kv_store SET revision = max(revision, $value) WHERE id = $key',
  ]),
];

const SECRETS: Reading = {
  table: 'secret',
  apply: SECRET_FLOOR,
  // All of it stands in an index: pages of the table are not looked at.
  select: 'SELECT app_id AS key, number AS value FROM secret ORDER BY app_id, name, number',
  otherwise: byId('app_id AS key, number AS value', 'secret'),
};

/** An older Wardian's has no such column, and no such table. */
function readingsFor(database: DatabaseSync): readonly Reading[] {
  const has = (sql: string): boolean => Number(database.prepare(sql).get()?.['n']) > 0;
  const floor = has(
    "SELECT count(*) AS n FROM pragma_table_info('app') WHERE name = 'secret_floor'");
  const secrets = has("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'secret'");
  return [
    ...READINGS,
    ...(floor ? [reading('app', 'id AS key, secret_floor AS value', SECRET_FLOOR)] : []),
    ...(secrets ? [SECRETS] : []),
  ];
}

const reasonOf = (error: unknown): string =>
  String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? '';

/** Null, or why not all of it was read. What was read until then counts. */
function collect(
  database: DatabaseSync, sql: string, values: Map<string | number, number>,
): string | null {
  try {
    for (const { key, value } of database.prepare(sql).iterate()) {
      if (typeof key !== 'string' && typeof key !== 'number') continue;
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) continue;
      values.set(key, Math.max(value, values.get(key) ?? 0));
    }
    return null;
  } catch (error) {
    return reasonOf(error);
  }
}

/** Never throws: a database that cannot be read at all is a warning. */
export function readGivenOut(path: string): GivenOut {
  const warnings: string[] = [];
  const found: GivenOut['found'][number][] = [];
  let unread: string | null = null;
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { timeout: 1_000 });
    // Also takes in what its log still holds.
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    for (const { table, apply, select, otherwise } of readingsFor(database)) {
      const values = new Map<string | number, number>();
      const reason = collect(database, select, values);
      if (reason !== null) {
        for (const sql of otherwise) collect(database, sql, values);
        warnings.push(`the table ${table} of the database that was there cannot be read in full ` +
          `(${reason}): some of what it gave out may be given out again`);
      }
      found.push({ apply, values });
    }
  } catch (error) {
    unread = reasonOf(error);
    warnings.push(`the database that was there cannot be read (${unread}): ` +
      'ids that it gave out since the backup may be given out again');
  } finally {
    database?.close();
  }
  return { found, warnings: [...new Set(warnings)], unread };
}

/** All or nothing. */
export function raiseTo(database: DatabaseSync, { found }: Pick<GivenOut, 'found'>): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    for (const { apply, values } of found) {
      for (const sql of apply) {
        const statement = database.prepare(sql);
        for (const [key, value] of values) statement.run({ key, value });
      }
    }
    database.exec('COMMIT');
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}
