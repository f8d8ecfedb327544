-- Schema 1: removing, as enqueuing in the caller's transaction.

-- The key is locked against everyone. A generation with a tombstone: the lease is revoked, the open job ends cancelled,
-- and the key's record of failing is gone. As cancel() in src/core/rules/store_rules.cpp.
CREATE FUNCTION @cancel_key(of_key bigint, at_time bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  of_job bigint;
  of_nonce bigint;
BEGIN
  SELECT j.id, j.fence_nonce INTO of_job, of_nonce FROM @jobs AS j WHERE j.key_id = of_key FOR UPDATE;
  IF FOUND THEN
    -- history has the columns of jobs, in their order.
    UPDATE @jobs AS j SET status = 4, updated_at = at_time, completed_at = at_time, worker_id = NULL
      WHERE j.id = of_job;
    WITH gone AS (DELETE FROM @jobs AS j WHERE j.id = of_job RETURNING j.*) INSERT INTO @history SELECT * FROM gone;
    INSERT INTO @job_counts (status, count) VALUES (0, -1), (4, 1);
    DELETE FROM @leases AS l WHERE l.fence_nonce = of_nonce AND l.job_id = of_job;
    DELETE FROM @in_flight AS f WHERE f.job_id = of_job;
  END IF;
  DELETE FROM @failures AS f WHERE f.key_id = of_key;
  UPDATE @keys AS k SET generation = k.generation + 1, removed = true, holder_nonce = 0, reuse_floor = 0,
    last_success_at = 0 WHERE k.id = of_key;
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
  -- Written and not only locked: a host's transaction with an older snapshot, to which another spec still shows the old
  -- space, must not think itself not the last one. It fails with a serialization error instead.
  UPDATE @catalogs AS c SET flips = c.flips WHERE c.id = of_catalog AND c.target_space <> c.search_space;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT s.id INTO target_id FROM @spaces AS s JOIN @catalogs AS c ON c.id = s.catalog_id AND c.target_space = s.name
    WHERE c.id = of_catalog;
  target_id := coalesce(target_id, 0);
  -- Two ranges of the index keys_visible, where <> would read every spec of the catalog. The number of the flip is what
  -- ends the use of the specs' older manifests: a flip is one row, whatever the size of the catalog.
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
    FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id
    WHERE c.name = catalog AND k.spec_name = spec FOR UPDATE OF k;
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

-- At most so many specs of a catalog: how many there were. Locked in the order of their ids, before anything of them is
-- touched.
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

-- The host says that its document is gone. False: there is no such key. Where there is a document of ours, the rows
-- stay with it; where the host keeps it, nothing else would ever clear them.
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
