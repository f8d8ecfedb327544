"""A host that waits at its first chunk, before it has looked at the fence, so that it may be stopped there: DATABASE
VECTORS. It makes the file VECTORS.entered, and goes on when there is VECTORS.go."""
import pathlib
import sqlite3
import sys
import time

import embedjobs
from scene import Words, openapi

LEASE = {"lease_duration": 3.0, "embed_timeout": 1.0, "reaper_interval": 0.5}


class SqliteVectors:
    """A host's persister in a database of its own: fence and rows are one transaction."""

    def __init__(self, path):
        self.path, self.refused, self.before_persist = path, [], lambda: None
        with self.begin() as database:
            database.execute("CREATE TABLE IF NOT EXISTS fences (spec TEXT PRIMARY KEY, counter INTEGER, nonce TEXT)")
            database.execute("CREATE TABLE IF NOT EXISTS vectors (hash BLOB PRIMARY KEY, counter INTEGER, vector BLOB,"
                             " epoch INTEGER, embedded_bytes INTEGER, input_cap INTEGER)")

    def begin(self):
        database = sqlite3.connect(self.path, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        return database  # as a context it commits, or takes back

    def accept(self, database, current):
        given = current.fence
        row = database.execute("SELECT counter, nonce FROM fences WHERE spec = ?", (current.spec_name,)).fetchone()
        stored = embedjobs.Fence(row[0], int(row[1])) if row else None
        if not embedjobs.accepts(stored, given):
            self.refused.append(given.counter)
            raise embedjobs.LeaseLost("a newer pass has taken over")
        database.execute("INSERT OR REPLACE INTO fences VALUES (?, ?, ?)",
                         (current.spec_name, given.counter, str(given.nonce)))  # a nonce has 64 bits, an INTEGER 63

    def list_existing(self, current, wanted):
        with self.begin() as database:
            self.accept(database, current)
            return [self.has(database, current, digest) for digest in wanted.hashes]

    @staticmethod
    def has(database, current, digest):
        row = database.execute("SELECT epoch, embedded_bytes, input_cap FROM vectors WHERE hash = ?",
                               (digest,)).fetchone()
        return row is not None and embedjobs.may_reuse(current, embedjobs.VectorMark(*row))

    def persist_batch(self, current, rows):
        self.before_persist()
        with self.begin() as database:
            self.accept(database, current)
            for index, (digest, vector) in enumerate(zip(rows.hashes, rows.vectors.tolist())):
                mark = rows.mark(current, index)
                database.execute("INSERT INTO vectors VALUES (?, ?, ?, ?, ?, ?)",
                                 (digest, current.fence.counter, str(vector), mark.epoch, mark.embedded_bytes,
                                  mark.input_cap))

    def finalize(self, current, manifest):
        with self.begin() as database:
            self.accept(database, current)
            if not all(self.has(database, current, digest) for digest in manifest.hashes):
                raise embedjobs.Incomplete("a vector is missing")


def run(database, vectors, before_persist=lambda: None):
    """Indexes on this thread; the persister and the embedder."""
    persister, words = SqliteVectors(vectors), Words()
    persister.before_persist = before_persist
    engine = embedjobs.Engine("sqlite:" + database, embedder=words.embedder(), persister=persister, **LEASE)
    engine.put("catalog", "spec", openapi(40))
    engine.worker_run(until_idle=True)
    engine.close()
    return persister, words


def wait_for(path):
    while not pathlib.Path(path).exists():
        time.sleep(0.001)


if __name__ == "__main__":

    def stall():
        pathlib.Path(sys.argv[2] + ".entered").touch()
        wait_for(sys.argv[2] + ".go")

    stalled, _ = run(*sys.argv[1:], stall)
    print("refused", stalled.refused)
