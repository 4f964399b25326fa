/**
 * The database: its tables, migration by migration, and the two reads that workers make. SQLite in
 * WAL mode, one writer (the store's writer thread), any number of readers.
 */

/** The file inside the data folder. */
export const DATABASE_FILE = 'wardian.db';

/** `PRAGMA application_id`: tells our file from any other SQLite database. "Wrdn" in ASCII. */
export const APPLICATION_ID = 0x5772646e;

/**
 * Applied in order; `PRAGMA user_version` is the count applied. Never edit an entry that was
 * released: add one.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE tenant (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    suspended INTEGER NOT NULL DEFAULT 0,
    limits TEXT NOT NULL DEFAULT '{}',
    created_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE module (
    hash TEXT PRIMARY KEY,
    bytes BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE artifact (
    hash TEXT PRIMARY KEY,
    module_hash TEXT NOT NULL REFERENCES module(hash),
    -- Rewriter version, cost table version and options: what decides the artifact, with the module.
    rewrite_key TEXT NOT NULL,
    facts TEXT NOT NULL,
    bytes BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (module_hash, rewrite_key)
  ) STRICT;
  -- A key-value store. Every app has one of its own (name NULL), whose id is the app's id: ids of
  -- apps and stores come from this table's sequence alone and are never used twice, so a late
  -- reader never sees another owner's data.
  CREATE TABLE kv_store (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant(id),
    name TEXT,
    keys INTEGER NOT NULL DEFAULT 0,
    -- Of keys and values together, expired entries included until they are purged.
    bytes INTEGER NOT NULL DEFAULT 0,
    -- Counts every change; an entry's revision is the count at its last change, so none returns.
    revision INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
  ) STRICT;
  CREATE TABLE app (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant(id),
    label TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL DEFAULT '{}',
    active_version_id INTEGER REFERENCES version(id),
    -- The number of the newest version ever made; numbers are not used twice.
    last_number INTEGER NOT NULL DEFAULT 0,
    expires_at_ms INTEGER,
    generation INTEGER NOT NULL DEFAULT 1,
    created_at_ms INTEGER NOT NULL,
    -- When the active version last changed. No version of the app is collected soon after it.
    activated_at_ms INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX app_tenant ON app(tenant_id);
  CREATE INDEX app_active_version ON app(active_version_id);
  CREATE INDEX app_expiry ON app(expires_at_ms) WHERE expires_at_ms IS NOT NULL;
  CREATE TABLE version (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES app(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    module_hash TEXT NOT NULL REFERENCES module(hash),
    artifact_hash TEXT NOT NULL REFERENCES artifact(hash),
    language TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (app_id, number)
  ) STRICT;
  CREATE INDEX version_module ON version(module_hash);
  CREATE INDEX version_artifact ON version(artifact_hash);
  CREATE TABLE host (
    host TEXT PRIMARY KEY,
    app_id INTEGER NOT NULL REFERENCES app(id) ON DELETE CASCADE
  ) STRICT;
  CREATE INDEX host_app ON host(app_id);
  -- The value comes last: the columns before it are read without following the overflow pages of a
  -- large value. Not WITHOUT ROWID: with values of 1 KB that was 4 to 6 times slower.
  CREATE TABLE kv (
    store_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    expires_at_ms INTEGER,
    value BLOB NOT NULL,
    PRIMARY KEY (store_id, key)
  ) STRICT;
  CREATE INDEX kv_expiry ON kv(expires_at_ms) WHERE expires_at_ms IS NOT NULL;
  -- Stores that are gone but whose entries are still being removed, a few at a time.
  CREATE TABLE kv_garbage (store_id INTEGER PRIMARY KEY) STRICT;
  `,
  `
  ALTER TABLE tenant ADD COLUMN quotas TEXT NOT NULL DEFAULT '{}';
  CREATE TABLE token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- NULL: the operator's.
    tenant_id INTEGER REFERENCES tenant(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    -- SHA-256 of the token, hex. It has 256 random bits: nothing slower is needed.
    hash TEXT NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    last_used_at_ms INTEGER
  ) STRICT;
  CREATE INDEX token_tenant ON token(tenant_id);
  -- A namespace (a kv_store with a name) under the name by which an app knows it.
  CREATE TABLE binding (
    app_id INTEGER NOT NULL REFERENCES app(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    store_id INTEGER NOT NULL REFERENCES kv_store(id) ON DELETE CASCADE,
    PRIMARY KEY (app_id, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX binding_store ON binding(store_id);
  -- Several versions at once. No rows: the active version serves all requests.
  CREATE TABLE split (
    app_id INTEGER NOT NULL REFERENCES app(id) ON DELETE CASCADE,
    version_id INTEGER NOT NULL REFERENCES version(id),
    weight INTEGER NOT NULL,
    PRIMARY KEY (app_id, version_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX split_version ON split(version_id);
  CREATE TABLE env (
    app_id INTEGER NOT NULL REFERENCES app(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (app_id, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE secret (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES app(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    -- Which key it is sealed with, and nonce, ciphertext and tag: see sealed.ts.
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    effective_at_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (app_id, name, number)
  ) STRICT;
  CREATE INDEX secret_key ON secret(key_id);
  `,
  `
  -- Numbers of secrets' versions that were removed are at most this: none is given out twice.
  ALTER TABLE app ADD COLUMN secret_floor INTEGER NOT NULL DEFAULT 0;
  -- When it last began to serve requests of its app; NULL: never, apart from its preview host.
  ALTER TABLE version ADD COLUMN served_at_ms INTEGER;
  -- Of those that are there already nobody knows: they count as having served.
  UPDATE version SET served_at_ms = created_at_ms;
  -- What a deploy under an idempotency key has made: whoever asks again gets the same.
  CREATE TABLE deploy_key (
    tenant_id INTEGER NOT NULL REFERENCES tenant(id) ON DELETE CASCADE,
    -- SHA-256 of whose token it came with, the app's label and the key itself, hex.
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    version_id INTEGER NOT NULL REFERENCES version(id) ON DELETE CASCADE,
    warnings TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX deploy_key_version ON deploy_key(version_id);
  CREATE INDEX deploy_key_age ON deploy_key(tenant_id, created_at_ms);
  `,
  `
  -- Bytes of modules and artifacts whose rows can be neither read nor replaced, as a page of theirs
  -- is damaged: they count in place of the row's.
  CREATE TABLE mended (
    hash TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
  ) STRICT;
  `,
  `
  -- A key outlives its version, which may be collected within the day that the key counts: whoever
  -- asks again must not deploy a second time. It goes with its app.
  CREATE TABLE kept_key (
    tenant_id INTEGER NOT NULL REFERENCES tenant(id) ON DELETE CASCADE,
    -- As before.
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    app_id INTEGER NOT NULL REFERENCES app(id) ON DELETE CASCADE,
    -- The version that it made, and its row while that is there.
    number INTEGER NOT NULL,
    version_id INTEGER REFERENCES version(id) ON DELETE SET NULL,
    warnings TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO kept_key
    SELECT tenant_id, key, fingerprint, app_id, number, version_id, warnings,
      deploy_key.created_at_ms
    FROM deploy_key JOIN version ON version.id = version_id;
  DROP TABLE deploy_key;
  ALTER TABLE kept_key RENAME TO deploy_key;
  CREATE INDEX deploy_key_app ON deploy_key(app_id);
  CREATE INDEX deploy_key_version ON deploy_key(version_id);
  CREATE INDEX deploy_key_age ON deploy_key(tenant_id, created_at_ms);
  `,
  `
  -- Key and facts that count in place of those in an artifact's row: of one that cannot be written,
  -- or whose key such a one still has. Facts that are NULL are those of the row.
  CREATE TABLE mended_artifact (
    hash TEXT PRIMARY KEY,
    module_hash TEXT NOT NULL,
    rewrite_key TEXT NOT NULL,
    facts TEXT,
    UNIQUE (module_hash, rewrite_key)
  ) STRICT;
  `,
];

/** The bytes of a row of `module` or `artifact`, as SQL: damaged ones are not even looked at. */
export const bytesOf = (table: 'module' | 'artifact'): string =>
  `coalesce((SELECT bytes FROM mended WHERE mended.hash = ${table}.hash), ${table}.bytes)`;

/** `rewrite_key` or `facts` of a row of `artifact`, as SQL. */
export const artifactHas = (column: 'rewrite_key' | 'facts'): string => `coalesce(
  (SELECT ${column} FROM mended_artifact WHERE mended_artifact.hash = artifact.hash),
  artifact.${column})`;

/** Parameters: a module's hash and a key. The hash of what the rewriter has made of it. */
export const SELECT_ARTIFACT_OF = `
  SELECT hash FROM mended_artifact WHERE module_hash = ?1 AND rewrite_key = ?2
  UNION ALL
  SELECT hash FROM artifact WHERE module_hash = ?1 AND rewrite_key = ?2
    AND NOT EXISTS (SELECT 1 FROM mended_artifact WHERE mended_artifact.hash = artifact.hash)
  LIMIT 1`;

/** Parameter: version id. What a worker needs to serve a version. */
export const SELECT_SERVED_VERSION = `
  SELECT version.id AS version_id, app.id AS app_id, app.tenant_id, app.label, app.settings,
    app.generation,
    tenant.limits AS tenant_limits, tenant.name AS tenant_name, artifact.hash AS artifact_hash,
    ${artifactHas('facts')} AS facts, ${bytesOf('artifact')} AS bytes
  FROM version
  JOIN app ON app.id = version.app_id
  JOIN tenant ON tenant.id = app.tenant_id
  JOIN artifact ON artifact.hash = version.artifact_hash
  WHERE version.id = ?`;

/** Parameters: store id, key. An entry that has expired is not found, purged or not. */
export const SELECT_KV_VALUE = `
  SELECT value FROM kv WHERE store_id = ? AND key = ?
    AND (expires_at_ms IS NULL OR expires_at_ms > unixepoch('subsec') * 1000)`;

/** Parameters: store id, key. */
export const SELECT_KV_ENTRY = `
  SELECT value, revision, expires_at_ms FROM kv WHERE store_id = ? AND key = ?
    AND (expires_at_ms IS NULL OR expires_at_ms > unixepoch('subsec') * 1000)`;

/**
 * A page of keys in byte order. Parameters: store id, first key, key after the last, count; the
 * keys come from `keyRange`.
 */
export const SELECT_KV_KEYS = `
  SELECT key, length(value) AS size, revision, expires_at_ms FROM kv
  WHERE store_id = ? AND key >= ? AND key < ?
    AND (expires_at_ms IS NULL OR expires_at_ms > unixepoch('subsec') * 1000)
  ORDER BY key LIMIT ?`;

/** Parameter: app id. The stores that the app knows by name. */
export const SELECT_BINDINGS = 'SELECT name, store_id FROM binding WHERE app_id = ?';

/** Parameter: app id. */
export const SELECT_ENV = 'SELECT name, value FROM env WHERE app_id = ? ORDER BY name';

/** Parameters: app id, name, milliseconds since the epoch: the sealed value in effect then. */
export const SELECT_SECRET = `
  SELECT number, key_id, sealed, effective_at_ms FROM secret
  WHERE app_id = ? AND name = ? AND effective_at_ms <= ?
  ORDER BY effective_at_ms DESC, number DESC LIMIT 1`;
