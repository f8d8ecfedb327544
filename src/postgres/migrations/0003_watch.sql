-- Schema 3: tables of the host's that are watched.

-- What a watched table's rows are read by: the expressions of name and content over a row `r`. Only columns of types
-- that the server brings along: a cast of another type would run its owner's code with our rights. And for names only
-- those whose text is the same in every session, whatever its time zone: else a row could not be found again. Found
-- anew at each statement: columns change.
CREATE FUNCTION @watch_columns(of_table oid, names text[], content text, OUT name_sql text, OUT content_sql text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  each text;
  type_id oid;
  parts text[] := '{}';
BEGIN
  FOREACH each IN ARRAY names || content LOOP
    SELECT a.atttypid INTO type_id FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
      WHERE a.attrelid = of_table AND a.attname = each AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
        AND t.typnamespace = 'pg_catalog'::regnamespace;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'the watched table % has no column "%" that is stored and of a built-in type',
        of_table::regclass, each
        USING ERRCODE = 'undefined_column', HINT = 'Call unwatch, and watch with the columns of today.';
    END IF;
    CONTINUE WHEN cardinality(parts) = cardinality(names);
    IF type_id <> ALL (ARRAY['text', 'varchar', 'bpchar', 'name', 'int2', 'int4', 'int8', 'numeric', 'uuid',
        'bool']::regtype[]) THEN
      RAISE EXCEPTION 'the name column "%" is of type %, and must be a text, an integer, numeric, uuid or boolean',
        each, type_id::regtype USING ERRCODE = 'datatype_mismatch';
    END IF;
    -- A slash in another part than the last would give two rows one name.
    parts := parts || format(CASE WHEN cardinality(parts) + 1 < cardinality(names)
      THEN 'CASE WHEN strpos(r.%1$I::text COLLATE "C", ''/'') = 0 THEN r.%1$I::text COLLATE "C" END'
      ELSE 'r.%1$I::text COLLATE "C"' END, each);
  END LOOP;
  name_sql := array_to_string(parts, ' || ''/'' || ');
  IF type_id = 'bytea'::regtype THEN
    content_sql := format('r.%I', content);
  ELSIF type_id IN ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype) THEN
    content_sql := format('convert_to(r.%I::text, ''UTF8'')', content);
  ELSE
    RAISE EXCEPTION 'the content column "%" is of type %, and must be text, varchar, json, jsonb or bytea',
      content, type_id::regtype USING ERRCODE = 'datatype_mismatch';
  END IF;
END
$$;

-- Rows of a watched table, each name once; those without content are removed. `previous`: the content that the
-- statement found. A name that is none fails the statement that wrote it, or is skipped with a warning.
CREATE FUNCTION @watch_apply(catalog text, specs text[], contents bytea[], previous bytea[], space text,
  bad_names text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  -- What this transaction has put of a name, if it is not what the statement found, was written after the statement's
  -- row: by a trigger of the table's own, by another part of a WITH, or, while a constraint is deferred, as a second
  -- row of that name.
  overtaken CONSTANT text[] := ARRAY(SELECT k.spec_name FROM unnest(specs, previous) AS u (name, content)
    JOIN @catalogs AS c ON c.name = catalog JOIN @keys AS k ON k.catalog_id = c.id AND k.spec_name = u.name
    JOIN @documents AS d ON d.key_id = k.id
    WHERE age(d.xmin) <= age(pg_current_xact_id()::xid)
      AND d.version IS DISTINCT FROM encode(sha256(u.content), 'hex'));
  bad CONSTANT bigint := (SELECT count(*) FROM unnest(specs, contents) AS u (name, content)
    WHERE u.content IS NOT NULL AND NOT @is_name(u.name));
  put_specs text[];
  put_contents bytea[];
BEGIN
  IF bad > 0 AND bad_names <> 'skip' THEN
    RAISE EXCEPTION 'the name of a watched row is NULL, empty, longer than @max_name_bytes bytes,'
      ' has a control character, or a slash before its last column' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Name the row otherwise, or watch the table with bad_names => ''skip''.';
  ELSIF bad > 0 THEN
    RAISE WARNING '% rows are not watched: their name is NULL, empty, longer than @max_name_bytes bytes,'
      ' has a control character, or a slash before its last column', bad;
  END IF;
  IF array_position(contents, NULL) IS NOT NULL THEN
    -- What is removed is locked one by one: all keys first, in the order in which everyone locks them.
    PERFORM 1 FROM @keys AS k WHERE k.id = ANY (ARRAY(
        SELECT (SELECT k.id FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id
          WHERE c.name = catalog AND k.spec_name = u.name) FROM unnest(specs) AS u (name)))
      ORDER BY k.id FOR UPDATE;
  END IF;
  PERFORM @remove_spec(catalog, u.name) FROM unnest(specs, contents) AS u (name, content)
    WHERE u.content IS NULL AND @is_name(u.name) AND u.name <> ALL (overtaken);
  SELECT array_agg(u.name ORDER BY u.place), array_agg(u.content ORDER BY u.place) INTO put_specs, put_contents
    FROM unnest(specs, contents) WITH ORDINALITY AS u (name, content, place)
    WHERE u.content IS NOT NULL AND @is_name(u.name) AND u.name <> ALL (overtaken);
  IF put_specs IS NOT NULL THEN
    PERFORM @put_all_at(catalog, put_specs, put_contents, space, @time_now());
  END IF;
END
$$;

-- Applies the rows of a cursor, names, contents and what was found in the order of names, some at a time: so that a
-- bulk change costs little a row, and memory is that of a few documents. Keys are locked in the order of their ids
-- within each part, so two statements lock them in much the same order. Answers how many have content.
CREATE FUNCTION @watch_apply_all(changes refcursor, catalog text, space text, bad_names text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  change record;
  specs text[] := '{}';
  contents bytea[] := '{}';
  previous bytea[] := '{}';
  bytes bigint := 0;
  with_content bigint := 0;
BEGIN
  LOOP
    FETCH changes INTO change;
    EXIT WHEN NOT FOUND;
    IF cardinality(specs) > 0 AND (cardinality(specs) >= 500 OR bytes > 8388608
        OR specs[cardinality(specs)] IS NOT DISTINCT FROM change.name) THEN
      PERFORM @watch_apply(catalog, specs, contents, previous, space, bad_names);
      specs := '{}';
      contents := '{}';
      previous := '{}';
      bytes := 0;
    END IF;
    specs := array_append(specs, change.name);
    contents := array_append(contents, change.content);
    previous := array_append(previous, change.previous);
    bytes := bytes + coalesce(octet_length(change.content), 0) + coalesce(octet_length(change.previous), 0);
    with_content := with_content + (change.content IS NOT NULL)::integer;
  END LOOP;
  PERFORM @watch_apply(catalog, specs, contents, previous, space, bad_names);
  RETURN with_content;
END
$$;

-- The trigger of a watched table: what a statement left of each name against what was there before. It runs with the
-- owner's rights: who writes the table needs none here. Arguments: catalog, space, bad_names, content column, name
-- columns.
CREATE FUNCTION @watch_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sql record;
  row_of text := 'SELECT %s AS name, %s AS content FROM %I AS r';
  none text := 'SELECT NULL::text AS name, NULL::bytea AS content WHERE false';
  old_sql text := none;
  new_sql text := none;
  change record;
  changes refcursor;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    FOR change IN SELECT k.spec_name AS name FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id
        WHERE c.name = TG_ARGV[0] AND k.has_spec ORDER BY k.id LOOP
      PERFORM @remove_spec(TG_ARGV[0], change.name);
    END LOOP;
    RETURN NULL;
  END IF;
  -- A trigger made by hand without these could have us read, with the owner's rights, what its maker calls so: a view
  -- that runs his code.
  IF NOT EXISTS (SELECT 1 FROM pg_trigger AS t WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME
      AND t.tgoldtable IS NOT DISTINCT FROM CASE WHEN TG_OP <> 'INSERT' THEN 'old_rows'::name END
      AND t.tgnewtable IS NOT DISTINCT FROM CASE WHEN TG_OP <> 'DELETE' THEN 'new_rows'::name END) THEN
    RAISE EXCEPTION 'the trigger % was not made by watch', TG_NAME USING ERRCODE = 'invalid_object_definition';
  END IF;
  SELECT * INTO sql FROM @watch_columns(TG_RELID, TG_ARGV[4:], TG_ARGV[3]);
  IF TG_OP IN ('UPDATE', 'DELETE') THEN
    old_sql := format(row_of, sql.name_sql, sql.content_sql, 'old_rows');
  END IF;
  IF TG_OP IN ('UPDATE', 'INSERT') THEN
    new_sql := format(row_of, sql.name_sql, sql.content_sql, 'new_rows');
  END IF;
  OPEN changes FOR EXECUTE format(
      'SELECT coalesce(n.name, o.name) AS name, n.content, o.content AS previous'
      ' FROM (%s) AS o FULL JOIN (%s) AS n ON n.name = o.name'
      ' WHERE n.content IS DISTINCT FROM o.content'
      ' ORDER BY coalesce(n.name, o.name) COLLATE "C"', old_sql, new_sql);
  PERFORM @watch_apply_all(changes, TG_ARGV[0], TG_ARGV[1], TG_ARGV[2]);
  CLOSE changes;
  RETURN NULL;
END
$$;

-- Takes the triggers from a table. Its documents stay in the catalog. False: it was not watched.
CREATE FUNCTION @unwatch(watched regclass) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  each name;
  found_any boolean := false;
BEGIN
  FOR each IN SELECT t.tgname FROM pg_trigger AS t
      WHERE t.tgrelid = watched AND t.tgfoid = '@watch_changed()'::regprocedure LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', each, watched);
    found_any := true;
  END LOOP;
  RETURN found_any;
END
$$;

-- Fails unless the caller may have the table watched: its own, ordinary, logged, its rows named by a unique index, and
-- neither table nor catalog watched yet.
CREATE FUNCTION @check_watchable(watched regclass, catalog text, names text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_class AS c
        WHERE c.oid = watched AND c.relkind = 'r' AND NOT c.relispartition AND c.relpersistence = 'p')
      OR EXISTS (SELECT 1 FROM pg_inherits AS i WHERE watched IN (i.inhrelid, i.inhparent)) THEN
    RAISE EXCEPTION
      '% can''t be watched: only an ordinary table that is logged can, without partitions or inheritance', watched
      USING ERRCODE = 'wrong_object_type', HINT = 'Call put_spec and remove_spec from triggers of your own.';
  END IF;
  IF NOT (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class AS c WHERE c.oid = watched) THEN
    RAISE EXCEPTION 'only the owner of % may have it watched', watched USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_index AS i
      WHERE i.indrelid = watched AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
        AND (SELECT bool_and(a.attname = ANY (names)) FROM pg_attribute AS a
          WHERE a.attrelid = watched AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))) THEN
    RAISE EXCEPTION 'nothing keeps the names of the rows of % unique', watched
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Make a unique index on the columns that name a row.';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_trigger AS t WHERE t.tgfoid = '@watch_changed()'::regprocedure AND (t.tgrelid = watched
      OR substr(t.tgargs, 1, octet_length(convert_to(catalog, 'UTF8')) + 1)
        = convert_to(catalog, 'UTF8') || decode('00', 'hex'))) THEN
    RAISE EXCEPTION 'the table % or the catalog % is watched already', watched, quote_literal(catalog)
      USING ERRCODE = 'duplicate_object', HINT = 'Call unwatch first, or choose another catalog.';
  END IF;
END
$$;

-- Keeps `catalog` in step with the rows of a table, which must be the caller's own. The texts of the name columns,
-- joined by '/', name the spec; the content column is its document, NULL for none. `existing`: the rows that are there
-- already are put now. Runs with the caller's rights: these make the triggers. One catalog, one table. Answers how many
-- rows were put.
CREATE FUNCTION @watch(watched regclass, catalog text, names text[], content text, target_space text DEFAULT '',
  existing boolean DEFAULT true, bad_names text DEFAULT 'error') RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
  sql record;
  each record;
  rows_put bigint := 0;
  existing_rows refcursor;
  arguments text;
BEGIN
  PERFORM @check_name('catalog', catalog);
  IF target_space <> '' THEN
    PERFORM @check_space(target_space);
  END IF;
  IF bad_names IS NULL OR bad_names NOT IN ('error', 'skip') THEN
    RAISE EXCEPTION 'bad_names is error or skip, not %', bad_names USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF watched IS NULL OR content IS NULL OR cardinality(names) IS DISTINCT FROM array_length(names, 1)
      OR array_position(names, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'watch needs a table, the columns that name a row, and the column of its content'
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF existing AND current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    RAISE EXCEPTION 'rows that are there already are read by a transaction of the isolation level READ COMMITTED alone'
      USING ERRCODE = 'active_sql_transaction',
      HINT = 'Begin with BEGIN ISOLATION LEVEL READ COMMITTED: others would see too few rows.';
  END IF;
  SELECT * INTO sql FROM @watch_columns(watched, names, content);
  -- Two calls at once would not see each other's triggers.
  PERFORM pg_advisory_xact_lock(hashtextextended('embedjobs/@schema_name/watch', 0));
  PERFORM @check_watchable(watched, catalog, names);
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', watched);
  SELECT string_agg(quote_literal(a), ', ' ORDER BY place) INTO arguments
    FROM unnest(ARRAY[catalog, coalesce(target_space, ''), bad_names, content] || names)
      WITH ORDINALITY AS u (a, place);
  FOR each IN SELECT * FROM (VALUES
      ('insert', 'INSERT', 'REFERENCING NEW TABLE AS new_rows'),
      ('delete', 'DELETE', 'REFERENCING OLD TABLE AS old_rows'),
      ('update', 'UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
      ('truncate', 'TRUNCATE', '')) AS v (suffix, event, tables) LOOP
    EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION @watch_changed(%s)',
      CASE WHEN octet_length('@schema_name') <= 40 THEN '@schema_name' ELSE md5('@schema_name') END
        || '_watch_' || each.suffix, each.event, watched, each.tables, arguments);
  END LOOP;
  IF existing THEN
    OPEN existing_rows FOR EXECUTE format('SELECT %s AS name, %s AS content, NULL::bytea AS previous'
      ' FROM ONLY %s AS r WHERE %2$s IS NOT NULL ORDER BY (%1$s) COLLATE "C"', sql.name_sql, sql.content_sql, watched);
    rows_put := @watch_apply_all(existing_rows, catalog, coalesce(target_space, ''), bad_names);
    CLOSE existing_rows;
  END IF;
  RETURN rows_put;
END
$$;

-- As in 0001_rights.sql.
DO $$
DECLARE
  each regprocedure;
BEGIN
  FOR each IN SELECT p.oid FROM pg_catalog.pg_proc AS p
      WHERE p.pronamespace = '@schema_quoted'::pg_catalog.regnamespace AND p.proname = ANY (ARRAY[
      'watch_columns', 'watch_apply', 'watch_apply_all', 'watch_changed', 'check_watchable', 'unwatch', 'watch']) LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', each);
  END LOOP;
END
$$;
