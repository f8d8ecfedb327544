-- Schema 1. 64-bit unsigned numbers (nonces, counters) are stored as the signed number of the same bits; times are
-- nanoseconds, 0 is "never".

CREATE TABLE meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('epoch', 0), ('enqueue_counter', 0), ('sweep_cursor', '');

CREATE TABLE catalogs (
  id           INTEGER PRIMARY KEY,
  name         TEXT NOT NULL UNIQUE,
  target_space TEXT NOT NULL DEFAULT '',  -- what passes write; '': not chosen yet
  search_space TEXT NOT NULL DEFAULT '',  -- what searches read
  flips        INTEGER NOT NULL DEFAULT 0  -- how often searches have moved to another space
) STRICT;

CREATE TABLE spaces (
  id         INTEGER PRIMARY KEY,
  catalog_id INTEGER NOT NULL REFERENCES catalogs (id),
  name       TEXT NOT NULL,
  UNIQUE (catalog_id, name)
) STRICT;

-- How the vectors of a space are made, as --embedder names it, without a key. The space '' is one that nobody knew yet.
CREATE TABLE embedders (
  catalog_id INTEGER NOT NULL REFERENCES catalogs (id),
  space      TEXT NOT NULL,
  spec       TEXT NOT NULL,
  PRIMARY KEY (catalog_id, space)
) STRICT, WITHOUT ROWID;

-- A key outlives its jobs and its removal, so that its counters never go back.
CREATE TABLE keys (
  id                  INTEGER PRIMARY KEY,
  catalog_id          INTEGER NOT NULL REFERENCES catalogs (id),
  spec_name           TEXT NOT NULL,
  generation          INTEGER NOT NULL DEFAULT 0,
  fence_counter       INTEGER NOT NULL DEFAULT 0,
  holder_nonce        INTEGER NOT NULL DEFAULT 0,
  reuse_floor         INTEGER NOT NULL DEFAULT 0,
  removed             INTEGER NOT NULL DEFAULT 0,
  has_spec            INTEGER NOT NULL DEFAULT 0,  -- there is a document, or rows, or both
  visible_manifest_id INTEGER NOT NULL DEFAULT 0,  -- 0: nothing is visible
  visible_space_id    INTEGER REFERENCES spaces (id),
  -- While a switch is under way: what searches read of a spec that shows the new space already. Of use only until the
  -- next flip.
  searched_manifest_id INTEGER NOT NULL DEFAULT 0,
  searched_flip       INTEGER NOT NULL DEFAULT 0,
  operation_count     INTEGER NOT NULL DEFAULT 0,
  updated_at          INTEGER NOT NULL DEFAULT 0,
  UNIQUE (catalog_id, spec_name)
) STRICT;
-- Answers "does a spec of this catalog still show another space than the target?" without reading the specs.
CREATE INDEX keys_visible ON keys (catalog_id, visible_space_id) WHERE visible_space_id IS NOT NULL;

CREATE TABLE documents (
  key_id  INTEGER PRIMARY KEY REFERENCES keys (id),
  version TEXT NOT NULL,
  content BLOB NOT NULL  -- last, so that listing versions does not read contents
) STRICT;

CREATE TABLE jobs (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  key_id            INTEGER NOT NULL REFERENCES keys (id),
  catalog_id        INTEGER NOT NULL,  -- of the key; here so that the claim's indexes can cover it
  kind              INTEGER NOT NULL,
  status            INTEGER NOT NULL,  -- 0 pending, 1 running, 2 succeeded, 3 failed, 4 cancelled
  priority          INTEGER NOT NULL,
  attempts          INTEGER NOT NULL,
  last_error        TEXT NOT NULL,
  next_run_at       INTEGER NOT NULL,
  worker_id         TEXT NOT NULL,
  lease_expires_at  INTEGER NOT NULL,  -- wall clock, for people
  created_at        INTEGER NOT NULL,
  updated_at        INTEGER NOT NULL,
  started_at        INTEGER NOT NULL,
  completed_at      INTEGER NOT NULL,
  embedded_so_far   INTEGER NOT NULL,
  reused_count      INTEGER NOT NULL,
  embedded_count    INTEGER NOT NULL,
  operation_count   INTEGER NOT NULL,
  generation        INTEGER NOT NULL,
  fence_counter     INTEGER NOT NULL,
  fence_nonce       INTEGER NOT NULL,
  settled           INTEGER NOT NULL,
  epoch             INTEGER NOT NULL,
  errors_in_row     INTEGER NOT NULL,
  crashes_in_row    INTEGER NOT NULL,
  releases_in_row INTEGER NOT NULL,
  crashes           INTEGER NOT NULL,
  fewest_missing    INTEGER NOT NULL,
  progressed        INTEGER NOT NULL,
  paused_since      INTEGER NOT NULL,
  records_in_flight INTEGER NOT NULL,
  provider          TEXT NOT NULL,     -- of the last claim
  prompt_tokens     INTEGER NOT NULL,  -- of all passes
  pass_prompt_tokens INTEGER NOT NULL, -- of the last one
  lease_boot_id     TEXT NOT NULL,     -- decides expiry, with the next three; '': the boot can't be told
  lease_boot_time   INTEGER NOT NULL,  -- CLOCK_BOOTTIME at which the lease ends
  lease_holder      TEXT NOT NULL,     -- identity of the process that holds it
  lease_length      INTEGER NOT NULL DEFAULT 0
) STRICT;
-- At most one open job a key; also finds open jobs by catalog.
CREATE UNIQUE INDEX jobs_open ON jobs (catalog_id, key_id) WHERE status <= 1;
-- The claim reads these alone, however many finished jobs there are. The status is in them because SQLite looks at it
-- again.
CREATE INDEX jobs_by_priority ON jobs (priority, next_run_at, id, catalog_id, status) WHERE status = 0;
CREATE INDEX jobs_by_age ON jobs (next_run_at, id, catalog_id, status) WHERE status = 0;
CREATE INDEX jobs_running ON jobs (id) WHERE status = 1;
CREATE INDEX jobs_by_key ON jobs (key_id, id);
CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_ended ON jobs (completed_at, id) WHERE status >= 2;

-- Counting a million jobs at each look would be a scan, so the counts are kept, by the database itself.
CREATE TABLE job_counts (
  status INTEGER PRIMARY KEY,
  count  INTEGER NOT NULL
) STRICT;
INSERT INTO job_counts (status, count) VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);
CREATE TRIGGER jobs_count_insert AFTER INSERT ON jobs BEGIN
  UPDATE job_counts SET count = count + 1 WHERE status = NEW.status;
END;
CREATE TRIGGER jobs_count_delete AFTER DELETE ON jobs BEGIN
  UPDATE job_counts SET count = count - 1 WHERE status = OLD.status;
END;
CREATE TRIGGER jobs_count_update AFTER UPDATE OF status ON jobs WHEN OLD.status <> NEW.status BEGIN
  UPDATE job_counts SET count = count - 1 WHERE status = OLD.status;
  UPDATE job_counts SET count = count + 1 WHERE status = NEW.status;
END;

CREATE TABLE in_flight (
  job_id    INTEGER NOT NULL,
  text_hash BLOB NOT NULL,
  sent      INTEGER NOT NULL,
  suspect   INTEGER NOT NULL,
  alone     INTEGER NOT NULL,
  strikes   INTEGER NOT NULL,
  set_aside INTEGER NOT NULL,
  PRIMARY KEY (job_id, text_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE failures (
  key_id          INTEGER PRIMARY KEY REFERENCES keys (id),
  occurrences     INTEGER NOT NULL,
  first_failed_at INTEGER NOT NULL,
  last_failed_at  INTEGER NOT NULL,
  last_error      TEXT NOT NULL,
  last_success_at INTEGER NOT NULL,
  resolved        INTEGER NOT NULL
) STRICT;
CREATE INDEX failures_open ON failures (last_failed_at) WHERE resolved = 0;

-- An endpoint with a model, as workers have found it.
CREATE TABLE providers (
  name         TEXT NOT NULL PRIMARY KEY,
  space        TEXT NOT NULL DEFAULT '',
  batch_texts  INTEGER NOT NULL DEFAULT 0,  -- 0: no limit was met
  batch_bytes  INTEGER NOT NULL DEFAULT 0,
  paused_until INTEGER NOT NULL DEFAULT 0,
  pause_reason TEXT NOT NULL DEFAULT '',
  tokens_total INTEGER NOT NULL DEFAULT 0,
  tokens_today INTEGER NOT NULL DEFAULT 0,  -- of token_day, days since 1970, UTC
  token_day    INTEGER NOT NULL DEFAULT 0,
  updated_at   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Vectors are addressed by content. The address is apart from the blob, so that asking which texts have a vector reads
-- no vector.
CREATE TABLE vectors (
  space_id           INTEGER NOT NULL,
  text_hash          BLOB NOT NULL,
  epoch              INTEGER NOT NULL,
  embedded_bytes     INTEGER NOT NULL,
  input_cap          INTEGER NOT NULL,
  unreferenced_since INTEGER NOT NULL,
  vector_id          INTEGER NOT NULL,
  PRIMARY KEY (space_id, text_hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE vector_data (
  id     INTEGER PRIMARY KEY,
  vector BLOB NOT NULL  -- float32, little-endian
) STRICT;

-- Texts that a pass is about to embed, so that no other pass of the catalog embeds them too. Of use while the key has
-- this fence.
CREATE TABLE reservations (
  space_id      INTEGER NOT NULL,
  text_hash     BLOB NOT NULL,
  key_id        INTEGER NOT NULL,
  fence_counter INTEGER NOT NULL,
  fence_nonce   INTEGER NOT NULL,
  PRIMARY KEY (space_id, text_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE manifests (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  key_id           INTEGER NOT NULL REFERENCES keys (id),
  space_id         INTEGER NOT NULL REFERENCES spaces (id),
  state            INTEGER NOT NULL,            -- 0 live, 1 being built, 2 replaced: the sweep deletes it
  complete         INTEGER NOT NULL DEFAULT 0,  -- it was finalized
  row_count        INTEGER NOT NULL DEFAULT 0,
  flip             INTEGER NOT NULL,            -- of the catalog, when it was made: an old one is not used again
  content_version  TEXT NOT NULL DEFAULT '',
  splitter_version TEXT NOT NULL DEFAULT '',
  fence_counter    INTEGER NOT NULL DEFAULT 0,  -- being built: by whom
  fence_nonce      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX manifests_live ON manifests (key_id, space_id) WHERE state = 0;
CREATE INDEX manifests_by_key ON manifests (key_id);

CREATE TABLE operations (
  manifest_id  INTEGER NOT NULL,
  operation_id TEXT NOT NULL,
  text_hash    BLOB NOT NULL,
  PRIMARY KEY (manifest_id, operation_id)
) STRICT, WITHOUT ROWID;
-- For the sweep: does anything point to this text?
CREATE INDEX operations_by_text ON operations (text_hash);

-- For people and other tools: the visible rows with their vectors.
CREATE VIEW visible_vectors AS
SELECT c.name AS catalog_id, k.spec_name, s.name AS space, o.operation_id, o.text_hash, v.embedded_bytes, d.vector
FROM keys AS k
JOIN catalogs AS c ON c.id = k.catalog_id
JOIN spaces AS s ON s.id = k.visible_space_id
JOIN operations AS o ON o.manifest_id = k.visible_manifest_id
JOIN vectors AS v ON v.space_id = k.visible_space_id AND v.text_hash = o.text_hash
JOIN vector_data AS d ON d.id = v.vector_id;
