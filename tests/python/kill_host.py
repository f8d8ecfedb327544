"""A host that may be killed: indexes a document into DATABASE with an embedder that notes each text in LOG before it answers."""
import hashlib
import sys
import time

import embedjobs
from scene import big_document, vector_of

database, log_path = sys.argv[1:]
log = open(log_path, "a", encoding="ascii")  # pylint: disable=consider-using-with


@embedjobs.embedder(model="kill", dimension=8)
def embed(texts):
    time.sleep(0.02)  # a provider that takes its time
    log.write("".join(hashlib.sha256(text.encode()).hexdigest() + "\n" for text in texts))
    log.flush()
    return [vector_of(text) for text in texts]


with embedjobs.Engine("sqlite:" + database, embedder=embed) as engine:
    engine.put("catalog", "big", big_document())
    print("put", flush=True)
    report = engine.wait_idle()
    print("idle" if report.idle else "not idle", flush=True)
