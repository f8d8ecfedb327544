-- Schema 1: enqueuing, for the library and for every program that has a connection. Each of these runs in the caller's
-- transaction: rolled back, there is no job; committed, there is one, and workers are woken. The rules are those of
-- src/core/rules/store_rules.cpp: raise_generation, new_job, enqueue_open. Nobody but the owner may call them until it
-- is granted. Those with a search_path of their own run with the owner's rights. A host's session keeps the plans of
-- what they do, perhaps from a time when the tables were small: so they go by index, as in the library's own sessions.

CREATE FUNCTION @time_now() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000
$$;

CREATE FUNCTION @is_name(name text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(name <> '' AND octet_length(name) <= @max_name_bytes
    AND name COLLATE "C" !~ E'[\u0001-\u001f\u007f]', false)
$$;

CREATE FUNCTION @check_name(what text, name text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF NOT @is_name(name) THEN
    RAISE EXCEPTION 'the % is empty, longer than @max_name_bytes bytes, or has a control character', what
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
END
$$;

-- As parse_space() in src/core/values/space.cpp: dimension/model, and ?variant where there is one.
CREATE FUNCTION @check_space(space text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  parts CONSTANT text[] := regexp_match(space COLLATE "C",
    E'^([1-9][0-9]{0,4})/([^?\u0001-\u001f\u007f]+)([?][^\u0001-\u001f\u007f]*)?$');
BEGIN
  IF parts IS NULL OR parts[1]::integer NOT BETWEEN 1 AND 65536 OR octet_length(parts[2]) > 256
      OR octet_length(parts[3]) > 257 THEN
    RAISE EXCEPTION 'not a space: %: expected dimension/model', left(space, 100)
      USING ERRCODE = 'invalid_parameter_value';
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

-- Finds or makes the keys, each once, in the order of `specs`. They are locked then, but not against the writes of the
-- passes that hold them; in the order of their ids, so that two callers never wait for each other crosswise.
CREATE FUNCTION @make_keys(of_catalog bigint, specs text[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
  wanted CONSTANT text[] := ARRAY(
    SELECT u.name FROM unnest(specs) WITH ORDINALITY AS u (name, place) GROUP BY u.name ORDER BY min(u.place));
  ids bigint[];
BEGIN
  PERFORM @check_name('spec', u.name) FROM unnest(wanted) AS u (name);
  LOOP
    -- One index look-up for each. "= ANY" would, by a plan that was made while the table was small, read all keys
    -- of the catalog.
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

-- Keys and jobs are looked up by "= ANY (ARRAY[...])" or scalar subqueries: a join of whole tables looks cheap to the
-- planner if they were small at the last vacuum, and plans are kept. For the same reason nothing is joined with what a
-- statement has just written: the planner takes that for one row, and a thousand would be compared with a thousand.

-- The keys are locked. A new generation of each, and its open job: a pending one becomes due now with fresh budgets, a
-- running one is pending again when its pass ends.
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
    UPDATE @jobs AS j SET kind = new_kind, priority = least(j.priority, new_priority), updated_at = at_time,
      generation = k.generation, next_run_at = at_time, attempts = NULL, errors_in_row = NULL, crashes_in_row = NULL,
      releases_in_row = NULL, crashes = NULL, fewest_missing = NULL, progressed = NULL, paused_since = NULL
      FROM @keys AS k WHERE j.key_id = ANY (of_keys) AND j.status = 0 AND k.id = ANY (ARRAY[j.key_id]);
  END IF;
  had := ARRAY(SELECT (SELECT j.id FROM @jobs AS j WHERE j.key_id = u.id)
    FROM unnest(of_keys) WITH ORDINALITY AS u (id, place) ORDER BY u.place);
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
  places CONSTANT bigint[] := ARRAY(
    SELECT min(u.place) FROM unnest(specs) WITH ORDINALITY AS u (name, place) GROUP BY u.name ORDER BY 1);
  wanted bigint[] := ids;
BEGIN
  IF new_kind = 1 THEN
    -- The reconciler touches no open job and no removed key.
    wanted := ARRAY(SELECT u.id FROM unnest(ids) WITH ORDINALITY AS u (id, place)
      JOIN @keys AS k ON k.id = ANY (ARRAY[u.id])
      WHERE NOT k.removed AND (SELECT true FROM @jobs AS j WHERE j.key_id = u.id) IS NULL ORDER BY u.place);
  END IF;
  RETURN QUERY
    SELECT u.place, r.open_job, r.is_new, r.now_generation
      FROM @raise_generations(wanted, new_kind, at_time) AS r
      JOIN unnest(ids, places) AS u (id, place) ON u.id = r.of_key;
  IF cardinality(wanted) < cardinality(ids) THEN
    RETURN QUERY SELECT u.place, coalesce((SELECT j.id FROM @jobs AS j WHERE j.key_id = u.id), 0), false,
      (SELECT k.generation FROM @keys AS k WHERE k.id = u.id)
      FROM unnest(ids, places) AS u (id, place) WHERE NOT u.id = ANY (wanted);
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
  IF EXISTS (SELECT 1 FROM unnest(contents) AS u (content)
      WHERE u.content IS NULL OR octet_length(u.content) > @max_document_bytes) THEN
    RAISE EXCEPTION 'the document is NULL or longer than @max_document_bytes bytes'
      USING ERRCODE = 'invalid_parameter_value';
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
    ON CONFLICT (key_id) DO UPDATE SET version = EXCLUDED.version, content = EXCLUDED.content
      WHERE d.version <> EXCLUDED.version;
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

-- For hosts: SELECT * FROM embedjobs.enqueue('catalog', 'spec'); SELECT * FROM embedjobs.put_spec('catalog', 'spec',
-- '{"openapi": ...}');
CREATE FUNCTION @enqueue(catalog text, spec text, kind text DEFAULT 'spec_write',
  OUT job_id bigint, OUT created boolean, OUT generation bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  number integer := array_position(ARRAY['spec_write', 'reconciler', 'manual_retry'], kind) - 1;
BEGIN
  IF number IS NULL THEN
    RAISE EXCEPTION 'the kind is spec_write, reconciler or manual_retry, not %', kind
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  SELECT e.job_id, e.created, e.generation INTO job_id, created, generation
    FROM @enqueue_at(catalog COLLATE "C", ARRAY[spec COLLATE "C"], number, @time_now()) AS e;
END
$$;

CREATE FUNCTION @put_spec(catalog text, spec text, content bytea, target_space text DEFAULT '',
  OUT job_id bigint, OUT created boolean, OUT generation bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  SELECT p.job_id, p.created, p.generation
    FROM @put_at(catalog COLLATE "C", spec COLLATE "C", content, target_space COLLATE "C", @time_now()) AS p
$$;

CREATE FUNCTION @put_spec(catalog text, spec text, content text, target_space text DEFAULT '',
  OUT job_id bigint, OUT created boolean, OUT generation bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  SELECT p.job_id, p.created, p.generation
    FROM @put_at(catalog COLLATE "C", spec COLLATE "C", convert_to(content, 'UTF8'), target_space COLLATE "C",
      @time_now()) AS p
$$;
