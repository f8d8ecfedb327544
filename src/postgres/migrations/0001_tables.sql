-- Schema 1: tables and views. An at sign before a name stands for the schema and a dot.
--
-- 64-bit unsigned numbers (nonces, counters) are stored as the signed number of the same bits; times are nanoseconds
-- since 1970, 0 is "never". There are no foreign keys: a check of one locks the row that it points to, and jobs must
-- not wait for that. Names are compared by bytes.

CREATE TABLE @meta (
  name  text COLLATE "C" PRIMARY KEY,
  value text COLLATE "C" NOT NULL
);
INSERT INTO @meta (name, value) VALUES ('sweep_cursor', '');

-- Sequences: raising one locks nothing, whatever transaction a host does it in.
CREATE SEQUENCE @epoch;
SELECT pg_catalog.nextval('@epoch');
CREATE SEQUENCE @enqueue_counter;
SELECT pg_catalog.nextval('@enqueue_counter');

CREATE TABLE @catalogs (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name         text COLLATE "C" NOT NULL UNIQUE,
  target_space text COLLATE "C" NOT NULL DEFAULT '',  -- what passes write; '': not chosen yet
  search_space text COLLATE "C" NOT NULL DEFAULT '',  -- what searches read
  flips        bigint NOT NULL DEFAULT 0              -- how often searches have moved to another space
);
-- Answers "which catalogs have another target?" without reading those that have not.
CREATE INDEX catalogs_target ON @catalogs (target_space);

CREATE TABLE @spaces (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  catalog_id bigint NOT NULL,
  name       text COLLATE "C" NOT NULL,
  UNIQUE (catalog_id, name)
);

-- How the vectors of a space are made, as --embedder names it, without a key. The space '' is one that nobody knew yet.
CREATE TABLE @embedders (
  catalog_id bigint NOT NULL,
  space      text COLLATE "C" NOT NULL,
  spec       text NOT NULL,
  PRIMARY KEY (catalog_id, space)
);

-- A key outlives its jobs and its removal, so that its counters never go back.
CREATE TABLE @keys (
  id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  catalog_id           bigint NOT NULL,
  generation           bigint NOT NULL DEFAULT 0,
  fence_counter        bigint NOT NULL DEFAULT 0,
  holder_nonce         bigint NOT NULL DEFAULT 0,
  reuse_floor          bigint NOT NULL DEFAULT 0,
  last_success_at      bigint NOT NULL DEFAULT 0,
  visible_manifest_id  bigint NOT NULL DEFAULT 0,  -- 0: nothing is visible
  visible_space_id     bigint,
  -- While a switch is under way: what searches read of a spec that shows the new space already. Of use only until the
  -- next flip.
  searched_manifest_id bigint NOT NULL DEFAULT 0,
  searched_flip        bigint NOT NULL DEFAULT 0,
  operation_count      bigint NOT NULL DEFAULT 0,
  updated_at           bigint NOT NULL DEFAULT 0,
  removed              boolean NOT NULL DEFAULT false,
  has_spec             boolean NOT NULL DEFAULT false,  -- there is a document, or rows, or both
  spec_name            text COLLATE "C" NOT NULL,
  UNIQUE (catalog_id, spec_name)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- Answers "does a spec of this catalog still show another space than the target?" without reading the specs.
CREATE INDEX keys_visible ON @keys (catalog_id, visible_space_id) WHERE visible_space_id IS NOT NULL;

CREATE TABLE @documents (
  key_id  bigint PRIMARY KEY,
  version text COLLATE "C" NOT NULL,
  content bytea NOT NULL
);

-- Open jobs alone: those that end leave for the history, so that the claim's table stays small. NULL stands for 0, ''
-- and false (in fewest_missing for -1): most jobs have nothing to say there, and a row that is not there is not written
-- to the log either.
CREATE TABLE @jobs (
  id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key_id             bigint NOT NULL UNIQUE,  -- at most one open job a key
  catalog_id         bigint NOT NULL,         -- of the key
  next_run_at        bigint NOT NULL,
  created_at         bigint NOT NULL,
  updated_at         bigint NOT NULL,
  generation         bigint NOT NULL,
  kind               smallint NOT NULL,
  status             smallint NOT NULL,  -- 0 pending, 1 running, 2 succeeded, 3 failed, 4 cancelled
  priority           smallint NOT NULL,  -- 0 urgent, 1 patient
  settled            boolean,
  progressed         boolean,
  records_in_flight  boolean,
  started_at         bigint,
  completed_at       bigint,
  attempts           bigint,
  embedded_so_far    bigint,
  reused_count       bigint,
  embedded_count     bigint,
  operation_count    bigint,
  fence_counter      bigint,
  fence_nonce        bigint,
  epoch              bigint,
  errors_in_row      bigint,
  crashes_in_row     bigint,
  releases_in_row  bigint,
  crashes            bigint,
  fewest_missing     bigint,
  paused_since       bigint,
  prompt_tokens      bigint,  -- of all passes
  pass_prompt_tokens bigint,  -- of the last one
  worker_id          text,
  provider           text,  -- of the last claim
  last_error         text
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);
-- fillfactor: a claim makes each row longer, and where the new one stays on its page, the old one need not be locked
-- for the log first. Each index costs every enqueue and every claim: these two are all, and who wants the oldest of
-- both looks into both.
CREATE INDEX jobs_urgent ON @jobs (next_run_at, id) WHERE status = 0 AND priority = 0;
CREATE INDEX jobs_patient ON @jobs (next_run_at, id) WHERE status = 0 AND priority = 1;

-- One row a running job. Apart from the job, so that a heartbeat waits for nobody who writes the job, and touches no
-- index. By nonce: a claim that is sent again finds its leases, and what ended leases leave in the index is in no other
-- claim's way.
CREATE TABLE @leases (
  fence_nonce   bigint NOT NULL,
  job_id        bigint NOT NULL,
  fence_counter bigint NOT NULL,
  lease_until   bigint NOT NULL,  -- decides
  expires_at    bigint NOT NULL,  -- for people
  PRIMARY KEY (fence_nonce, job_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);

-- Ended jobs, in a partition a day, so that retention drops a day and deletes no rows. What has no day of its own yet,
-- and the few that retention keeps, are in history_rest.
CREATE TABLE @history (LIKE @jobs, PRIMARY KEY (id, completed_at)) PARTITION BY RANGE (completed_at);
CREATE INDEX history_by_key ON @history (key_id, id);
CREATE INDEX history_unsuccessful ON @history (status, id) WHERE status <> 2;
-- Jobs are added in the order in which they end: a summary of each few pages finds the old ones, and costs an insert
-- nothing.
CREATE INDEX history_ended ON @history USING brin (completed_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE TABLE @history_rest PARTITION OF @history DEFAULT;

-- Counting ten million rows each time would be a scan, so the counts are kept: those of open jobs (status 0, pending
-- or running), and of ended ones by status. A count is the sum of its rows. Who changes it adds a row and waits for
-- nobody; now and then the rows are added up (kAddUpCounts in src/postgres/history.cpp). No index: the rows are few.
CREATE TABLE @job_counts (
  status smallint NOT NULL,
  count  bigint NOT NULL
);

CREATE TABLE @in_flight (
  job_id    bigint NOT NULL,
  text_hash bytea NOT NULL,
  alone     bigint NOT NULL,
  strikes   bigint NOT NULL,
  sent      boolean NOT NULL,
  suspect   boolean NOT NULL,
  set_aside boolean NOT NULL,
  PRIMARY KEY (job_id, text_hash)
);

-- A key's record of failing. The last success is the key's.
CREATE TABLE @failures (
  key_id          bigint PRIMARY KEY,
  occurrences     bigint NOT NULL,
  first_failed_at bigint NOT NULL,
  last_failed_at  bigint NOT NULL,
  resolved        boolean NOT NULL,
  last_error      text NOT NULL
);
CREATE INDEX failures_open ON @failures (last_failed_at) WHERE NOT resolved;

-- An endpoint with a model, as workers have found it.
CREATE TABLE @providers (
  name         text COLLATE "C" PRIMARY KEY,
  space        text COLLATE "C" NOT NULL DEFAULT '',
  batch_texts  bigint NOT NULL DEFAULT 0,  -- 0: no limit was met
  batch_bytes  bigint NOT NULL DEFAULT 0,
  paused_until bigint NOT NULL DEFAULT 0,
  pause_reason text NOT NULL DEFAULT '',
  tokens_total bigint NOT NULL DEFAULT 0,
  tokens_today bigint NOT NULL DEFAULT 0,  -- of token_day, days since 1970, UTC
  token_day    bigint NOT NULL DEFAULT 0,
  updated_at   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Vectors are addressed by content: (space, SHA-256 of the text). A row changes with its vector only, so that no index
-- of vectors is touched otherwise. The vectors' type is chosen here, once: pgvector's where the server has it and this
-- role may have it, else real[]. Without a dimension, since spaces differ in it.
DO $$
DECLARE
  wanted text := '@vectors_wanted';
  chosen text;
BEGIN
  IF wanted <> 'real' AND EXISTS (SELECT FROM pg_catalog.pg_available_extensions AS a
      WHERE a.name = 'vector' AND a.installed_version IS NULL) THEN
    BEGIN
      SET LOCAL search_path TO DEFAULT;  -- it goes where the role's extensions go, but not here: it serves others too
      IF current_schema() = '@schema_name' THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
      ELSE
        CREATE EXTENSION IF NOT EXISTS vector;
      END IF;
      SET LOCAL search_path = pg_catalog, pg_temp;
    EXCEPTION
      -- No right to it; no schema to put it into; or another session has just made it.
      WHEN insufficient_privilege OR invalid_schema_name OR unique_violation OR duplicate_object THEN NULL;
    END;
  END IF;
  IF wanted <> 'real' THEN
    SELECT pg_catalog.format('%I.%I', n.nspname, t.typname) INTO chosen
      FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_type AS t ON t.typnamespace = e.extnamespace
      JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
      WHERE e.extname = 'vector' AND t.typname = CASE wanted WHEN 'auto' THEN 'vector' ELSE wanted END
        AND has_schema_privilege(n.oid, 'USAGE');
    IF chosen IS NULL AND wanted <> 'auto' THEN
      RAISE EXCEPTION 'the option vectors=% needs the extension pgvector (halfvec: 0.7 or newer): install it,'
        ' let a role that may do so run CREATE EXTENSION vector, and grant this role USAGE on its schema,'
        ' or leave the option out', wanted
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
  END IF;
  IF chosen IS NULL AND wanted = 'auto' THEN
    RAISE NOTICE 'vectors are kept as real[]: the extension vector is not there, or this role may not create it,'
      ' or not use its schema';
  END IF;
  EXECUTE pg_catalog.format('CREATE TABLE @vectors ('
    'space_id bigint NOT NULL, text_hash bytea NOT NULL, epoch bigint NOT NULL, embedded_bytes bigint NOT NULL,'
    ' input_cap bigint NOT NULL, vector %s NOT NULL, PRIMARY KEY (space_id, text_hash))', coalesce(chosen, 'real[]'));
END
$$;
ALTER TABLE @vectors ALTER COLUMN vector SET STORAGE EXTERNAL;  -- compressing vectors takes time and saves nothing

-- Since when nothing has pointed to a vector, as the sweep found it.
CREATE TABLE @unreferenced (
  space_id  bigint NOT NULL,
  text_hash bytea NOT NULL,
  since     bigint NOT NULL,
  PRIMARY KEY (space_id, text_hash)
);

-- Texts that a pass is about to embed, so that no other pass of the catalog embeds them too. Of use while the key has
-- this fence.
CREATE TABLE @reservations (
  space_id      bigint NOT NULL,
  text_hash     bytea NOT NULL,
  key_id        bigint NOT NULL,
  fence_counter bigint NOT NULL,
  fence_nonce   bigint NOT NULL,
  PRIMARY KEY (space_id, text_hash)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE @manifests (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key_id           bigint NOT NULL,
  space_id         bigint NOT NULL,
  row_count        bigint NOT NULL DEFAULT 0,
  flip             bigint NOT NULL,            -- of the catalog, when it was made: an old one is not used again
  fence_counter    bigint NOT NULL DEFAULT 0,  -- being built: by whom
  fence_nonce      bigint NOT NULL DEFAULT 0,
  state            smallint NOT NULL,          -- 0 live, 1 being built, 2 replaced: the sweep deletes it
  complete         boolean NOT NULL DEFAULT false,  -- it was finalized
  content_version  text COLLATE "C" NOT NULL DEFAULT '',
  splitter_version text COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX manifests_live ON @manifests (key_id, space_id) WHERE state = 0;
CREATE INDEX manifests_by_key ON @manifests (key_id);

CREATE TABLE @operations (
  manifest_id  bigint NOT NULL,
  operation_id bytea NOT NULL,  -- a host's may be any bytes
  text_hash    bytea NOT NULL,
  PRIMARY KEY (manifest_id, operation_id)
);
-- For the sweep: does anything point to this text?
CREATE INDEX operations_by_text ON @operations (text_hash);

-- Every job, open or ended. The columns of both parts have the same types: only then does the planner merge their
-- indices in order.
CREATE VIEW @open_jobs AS
SELECT j.id, j.key_id, j.catalog_id, j.next_run_at, j.created_at, j.updated_at, j.started_at, j.completed_at,
  j.attempts, j.embedded_so_far, j.reused_count, j.embedded_count, j.operation_count, j.generation,
  j.fence_counter, j.fence_nonce, j.epoch, j.errors_in_row, j.crashes_in_row, j.releases_in_row, j.crashes,
  j.fewest_missing, j.paused_since, j.kind, j.status, j.priority, j.settled, j.progressed, j.records_in_flight,
  j.worker_id, j.last_error, j.provider, j.prompt_tokens, j.pass_prompt_tokens,
  coalesce((SELECT l.expires_at FROM @leases AS l WHERE l.fence_nonce = j.fence_nonce AND l.job_id = j.id), 0)
    AS lease_expires_at
FROM @jobs AS j;
CREATE VIEW @ended_jobs AS
SELECT h.id, h.key_id, h.catalog_id, h.next_run_at, h.created_at, h.updated_at, h.started_at, h.completed_at,
  h.attempts, h.embedded_so_far, h.reused_count, h.embedded_count, h.operation_count, h.generation,
  h.fence_counter, h.fence_nonce, h.epoch, h.errors_in_row, h.crashes_in_row, h.releases_in_row, h.crashes,
  h.fewest_missing, h.paused_since, h.kind, h.status, h.priority, h.settled, h.progressed, h.records_in_flight,
  h.worker_id, h.last_error, h.provider, h.prompt_tokens, h.pass_prompt_tokens,
  0::bigint AS lease_expires_at
FROM @history AS h;
CREATE VIEW @all_jobs AS
SELECT * FROM @open_jobs
UNION ALL
SELECT * FROM @ended_jobs;

-- An operation id for people.
CREATE FUNCTION @shown(bytes bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN convert_from(bytes, 'UTF8');
EXCEPTION WHEN OTHERS THEN
  RETURN encode(bytes, 'escape');
END
$$;

-- For people and other tools: the visible rows with their vectors.
CREATE VIEW @visible_vectors AS
SELECT c.name AS catalog_id, k.spec_name, s.name AS space, @shown(o.operation_id) AS operation_id, o.text_hash,
  v.embedded_bytes, v.vector
FROM @keys AS k
JOIN @catalogs AS c ON c.id = k.catalog_id
JOIN @spaces AS s ON s.id = k.visible_space_id
JOIN @operations AS o ON o.manifest_id = k.visible_manifest_id
JOIN @vectors AS v ON v.space_id = k.visible_space_id AND v.text_hash = o.text_hash;
