"""What the tests of the Python package share: documents, and embedders that tests can turn."""
import hashlib
import json
import os
import pathlib
import threading
from typing import List

import embedjobs


def openapi(count: int, word: str = "thing") -> str:
    operations = [{"operationId": f"{word}-{i}", "summary": f"Show {word} number {i}"} for i in range(count)]
    paths = {f"/{word}/{i}": {"get": operation} for i, operation in enumerate(operations)}
    return json.dumps({"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": paths})


def big_document() -> str:
    """github.json where there is a folder of real documents, else one of its size."""
    folder = os.environ.get("EMBEDJOBS_SPEC_DIR")
    return (pathlib.Path(folder) / "github.json").read_text(encoding="utf-8") if folder else openapi(1223)


def vector_of(text: str, dimension: int = 8) -> List[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [digest[i] + 1.0 for i in range(dimension)]


class Words:
    """A host's embedder that counts, and that a test may make fail."""

    def __init__(self) -> None:
        self.texts: List[str] = []
        self.threads: set = set()
        self.errors: list = []

    def __call__(self, texts):
        self.threads.add(threading.get_ident())
        if self.errors:
            raise self.errors.pop(0)
        self.texts += texts
        return [vector_of(text) for text in texts]

    def embedder(self, **more) -> embedjobs.Embedder:
        return embedjobs.Embedder(self, "words", 8, **more)


def held_embed():
    """An embedder's function, what it sets when it is called, and what it waits for then."""
    entered, leave = threading.Event(), threading.Event()

    def embed(texts):
        entered.set()
        leave.wait()
        return [vector_of(text) for text in texts]

    return embed, entered, leave


class Log:
    """Collects lines, and lets a test wait for one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.lines: List[str] = []

    def __call__(self, level: int, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def wait_for_first_round(self) -> None:
        """The reconciler also looks when a worker starts, and tries again what failed before it looked."""
        self.wait_for("reconciler: a round ended")

    def wait_for(self, text: str) -> str:
        with self._changed:
            self._changed.wait_for(lambda: any(text in line for line in self.lines))
            return next(line for line in self.lines if text in line)


class Dictionary:
    """A host's persister in memory: fence and rows change together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.fences: dict = {}
        self.vectors: dict = {}
        self.marks: dict = {}
        self.visible: dict = {}
        self.chunks: List[List[str]] = []
        self.passes: list = []
        self.errors: list = []

    def accept(self, current: embedjobs.Pass) -> None:
        key = (current.catalog_id, current.spec_name)
        if not embedjobs.accepts(self.fences.get(key), current.fence):
            raise embedjobs.LeaseLost("a newer pass has taken over")
        self.fences[key] = current.fence

    def has(self, current: embedjobs.Pass, text_hash: bytes) -> bool:
        return text_hash in self.marks and embedjobs.may_reuse(current, self.marks[text_hash])

    def list_existing(self, current, wanted):
        with self.lock:
            self.accept(current)
            self.passes.append(current)
            return [self.has(current, value) for value in wanted.hashes]

    def persist_batch(self, current, rows):
        with self.lock:
            if self.errors:
                raise self.errors.pop(0)
            self.accept(current)
            self.chunks.append(rows.ids)
            for index, value in enumerate(rows.hashes):
                self.vectors[value] = [float(x) for x in rows.vectors.tolist()[index]]
                self.marks[value] = rows.mark(current, index)

    def finalize(self, current, manifest):
        with self.lock:
            self.accept(current)
            if not all(self.has(current, value) for value in manifest.hashes):
                raise embedjobs.Incomplete("a vector is missing")
            self.visible[(current.catalog_id, current.spec_name)] = dict(zip(manifest.ids, manifest.hashes))


class Folder:
    """A host's resolver over a dictionary."""

    def __init__(self) -> None:
        self.documents: dict = {}

    def resolve(self, catalog_id, spec_name):
        content = self.documents.get((catalog_id, spec_name))
        return content and embedjobs.Document(content.encode(), hashlib.sha256(content.encode()).hexdigest())

    def list(self, after, limit):
        keys = sorted(key for key in self.documents if after is None or key > after)
        return [(*key, self.resolve(*key).version) for key in keys[:limit]]
