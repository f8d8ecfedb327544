"""Python's embedder for callbacks.sh: vectors that are ready. The library in its place measures, and opens nothing."""
import numpy

import embedjobs

READY = numpy.ones((256, 384), numpy.float32)

try:
    embedjobs.Engine("memory:", embedder=embedjobs.Embedder(lambda texts: READY[: len(texts)], "bench", 384))
except embedjobs.Refused:
    pass
