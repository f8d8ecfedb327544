-- Schema 2: who works. For people: nothing of the queue depends on it. A worker writes its row every third of a lease;
-- no index is on what changes then, and half of a page is free for it.

CREATE TABLE @workers (
  id             text COLLATE "C" PRIMARY KEY,
  host           text NOT NULL,
  version        text NOT NULL,
  provider       text NOT NULL,
  space          text NOT NULL,
  process_id     bigint NOT NULL,
  slots          bigint NOT NULL,
  lease_duration bigint NOT NULL,  -- nanoseconds
  started_at     bigint NOT NULL,
  last_seen_at   bigint NOT NULL
) WITH (fillfactor = 50);
