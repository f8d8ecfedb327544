-- Schema 2: who works. For people: nothing of the queue depends on it.

CREATE TABLE workers (
  id             TEXT PRIMARY KEY,
  host           TEXT NOT NULL,
  process_id     INTEGER NOT NULL,
  version        TEXT NOT NULL,
  slots          INTEGER NOT NULL,
  provider       TEXT NOT NULL,
  space          TEXT NOT NULL,
  lease_duration INTEGER NOT NULL,
  started_at     INTEGER NOT NULL,
  last_seen_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
