"""A host that may be killed: indexes a document into DATABASE with an embedder that notes each text in LOG before it
answers. DATABASE LOG [MOST]: with MOST it waits to be killed once so many texts are noted."""
import hashlib
import sys
import threading
import time

import embedjobs
from scene import big_document, vector_of

database, log_path = sys.argv[1:3]
log = open(log_path, "a", encoding="ascii")  # pylint: disable=consider-using-with
most = int(sys.argv[3]) if len(sys.argv) > 3 else None
LINE = 2 * hashlib.sha256().digest_size + 1


@embedjobs.embedder(model="kill", dimension=8)
def embed(texts):
    time.sleep(0.02)  # a provider that takes its time
    log.write("".join(hashlib.sha256(text.encode()).hexdigest() + "\n" for text in texts))
    log.flush()
    if most is not None and log.tell() >= most * LINE:
        threading.Event().wait()
    return [vector_of(text) for text in texts]


with embedjobs.Engine("sqlite:" + database, embedder=embed) as engine:
    engine.put("catalog", "big", big_document())
    print("put", flush=True)
    report = engine.wait_idle()
    print("idle" if report.idle else "not idle", flush=True)
