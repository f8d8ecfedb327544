"""A host whose process stops at its first chunk, as a machine does that sleeps, before it has looked at the fence. DATABASE VECTORS"""
import os
import signal
import sqlite3
import sys

import embedjobs
from scene import Words, openapi

LEASE = {"lease_duration": 3.0, "embed_timeout": 1.0, "reaper_interval": 0.5}


class SqliteVectors:
    """A host's persister in a database of its own: fence and rows are one transaction."""

    def __init__(self, path):
        self.path, self.refused, self.before_persist = path, [], lambda: None
        with self.begin() as database:
            database.execute("CREATE TABLE IF NOT EXISTS fences (spec TEXT PRIMARY KEY, counter INTEGER, nonce TEXT)")
            database.execute("CREATE TABLE IF NOT EXISTS vectors (hash BLOB PRIMARY KEY, counter INTEGER, vector BLOB)")

    def begin(self):
        database = sqlite3.connect(self.path, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        return database  # as a context it commits, or takes back

    def accept(self, database, current):
        known = database.execute("SELECT counter, nonce FROM fences WHERE spec = ?", (current.spec_name,)).fetchone()
        counter, nonce = current.fence.counter, str(current.fence.nonce)
        if known and (counter < known[0] or (counter == known[0] and nonce != known[1])):
            self.refused.append(counter)
            raise embedjobs.LeaseLost("a newer pass has taken over")
        database.execute("INSERT OR REPLACE INTO fences VALUES (?, ?, ?)", (current.spec_name, counter, nonce))

    def list_existing(self, current, wanted):
        with self.begin() as database:
            self.accept(database, current)
            return [self.has(database, digest) for digest in wanted.hashes]

    @staticmethod
    def has(database, digest):
        return database.execute("SELECT 1 FROM vectors WHERE hash = ?", (digest,)).fetchone() is not None

    def persist_batch(self, current, rows):
        self.before_persist()
        with self.begin() as database:
            self.accept(database, current)
            for digest, vector in zip(rows.hashes, rows.vectors.tolist()):
                database.execute("INSERT INTO vectors VALUES (?, ?, ?)", (digest, current.fence.counter, str(vector)))

    def finalize(self, current, manifest):
        with self.begin() as database:
            self.accept(database, current)
            if not all(self.has(database, digest) for digest in manifest.hashes):
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


if __name__ == "__main__":
    stops = [signal.SIGSTOP]
    stalled, _ = run(*sys.argv[1:], lambda: stops and os.kill(os.getpid(), stops.pop()))
    print("refused", stalled.refused)
