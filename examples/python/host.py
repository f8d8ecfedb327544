#!/usr/bin/env python3
"""A host in Python: its embedder is any Python function, results go to SQLite, and numpy finds the nearest.

    host.py DATABASE FILE QUESTION      FILE: items, one JSON object {"id": ..., "text": ...} a line
"""
import pathlib
import sys
import zlib

import numpy

import embedjobs

DIMENSION = 256


@embedjobs.embedder(model="trigrams", dimension=DIMENSION)
def embed(texts):
    """Parts of words, counted. A real one would be model.encode(texts)."""
    vectors = numpy.zeros((len(texts), DIMENSION), numpy.float32)
    for row, text in zip(vectors, texts):
        padded = f"  {text.lower()}  "
        for i in range(len(padded) - 2):
            row[zlib.crc32(padded[i : i + 3].encode()) % DIMENSION] += 1
    return vectors


def nearest(rows, question, k=3):
    """The ids of the `k` rows that are nearest to a question, with their cosines. engine.search() does the same in the
    library."""
    query = embed([question])[0]
    scores = rows.vectors @ query / (numpy.linalg.norm(rows.vectors, axis=1) * numpy.linalg.norm(query))
    return [(rows.ids[i], float(scores[i])) for i in numpy.argsort(-scores)[:k]]


def main(database, file, question):
    path = pathlib.Path(file)
    with embedjobs.Engine("sqlite:" + database, embedder=embed) as engine:
        engine.put_items("items", path.stem, path.read_bytes())
        engine.wait_idle()
        print(f"{engine.metrics()['operations_embedded']} embedded", file=sys.stderr)
        for identifier, score in nearest(engine.rows("items", path.stem), question):
            print(f"{score:.3f} {identifier}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
