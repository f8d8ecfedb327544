-- Schema 1: nobody but the owner may call its functions until it is granted. By name: the schema may be one that others
-- use too, and the extension's functions may be in it.
DO $$
DECLARE
  each regprocedure;
BEGIN
  FOR each IN SELECT p.oid FROM pg_catalog.pg_proc AS p
      WHERE p.pronamespace = '@schema_quoted'::pg_catalog.regnamespace AND p.proname = ANY (ARRAY[
      'shown', 'time_now', 'is_name', 'check_name', 'check_space', 'make_catalog', 'make_keys', 'raise_generations',
      'enqueue_at', 'put_all_at', 'put_at', 'enqueue', 'put_spec', 'cancel_key', 'follow_target', 'drop_spec',
      'remove_at', 'remove_some_at', 'remove_key_at', 'remove_spec', 'make_history_days', 'drop_history_day']) LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', each);
  END LOOP;
END
$$;
