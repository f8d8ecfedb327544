-- Schema 1. An at sign before a name stands for the schema and a dot.
--
-- 64-bit unsigned numbers (nonces, counters) are stored as the signed number of the same bits; times are nanoseconds since 1970, 0 is
-- "never". There are no foreign keys: a check of one locks the row that it points to, and jobs must not wait for that. Names are compared
-- by bytes.

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
  -- While a switch is under way: what searches read of a spec that shows the new space already. Of use only until the next flip.
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

-- Open jobs alone: those that end leave for the history, so that the claim's table stays small. NULL stands for 0, '' and false (in
-- fewest_missing for -1): most jobs have nothing to say there, and a row that is not there is not written to the log either.
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
  hand_backs_in_row  bigint,
  crashes            bigint,
  fewest_missing     bigint,
  paused_since       bigint,
  prompt_tokens      bigint,  -- of all passes
  pass_prompt_tokens bigint,  -- of the last one
  worker_id          text,
  provider           text,  -- of the last claim
  last_error         text
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);
-- fillfactor: a claim makes each row longer, and where the new one stays on its page, the old one need not be locked for the log first.
-- Each index costs every enqueue and every claim: these two are all, and who wants the oldest of both looks into both.
CREATE INDEX jobs_urgent ON @jobs (next_run_at, id) WHERE status = 0 AND priority = 0;
CREATE INDEX jobs_patient ON @jobs (next_run_at, id) WHERE status = 0 AND priority = 1;

-- One row a running job. Apart from the job, so that a heartbeat waits for nobody who writes the job, and touches no index. By nonce: a
-- claim that is sent again finds its leases, and what ended leases leave in the index is in no other claim's way.
CREATE TABLE @leases (
  fence_nonce   bigint NOT NULL,
  job_id        bigint NOT NULL,
  fence_counter bigint NOT NULL,
  lease_until   bigint NOT NULL,  -- decides
  expires_at    bigint NOT NULL,  -- for people
  PRIMARY KEY (fence_nonce, job_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);

-- Ended jobs, in a partition a day, so that retention drops a day and deletes no rows. What has no day of its own yet, and the few that
-- retention keeps, are in history_rest.
CREATE TABLE @history (LIKE @jobs, PRIMARY KEY (id, completed_at)) PARTITION BY RANGE (completed_at);
CREATE INDEX history_by_key ON @history (key_id, id);
CREATE INDEX history_unsuccessful ON @history (status, id) WHERE status <> 2;
-- Jobs are added in the order in which they end: a summary of each few pages finds the old ones, and costs an insert nothing.
CREATE INDEX history_ended ON @history USING brin (completed_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE TABLE @history_rest PARTITION OF @history DEFAULT;

-- Counting ten million rows at each look would be a scan, so the counts are kept: those of open jobs (status 0, pending or running), and of
-- ended ones by status. A count is the sum of its rows. Who changes it adds a row and waits for nobody; now and then the rows are added up
-- (kAddUpCounts in src/postgres/history.cpp). No index: the rows are few.
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

-- A unit's record of failing. The last success is the key's.
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

-- Vectors are addressed by content: (space, SHA-256 of the text). A row changes with its vector only, so that no index of vectors is
-- touched otherwise. The vectors' type is chosen here, once: pgvector's where the server has it and this role may have it, else real[].
-- Without a dimension, since spaces differ in it.
DO $$
DECLARE
  wanted text := '@vectors_wanted';
  chosen text;
BEGIN
  IF wanted <> 'real' AND EXISTS (SELECT FROM pg_catalog.pg_available_extensions AS a WHERE a.name = 'vector' AND a.installed_version IS NULL)
  THEN
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
      WHERE e.extname = 'vector' AND t.typname = CASE wanted WHEN 'auto' THEN 'vector' ELSE wanted END AND has_schema_privilege(n.oid, 'USAGE');
    IF chosen IS NULL AND wanted <> 'auto' THEN
      RAISE EXCEPTION 'the option vectors=% needs the extension pgvector (halfvec: 0.7 or newer): install it, let a role that may do so run CREATE EXTENSION vector, and grant this role USAGE on its schema, or leave the option out', wanted
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
  END IF;
  IF chosen IS NULL AND wanted = 'auto' THEN
    RAISE NOTICE 'vectors are kept as real[]: the extension vector is not there, or this role may not create it, or not use its schema';
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

-- Texts that a pass is about to embed, so that no other pass of the catalog embeds them too. Of use while the key has this fence.
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

-- Every job, open or ended. The columns of both parts have the same types: only then does the planner merge their indices in order.
CREATE VIEW @open_jobs AS
SELECT j.id, j.key_id, j.catalog_id, j.next_run_at, j.created_at, j.updated_at, j.started_at, j.completed_at, j.attempts,
  j.embedded_so_far, j.reused_count, j.embedded_count, j.operation_count, j.generation, j.fence_counter, j.fence_nonce, j.epoch,
  j.errors_in_row, j.crashes_in_row, j.hand_backs_in_row, j.crashes, j.fewest_missing, j.paused_since, j.kind, j.status, j.priority,
  j.settled, j.progressed, j.records_in_flight, j.worker_id, j.last_error, j.provider, j.prompt_tokens, j.pass_prompt_tokens,
  coalesce((SELECT l.expires_at FROM @leases AS l WHERE l.fence_nonce = j.fence_nonce AND l.job_id = j.id), 0) AS lease_expires_at
FROM @jobs AS j;
CREATE VIEW @ended_jobs AS
SELECT h.id, h.key_id, h.catalog_id, h.next_run_at, h.created_at, h.updated_at, h.started_at, h.completed_at, h.attempts,
  h.embedded_so_far, h.reused_count, h.embedded_count, h.operation_count, h.generation, h.fence_counter, h.fence_nonce, h.epoch,
  h.errors_in_row, h.crashes_in_row, h.hand_backs_in_row, h.crashes, h.fewest_missing, h.paused_since, h.kind, h.status, h.priority,
  h.settled, h.progressed, h.records_in_flight, h.worker_id, h.last_error, h.provider, h.prompt_tokens, h.pass_prompt_tokens,
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
SELECT c.name AS catalog_id, k.spec_name, s.name AS space, @shown(o.operation_id) AS operation_id, o.text_hash, v.embedded_bytes, v.vector
FROM @keys AS k
JOIN @catalogs AS c ON c.id = k.catalog_id
JOIN @spaces AS s ON s.id = k.visible_space_id
JOIN @operations AS o ON o.manifest_id = k.visible_manifest_id
JOIN @vectors AS v ON v.space_id = k.visible_space_id AND v.text_hash = o.text_hash;

-- Enqueuing, for the library and for every program that has a connection. Each of these runs in the caller's transaction: rolled back, there
-- is no job; committed, there is one, and workers are woken. The rules are those of src/core/transitions.cpp: raise_generation, new_job,
-- enqueue_open. Nobody but the owner may call them until it is granted; those with a search_path of their own run with the owner's rights.
-- A host's session keeps the plans of what they do, made perhaps while tables were small: by index, as in the library's own sessions.

CREATE FUNCTION @time_now() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000
$$;

CREATE FUNCTION @is_name(name text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(name <> '' AND octet_length(name) <= 512 AND name COLLATE "C" !~ E'[\u0001-\u001f\u007f]', false)
$$;

CREATE FUNCTION @check_name(what text, name text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF NOT @is_name(name) THEN
    RAISE EXCEPTION 'the % is empty, longer than 512 bytes, or has a control character', what USING ERRCODE = 'invalid_parameter_value';
  END IF;
END
$$;

-- As parse_space() in src/core/space.cpp: dimension/model, and ?variant where there is one.
CREATE FUNCTION @check_space(space text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  parts CONSTANT text[] := regexp_match(space COLLATE "C",
    E'^([1-9][0-9]{0,4})/([^?\u0001-\u001f\u007f]+)([?][^\u0001-\u001f\u007f]*)?$');
BEGIN
  IF parts IS NULL OR parts[1]::integer NOT BETWEEN 1 AND 65536 OR octet_length(parts[2]) > 256 OR octet_length(parts[3]) > 257 THEN
    RAISE EXCEPTION 'not a space: %: expected dimension/model', left(space, 100) USING ERRCODE = 'invalid_parameter_value';
  END IF;
END
$$;

-- Finds or makes the catalog.
CREATE FUNCTION @make_catalog(catalog text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  found_id bigint;
BEGIN
  PERFORM @check_name('catalog', catalog);
  LOOP
    SELECT c.id INTO found_id FROM @catalogs AS c WHERE c.name = catalog;
    EXIT WHEN found_id IS NOT NULL;
    INSERT INTO @catalogs (name) VALUES (catalog) ON CONFLICT (name) DO NOTHING RETURNING id INTO found_id;
    EXIT WHEN found_id IS NOT NULL;
  END LOOP;
  RETURN found_id;
END
$$;

-- Finds or makes the keys, each once, in the order of `specs`. They are locked then, but not against the writes of the passes that hold
-- them; in the order of their ids, so that two callers never wait for each other crosswise.
CREATE FUNCTION @make_keys(of_catalog bigint, specs text[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
  wanted CONSTANT text[] := ARRAY(SELECT u.name FROM unnest(specs) WITH ORDINALITY AS u (name, place) GROUP BY u.name ORDER BY min(u.place));
  ids bigint[];
BEGIN
  PERFORM @check_name('spec', u.name) FROM unnest(wanted) AS u (name);
  LOOP
    -- One look into the index for each. "= ANY" would, by a plan that was made while the table was small, read all keys of the catalog.
    ids := ARRAY(SELECT (SELECT k.id FROM @keys AS k WHERE k.catalog_id = of_catalog AND k.spec_name = u.name)
      FROM unnest(wanted) WITH ORDINALITY AS u (name, place) ORDER BY u.place);
    EXIT WHEN array_position(ids, NULL) IS NULL;
    -- By name: two who make the same keys wait for each other in one order.
    INSERT INTO @keys (catalog_id, spec_name) SELECT of_catalog, u.name FROM unnest(wanted, ids) AS u (name, id)
      WHERE u.id IS NULL ORDER BY u.name ON CONFLICT (catalog_id, spec_name) DO NOTHING;
  END LOOP;
  PERFORM 1 FROM @keys AS k WHERE k.id = ANY (ids) ORDER BY k.id FOR NO KEY UPDATE;
  RETURN ids;
END
$$;

-- Keys and jobs are looked up by "= ANY (ARRAY[...])" or scalar subqueries: a join of whole tables looks cheap to the planner if they were
-- small at the last vacuum, and plans are kept. For the same reason nothing is joined with what a statement has just written: the planner
-- takes that for one row, and a thousand would be compared with a thousand.

-- The keys are locked. A new generation of each, and its open job: a pending one becomes due now with fresh budgets, a running one is
-- pending again when its pass ends.
CREATE FUNCTION @raise_generations(of_keys bigint[], new_kind integer, at_time bigint)
RETURNS TABLE (of_key bigint, open_job bigint, is_new boolean, now_generation bigint)
LANGUAGE plpgsql AS $$
DECLARE
  new_priority CONSTANT integer := CASE WHEN new_kind = 1 THEN 1 ELSE 0 END;
  new_floor CONSTANT bigint := CASE WHEN new_kind = 2 THEN nextval('@epoch') END;
  had bigint[];  -- the open job of each key
  made bigint;
BEGIN
  IF cardinality(of_keys) = 0 THEN
    RETURN;
  END IF;
  PERFORM nextval('@enqueue_counter');
  UPDATE @keys AS k SET generation = k.generation + 1, removed = false, reuse_floor = coalesce(new_floor, k.reuse_floor)
    WHERE k.id = ANY (of_keys);
  PERFORM 1 FROM @jobs AS j WHERE j.key_id = ANY (of_keys) ORDER BY j.key_id FOR NO KEY UPDATE;
  IF FOUND THEN
    DELETE FROM @in_flight AS f USING @jobs AS j WHERE j.key_id = ANY (of_keys) AND j.status = 0
      AND (j.crashes > 0 OR j.records_in_flight) AND f.job_id = j.id;
    UPDATE @jobs AS j SET kind = new_kind, priority = least(j.priority, new_priority), updated_at = at_time
      WHERE j.key_id = ANY (of_keys) AND j.status <> 0;
    UPDATE @jobs AS j SET kind = new_kind, priority = least(j.priority, new_priority), updated_at = at_time, generation = k.generation,
      next_run_at = at_time, attempts = NULL, errors_in_row = NULL, crashes_in_row = NULL, hand_backs_in_row = NULL, crashes = NULL,
      fewest_missing = NULL, progressed = NULL, paused_since = NULL
      FROM @keys AS k WHERE j.key_id = ANY (of_keys) AND j.status = 0 AND k.id = ANY (ARRAY[j.key_id]);
  END IF;
  had := ARRAY(SELECT (SELECT j.id FROM @jobs AS j WHERE j.key_id = u.id) FROM unnest(of_keys) WITH ORDINALITY AS u (id, place)
    ORDER BY u.place);
  INSERT INTO @jobs (key_id, catalog_id, kind, status, priority, generation, next_run_at, created_at, updated_at)
    SELECT k.id, k.catalog_id, new_kind, 0, new_priority, k.generation, at_time, at_time, at_time
      FROM unnest(of_keys, had) WITH ORDINALITY AS u (id, job, place) JOIN @keys AS k ON k.id = ANY (ARRAY[u.id])
      WHERE u.job IS NULL ORDER BY u.place;
  GET DIAGNOSTICS made = ROW_COUNT;
  IF made > 0 THEN
    INSERT INTO @job_counts (status, count) VALUES (0, made);
  END IF;
  RETURN QUERY
    SELECT u.id, coalesce(u.job, (SELECT j.id FROM @jobs AS j WHERE j.key_id = u.id)), u.job IS NULL,
      (SELECT k.generation FROM @keys AS k WHERE k.id = u.id) FROM unnest(of_keys, had) AS u (id, job);
  PERFORM pg_notify('@channel', '');
END
$$;

-- For many specs at once; a name that is there twice counts once. `place`: the first place in `specs`.
CREATE FUNCTION @enqueue_at(catalog text, specs text[], new_kind integer, at_time bigint)
RETURNS TABLE (place bigint, job_id bigint, created boolean, generation bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  ids CONSTANT bigint[] := @make_keys(@make_catalog(catalog), specs);
  places CONSTANT bigint[] := ARRAY(SELECT min(u.place) FROM unnest(specs) WITH ORDINALITY AS u (name, place) GROUP BY u.name ORDER BY 1);
  wanted bigint[] := ids;
BEGIN
  IF new_kind = 1 THEN
    -- The reconciler touches no open job and no removed key.
    wanted := ARRAY(SELECT u.id FROM unnest(ids) WITH ORDINALITY AS u (id, place) JOIN @keys AS k ON k.id = ANY (ARRAY[u.id])
      WHERE NOT k.removed AND (SELECT true FROM @jobs AS j WHERE j.key_id = u.id) IS NULL ORDER BY u.place);
  END IF;
  RETURN QUERY
    SELECT u.place, r.open_job, r.is_new, r.now_generation
      FROM @raise_generations(wanted, new_kind, at_time) AS r JOIN unnest(ids, places) AS u (id, place) ON u.id = r.of_key;
  IF cardinality(wanted) < cardinality(ids) THEN
    RETURN QUERY SELECT u.place, coalesce((SELECT j.id FROM @jobs AS j WHERE j.key_id = u.id), 0), false,
      (SELECT k.generation FROM @keys AS k WHERE k.id = u.id) FROM unnest(ids, places) AS u (id, place) WHERE NOT u.id = ANY (wanted);
  END IF;
END
$$;

-- Documents of many specs, each name once.
CREATE FUNCTION @put_all_at(catalog text, specs text[], contents bytea[], target_space text, at_time bigint)
RETURNS TABLE (of_key bigint, open_job bigint, is_new boolean, now_generation bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  of_catalog bigint;
  of_keys bigint[];
BEGIN
  IF EXISTS (SELECT 1 FROM unnest(contents) AS u (content) WHERE u.content IS NULL OR octet_length(u.content) > 67108864) THEN
    RAISE EXCEPTION 'the document is NULL or longer than 64 MiB' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  of_catalog := @make_catalog(catalog);
  IF target_space <> '' THEN
    PERFORM @check_space(target_space);
    UPDATE @catalogs AS c SET target_space = put_all_at.target_space, search_space = put_all_at.target_space
      WHERE c.id = of_catalog AND c.target_space = '';
  END IF;
  of_keys := @make_keys(of_catalog, specs);
  INSERT INTO @documents AS d (key_id, version, content)
    SELECT u.id, encode(sha256(u.content), 'hex'), u.content FROM unnest(of_keys, contents) AS u (id, content)
    ON CONFLICT (key_id) DO UPDATE SET version = EXCLUDED.version, content = EXCLUDED.content WHERE d.version <> EXCLUDED.version;
  UPDATE @keys AS k SET has_spec = true, updated_at = at_time WHERE k.id = ANY (of_keys);
  RETURN QUERY SELECT * FROM @raise_generations(of_keys, 0, at_time);
END
$$;

CREATE FUNCTION @put_at(catalog text, spec text, content bytea, target_space text, at_time bigint,
  OUT job_id bigint, OUT created boolean, OUT generation bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
  SELECT p.open_job, p.is_new, p.now_generation INTO job_id, created, generation
    FROM @put_all_at(catalog, ARRAY[spec], ARRAY[content], target_space, at_time) AS p;
END
$$;

-- For hosts: SELECT * FROM embedjobs.enqueue('catalog', 'spec'); SELECT * FROM embedjobs.put_spec('catalog', 'spec', '{"openapi": ...}');
CREATE FUNCTION @enqueue(catalog text, spec text, kind text DEFAULT 'spec_write',
  OUT job_id bigint, OUT created boolean, OUT generation bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  number integer := array_position(ARRAY['spec_write', 'reconciler', 'manual_retry'], kind) - 1;
BEGIN
  IF number IS NULL THEN
    RAISE EXCEPTION 'the kind is spec_write, reconciler or manual_retry, not %', kind USING ERRCODE = 'invalid_parameter_value';
  END IF;
  SELECT e.job_id, e.created, e.generation INTO job_id, created, generation
    FROM @enqueue_at(catalog COLLATE "C", ARRAY[spec COLLATE "C"], number, @time_now()) AS e;
END
$$;

CREATE FUNCTION @put_spec(catalog text, spec text, content bytea, target_space text DEFAULT '',
  OUT job_id bigint, OUT created boolean, OUT generation bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  SELECT p.job_id, p.created, p.generation FROM @put_at(catalog COLLATE "C", spec COLLATE "C", content, target_space COLLATE "C", @time_now()) AS p
$$;

CREATE FUNCTION @put_spec(catalog text, spec text, content text, target_space text DEFAULT '',
  OUT job_id bigint, OUT created boolean, OUT generation bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  SELECT p.job_id, p.created, p.generation FROM @put_at(catalog COLLATE "C", spec COLLATE "C", convert_to(content, 'UTF8'), target_space COLLATE "C",
    @time_now()) AS p
$$;

-- The key is locked against everyone. A generation with a tombstone: the lease is revoked, the open job ends cancelled, and the unit's
-- record of failing is gone. As cancel() in src/core/transitions.cpp.
CREATE FUNCTION @cancel_key(of_key bigint, at_time bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  of_job bigint;
  of_nonce bigint;
BEGIN
  SELECT j.id, j.fence_nonce INTO of_job, of_nonce FROM @jobs AS j WHERE j.key_id = of_key FOR UPDATE;
  IF FOUND THEN
    -- history has the columns of jobs, in their order.
    UPDATE @jobs AS j SET status = 4, updated_at = at_time, completed_at = at_time, worker_id = NULL WHERE j.id = of_job;
    WITH gone AS (DELETE FROM @jobs AS j WHERE j.id = of_job RETURNING j.*) INSERT INTO @history SELECT * FROM gone;
    INSERT INTO @job_counts (status, count) VALUES (0, -1), (4, 1);
    DELETE FROM @leases AS l WHERE l.fence_nonce = of_nonce AND l.job_id = of_job;
    DELETE FROM @in_flight AS f WHERE f.job_id = of_job;
  END IF;
  DELETE FROM @failures AS f WHERE f.key_id = of_key;
  UPDATE @keys AS k SET generation = k.generation + 1, removed = true, holder_nonce = 0, reuse_floor = 0, last_success_at = 0
    WHERE k.id = of_key;
END
$$;

-- Searches follow a switch when no spec with rows shows another space than the target any more.
CREATE FUNCTION @follow_target(of_catalog bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  target_id bigint;
BEGIN
  -- Most catalogs are not switching: they are not locked.
  PERFORM 1 FROM @catalogs AS c WHERE c.id = of_catalog AND c.target_space <> c.search_space;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  -- Written and not only locked: a host's transaction with an older snapshot, to which another spec still shows the old space, must not think
  -- itself not the last one. It fails with a serialization error instead.
  UPDATE @catalogs AS c SET flips = c.flips WHERE c.id = of_catalog AND c.target_space <> c.search_space;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT s.id INTO target_id FROM @spaces AS s JOIN @catalogs AS c ON c.id = s.catalog_id AND c.target_space = s.name
    WHERE c.id = of_catalog;
  target_id := coalesce(target_id, 0);
  -- Two ranges of the index keys_visible, where <> would read every spec of the catalog. The number of the flip is what ends the use of the
  -- specs' older manifests: a flip is one row, whatever the size of the catalog.
  UPDATE @catalogs AS c SET search_space = c.target_space, flips = c.flips + 1 WHERE c.id = of_catalog
    AND NOT EXISTS (SELECT 1 FROM @keys AS k JOIN @manifests AS m ON m.id = k.visible_manifest_id
      WHERE k.catalog_id = of_catalog AND k.visible_space_id < target_id AND m.row_count > 0)
    AND NOT EXISTS (SELECT 1 FROM @keys AS k JOIN @manifests AS m ON m.id = k.visible_manifest_id
      WHERE k.catalog_id = of_catalog AND k.visible_space_id > target_id AND m.row_count > 0);
END
$$;

-- The key is locked against everyone. Document and rows are gone.
CREATE FUNCTION @drop_spec(of_key bigint, of_catalog bigint, at_time bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM @documents AS d WHERE d.key_id = of_key;
  UPDATE @manifests AS m SET state = 2 WHERE m.key_id = of_key AND m.state < 2;
  UPDATE @keys AS k SET has_spec = false, visible_manifest_id = 0, visible_space_id = NULL, operation_count = 0,
    searched_manifest_id = 0, updated_at = at_time WHERE k.id = of_key;
  PERFORM @follow_target(of_catalog);
END
$$;

-- False: there is no such spec.
CREATE FUNCTION @remove_at(catalog text, spec text, at_time bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  found_key record;
BEGIN
  PERFORM @check_name('catalog', catalog);
  PERFORM @check_name('spec', spec);
  SELECT k.id, k.catalog_id, k.has_spec INTO found_key
    FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE c.name = catalog AND k.spec_name = spec FOR UPDATE OF k;
  IF NOT FOUND OR NOT (found_key.has_spec OR EXISTS (SELECT 1 FROM @jobs AS j WHERE j.key_id = found_key.id)) THEN
    RETURN false;
  END IF;
  PERFORM @cancel_key(found_key.id, at_time);
  IF found_key.has_spec THEN
    PERFORM @drop_spec(found_key.id, found_key.catalog_id, at_time);
  END IF;
  RETURN true;
END
$$;

-- At most so many specs of a catalog: how many there were. Locked in the order of their ids, before anything of them is touched.
CREATE FUNCTION @remove_some_at(catalog text, at_most bigint, at_time bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  found_key record;
  removed_count bigint := 0;
BEGIN
  FOR found_key IN SELECT k.id, k.catalog_id, k.has_spec FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id
      WHERE c.name = catalog AND (k.has_spec OR EXISTS (SELECT 1 FROM @jobs AS j WHERE j.key_id = k.id))
      ORDER BY k.id LIMIT at_most FOR UPDATE OF k LOOP
    PERFORM @cancel_key(found_key.id, at_time);
    IF found_key.has_spec THEN
      PERFORM @drop_spec(found_key.id, found_key.catalog_id, at_time);
    END IF;
    removed_count := removed_count + 1;
  END LOOP;
  RETURN removed_count;
END
$$;

-- The host says that its document is gone. False: there is no such key. Where there is a document of ours, the rows stay with it; where the
-- host keeps it, nothing else would ever clear them.
CREATE FUNCTION @remove_key_at(catalog text, spec text, at_time bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  found_key record;
BEGIN
  SELECT k.id, k.catalog_id, k.has_spec INTO found_key
    FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id
    WHERE c.name = catalog AND k.spec_name = spec AND NOT k.removed FOR UPDATE OF k;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM @cancel_key(found_key.id, at_time);
  IF found_key.has_spec AND NOT EXISTS (SELECT 1 FROM @documents AS d WHERE d.key_id = found_key.id) THEN
    PERFORM @drop_spec(found_key.id, found_key.catalog_id, at_time);
  END IF;
  RETURN true;
END
$$;

-- For hosts: SELECT embedjobs.remove_spec('catalog', 'spec'). False: there is no such spec.
CREATE FUNCTION @remove_spec(catalog text, spec text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  SELECT @remove_at(catalog COLLATE "C", spec COLLATE "C", @time_now())
$$;

-- The partitions of the history. Workers may not change the schema, so these run with the owner's rights. Each waits only a moment for
-- those who read the history at the time, and leaves the rest to the next call.

-- Of today and the days that follow.
CREATE FUNCTION @make_history_days(at_time bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  day_length CONSTANT bigint := 86400000000000;
  partition text;
BEGIN
  FOR day IN at_time / day_length .. at_time / day_length + 2 LOOP
    partition := 'history_' || to_char(date '1970-01-01' + day::integer, 'YYYYMMDD');
    CONTINUE WHEN EXISTS (SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = '@schema_name' AND c.relname = partition);
    PERFORM set_config('lock_timeout', '200ms', true);
    BEGIN
      EXECUTE format('CREATE TABLE @%I PARTITION OF @history FOR VALUES FROM (%s) TO (%s)', partition, day * day_length,
        (day + 1) * day_length);
    EXCEPTION
      WHEN lock_not_available OR duplicate_table THEN
        RETURN;
      WHEN check_violation THEN  -- jobs of this day are in history_rest already: there they stay
        NULL;
    END;
  END LOOP;
END
$$;

-- The oldest day that has ended before a time goes, with its jobs but those that must stay: see EMBEDJOBS_PURGE in src/postgres/history.cpp. How
-- many of each status went; no row: there is no such day, or it is in use. What takes long, reading the day, is done before the whole history is
-- locked, for every job that ends waits for that. The day is over: nothing comes to it meanwhile.
CREATE FUNCTION @drop_history_day(before bigint) RETURNS TABLE (ended_status smallint, gone bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  partition text;
  kept bigint[];
  statuses smallint[];
  counts bigint[];
BEGIN
  SELECT min(c.relname) INTO partition FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = '@history'::regclass AND c.relname ~ '^history_[0-9]{8,}$'
      AND extract(epoch FROM to_date(substr(c.relname, 9), 'YYYYMMDD') + 1)::bigint * 1000000000 <= before;
  IF partition IS NULL THEN
    RETURN;
  END IF;
  PERFORM set_config('lock_timeout', '200ms', true);
  BEGIN
    EXECUTE format('LOCK TABLE @%I IN SHARE MODE', partition);
    EXECUTE format('SELECT ARRAY(SELECT h.id FROM @%I AS h WHERE h.status = 3 AND ('
      ' EXISTS (SELECT 1 FROM @failures AS f WHERE f.key_id = h.key_id AND NOT f.resolved AND f.occurrences > 0)'
      ' OR NOT EXISTS (SELECT 1 FROM @all_jobs AS n WHERE n.key_id = h.key_id AND n.id > h.id)))', partition) INTO kept;
    PERFORM set_config('enable_seqscan', 'on', true);  -- all of the day is counted, and nothing else read
    EXECUTE format('SELECT array_agg(c.status), array_agg(c.count) FROM (SELECT h.status, count(*) FROM @%I AS h GROUP BY h.status) AS c',
      partition) INTO statuses, counts;
    PERFORM set_config('enable_seqscan', 'off', true);
    EXECUTE format('ALTER TABLE @history DETACH PARTITION @%I', partition);
  EXCEPTION WHEN lock_not_available THEN
    RETURN;
  END;
  -- They go to history_rest: the day has no partition any more.
  EXECUTE format('INSERT INTO @history SELECT h.* FROM @%I AS h WHERE h.id = ANY ($1)', partition) USING kept;
  EXECUTE format('DROP TABLE @%I', partition);
  RETURN QUERY SELECT u.status, u.count - CASE WHEN u.status = 3 THEN cardinality(kept) ELSE 0 END FROM unnest(statuses, counts) AS u (status, count);
END
$$;

SELECT @make_history_days(@time_now());

-- By name: the schema may be one that others use too, and the extension's functions may be in it.
DO $$
DECLARE
  each regprocedure;
BEGIN
  FOR each IN SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = '@schema_quoted'::pg_catalog.regnamespace AND p.proname = ANY (ARRAY[
      'shown', 'time_now', 'is_name', 'check_name', 'check_space', 'make_catalog', 'make_keys', 'raise_generations', 'enqueue_at',
      'put_all_at', 'put_at', 'enqueue', 'put_spec', 'cancel_key', 'follow_target', 'drop_spec', 'remove_at', 'remove_some_at',
      'remove_key_at', 'remove_spec', 'make_history_days', 'drop_history_day']) LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', each);
  END LOOP;
END
$$;
