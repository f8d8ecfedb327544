-- Schema 1: the partitions of the history. Workers may not change the schema, so these run with the owner's rights.
-- Each waits only a moment for those who read the history at the time, and leaves the rest to the next call.

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

-- The oldest day that has ended before a time goes, with its jobs but those that must stay: see EMBEDJOBS_PURGE in
-- src/postgres/history.cpp. How many of each status went; no row: there is no such day, or it is in use. What takes
-- long, reading the day, is done before the whole history is locked, for every job that ends waits for that. The day is
-- over: nothing comes to it meanwhile.
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
    EXECUTE format('SELECT array_agg(c.status), array_agg(c.count)'
      ' FROM (SELECT h.status, count(*) FROM @%I AS h GROUP BY h.status) AS c', partition) INTO statuses, counts;
    PERFORM set_config('enable_seqscan', 'off', true);
    EXECUTE format('ALTER TABLE @history DETACH PARTITION @%I', partition);
  EXCEPTION WHEN lock_not_available THEN
    RETURN;
  END;
  -- They go to history_rest: the day has no partition any more.
  EXECUTE format('INSERT INTO @history SELECT h.* FROM @%I AS h WHERE h.id = ANY ($1)', partition) USING kept;
  EXECUTE format('DROP TABLE @%I', partition);
  RETURN QUERY SELECT u.status, u.count - CASE WHEN u.status = 3 THEN cardinality(kept) ELSE 0 END
    FROM unnest(statuses, counts) AS u (status, count);
END
$$;

SELECT @make_history_days(@time_now());
